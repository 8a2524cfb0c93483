/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What the answer of an application allows (SSEAuthorize). */

#include <apr_general.h>
#include <apr_strings.h>

#include "http/sse_grant.h"
#include "tap.h"

static apr_pool_t *pool;

/* @param lines "Name: value|Name: value" */
static const char *read_lines(sse_grant_t *grant, const char *lines)
{
    apr_table_t *headers = apr_table_make(pool, 4);
    char *text = apr_pstrdup(pool, lines), *state, *line, *value;

    for (line = apr_strtok(text, "|", &state); line;
         line = apr_strtok(NULL, "|", &state)) {
        value = strchr(line, ':');
        *value = '\0';
        apr_table_add(headers, line, value + (value[1] == ' ' ? 2 : 1));
    }
    return sse_grant_read(grant, headers, pool);
}

static const struct {
    const char *lines, *channels, *user, *session;
    int max_age; /* seconds */
} good[] = {
    {"", "-", "-", "-", 0},
    {"Other: x|SSE-Users: y", "-", "-", "-", 0},
    {"SSE-Channel: a", "a", "-", "-", 0},
    {"sse-channel: a|SSE-CHANNEL: b", "a;b", "-", "-", 0},
    {"SSE-Channel: a, b,c  d\t,, e ,", "a;b;c;d;e", "-", "-", 0},
    {"SSE-Channel: a|SSE-Channel: a, b, a", "a;b", "-", "-", 0},
    {"SSE-Channel: a%20b%2cc%25%2F", "a b,c%/", "-", "-", 0},
    {"SSE-Channel: \xc3\xa9%C3%A9", "\xc3\xa9\xc3\xa9", "-", "-", 0},
    {"SSE-User: J%c3%bCrgen", "-", "J\xc3\xbcrgen", "-", 0},
    {"SSE-User: a b", "-", "a b", "-", 0},
    {"SSE-User: ", "-", "-", "-", 0},
    {"SSE-User:", "-", "-", "-", 0},
    {"SSE-Session: s%20=1; x,y", "-", "-", "s%20=1; x,y", 0},
    {"SSE-Max-Age: 1", "-", "-", "-", 1},
    {"SSE-Max-Age: 0003600", "-", "-", "-", 3600},
    {"SSE-Max-Age: 31536000", "-", "-", "-", 31536000},
    {"SSE-Max-Age: 31536001", "-", "-", "-", 31536000},
    {"SSE-Max-Age: 99999999999999999999999", "-", "-", "-", 31536000},
    {"SSE-Channel: a|SSE-User: b|SSE-Session: c|SSE-Max-Age: 9", "a", "b", "c",
     9},
};

static const struct {
    const char *lines, *wrong; /* how it begins */
} bad[] = {
    {"SSE-Channel: ", "its SSE-Channel names no channel"},
    {"SSE-Channel: , ,", "its SSE-Channel names no channel"},
    {"SSE-Channel: a, %, b", "its SSE-Channel: '%' is no percent-encoded"},
    {"SSE-Channel: %4", "its SSE-Channel: '%4' is"},
    {"SSE-Channel: %zz", "its SSE-Channel: '%zz' is"},
    {"SSE-Channel: a%00b", "its SSE-Channel: 'a%00b' is"},
    {"SSE-Channel: a%0Ab", "its SSE-Channel: 'a%0Ab' is"},
    {"SSE-Channel: %7f", "its SSE-Channel: '%7f' is"},
    {"SSE-Channel: %C2%85", "its SSE-Channel: '%C2%85' is"},
    {"SSE-Channel: \xff", "its SSE-Channel: '\xff' is"},
    {"SSE-Channel: %C3", "its SSE-Channel: '%C3' is"},
    {"SSE-Channel: a|SSE-Channel: %ff", "its SSE-Channel: '%ff' is"},
    {"SSE-User: a|SSE-User: b", "it has 2 lines of SSE-User"},
    {"SSE-User: 100%", "its SSE-User: '100%' is no percent-encoded name"},
    {"SSE-User: a%0d", "its SSE-User: 'a%0d' is"},
    {"SSE-User: \x01", "its SSE-User: '\x01' is"},
    {"SSE-Session: a|SSE-Session: b", "it has 2 lines of SSE-Session"},
    {"SSE-Session: a\tb", "its SSE-Session: 'a\tb' is no word"},
    {"SSE-Session: \xed\xa0\x80", "its SSE-Session: '\xed\xa0\x80' is"},
    {"SSE-Max-Age: 0", "its SSE-Max-Age: '0' is no whole number"},
    {"SSE-Max-Age: 000", "its SSE-Max-Age: '000' is"},
    {"SSE-Max-Age: -1", "its SSE-Max-Age: '-1' is"},
    {"SSE-Max-Age: 1.5", "its SSE-Max-Age: '1.5' is"},
    {"SSE-Max-Age: 1h", "its SSE-Max-Age: '1h' is"},
    {"SSE-Max-Age: 99999999999999h", "its SSE-Max-Age: '99999999999999h' is"},
    {"SSE-Max-Age: 1, 2", "its SSE-Max-Age: '1, 2' is"},
    {"SSE-Max-Age: 1|SSE-Max-Age: 2", "it has 2 lines of SSE-Max-Age"},
};

static const char *or_dash(const char *text) { return text ? text : "-"; }

static void check_good(void)
{
    sse_grant_t grant;
    const char *wrong;
    apr_size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); ++i) {
        wrong = read_lines(&grant, good[i].lines);
        is_str(or_dash(wrong), "-", good[i].lines);
        is_str(or_dash(grant.channels
                           ? apr_array_pstrcat(pool, grant.channels, ';')
                           : NULL),
               good[i].channels, "its channels");
        is_str(or_dash(grant.user), good[i].user, "its user");
        is_str(or_dash(grant.session), good[i].session, "its word");
        is_num(apr_time_sec(grant.max_age), good[i].max_age, "its age");
    }
}

static void check_bad(void)
{
    sse_grant_t grant;
    const char *wrong;
    apr_size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(*bad); ++i) {
        wrong = or_dash(read_lines(&grant, bad[i].lines));
        is_mem(wrong, strnlen(wrong, strlen(bad[i].wrong)), bad[i].wrong,
               strlen(bad[i].wrong), bad[i].lines);
    }
}

/* "Name: " and n times the text. */
static const char *repeated(const char *name, const char *text, int n)
{
    apr_array_header_t *texts = apr_array_make(pool, n, sizeof(text));

    while (n--) {
        APR_ARRAY_PUSH(texts, const char *) = text;
    }
    return apr_pstrcat(pool, name, ": ", apr_array_pstrcat(pool, texts, 0),
                       NULL);
}

static void check_sizes(void)
{
    sse_grant_t grant;

    ok(!read_lines(&grant, repeated("SSE-Channel", "x", 400)), "400 bytes");
    ok(read_lines(&grant, repeated("SSE-Channel", "x", 401)), "401 bytes");
    ok(!read_lines(&grant, repeated("SSE-Channel", "%41", 400)), "encoded");
    ok(read_lines(&grant, repeated("SSE-Channel", "%41", 401)), "too long");
    ok(!read_lines(&grant, repeated("SSE-Channel", "x,", 100)), "100 names");
    is_num(grant.channels->nelts, 1, "of which there is one");
    is_str(or_dash(read_lines(&grant, repeated("SSE-Channel", "x,", 101))),
           "its SSE-Channel names more than 100 channels", "101 names");
    ok(!read_lines(&grant, repeated("SSE-User", "x", 256)), "user: 256");
    ok(read_lines(&grant, repeated("SSE-User", "x", 257)), "user: 257");
    ok(!read_lines(&grant, repeated("SSE-Session", "x", 512)), "word: 512");
    ok(read_lines(&grant, repeated("SSE-Session", "x", 513)), "word: 513");
    ok(strlen(read_lines(&grant, repeated("SSE-User", "%", 5000))) < 250,
       "a message stays short");
}

static void check_encoding(void)
{
    sse_grant_t grant;

    is_str(sse_grant_encode("/a b,c%~\xc3\xa9\n", pool),
           "/a%20b%2Cc%25~%C3%A9%0A", "encoded");
    is_str(sse_grant_encode("", pool), "", "nothing");
    ok(!read_lines(&grant,
                   apr_pstrcat(pool, "SSE-Channel: ",
                               sse_grant_encode("/a b, c%41 \xc3\xa9", pool),
                               NULL)),
       "is read again");
    is_str(APR_ARRAY_IDX(grant.channels, 0, const char *),
           "/a b, c%41 \xc3\xa9", "as it was");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    check_good();
    check_bad();
    check_sizes();
    check_encoding();
    apr_terminate();
    return done_testing();
}
