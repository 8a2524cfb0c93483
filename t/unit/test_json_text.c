/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* JSON as text: what is accepted is what jansson accepts, what is refused is
 * told with its place, and neither size nor names make it slow. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "t/unit/json_oracle.h"
#include "t/unit/tap.h"

#define S(text)                                                                \
    {                                                                          \
        text, sizeof(text) - 1                                                 \
    }

typedef struct {
    const char *ptr;
    size_t len;
} text_t;

static const text_t valid[] = {
    S("null"),
    S(" true "),
    S("false\n"),
    S("\"\""),
    S("0"),
    S("-0"),
    S("-0.0e-0"),
    S("1E+2"),
    S("12345678901234567890123"),
    S("1.7976931348623157e308"),
    S("1.7976931348623158079e308"),
    S("17976931348623157e292"),
    S("0.000000000000000000017976931348623157e328"),
    S("0e999999999999999999999999"),
    S("0.00e999999999999999999999999"),
    S("1e-999999999999999999999999"),
    S("4.9e-324"),
    S("[]"),
    S(" [ ] "),
    S("{}"),
    S("{ }"),
    S("[[],{},[{}]]"),
    S("[1,2 , 3]"),
    S("{\"\":1}"),
    S("{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}"),
    S("{\"a\":1,\"A\":2,\"a \":3,\"\\u00e9\":4,\"e\":5}"),
    S(" {\t\"a\"\r:\n[ 1 , {\"b\" : \"x  \\\" y\" } ] , \"c\":null } "),
    S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\uD83D\\ude00\""),
    S("\"\\u0000\""),
    S("\"\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""),
    S("{\"d\\u0061ta\":[ 1 ],\"\\ud83d\\ude00\":\"\\\\\"}"),
    S("{\"a\":\"]}\\\"{[\",\"b\":1}"),
};

/* A text, and where and what is wrong with it. */
static const struct {
    text_t text;
    int line, column;
    const char *words;
} invalid[] = {
    {S(""), 1, 1, "value"},
    {S(" \n "), 2, 2, "value"},
    {S("nul"), 1, 1, "value"},
    {S("nullx"), 1, 5, "follows"},
    {S("True"), 1, 1, "value"},
    {S("\xef\xbb\xbf{}"), 1, 1, "value"},
    {S("1 2"), 1, 3, "follows"},
    {S("{}\0"), 1, 3, "follows"},
    {S("[1]]"), 1, 4, "follows"},
    {S("["), 1, 2, "value"},
    {S("[1"), 1, 3, "comma or ]"},
    {S("[1,"), 1, 4, "value"},
    {S("[1,]"), 1, 4, "value"},
    {S("[,1]"), 1, 2, "value"},
    {S("[1 2]"), 1, 4, "comma or ]"},
    {S("[1}"), 1, 3, "comma or ]"},
    {S("{"), 1, 2, "name"},
    {S("{a:1}"), 1, 2, "name"},
    {S("{\"a\"}"), 1, 5, "colon"},
    {S("{\"a\":}"), 1, 6, "value"},
    {S("{\"a\":1,}"), 1, 8, "name"},
    {S("{\"a\":1 \"b\":2}"), 1, 8, "comma or }"},
    {S("{\"a\":1]"), 1, 7, "comma or }"},
    {S("{\"a\":1"), 1, 7, "comma or }"},
    {S("{'a':1}"), 1, 2, "name"},
    {S("\"a"), 1, 1, "closing quote"},
    {S("\"a\\\""), 1, 1, "closing quote"},
    {S("\"a\\"), 1, 1, "closing quote"},
    {S("\"\\x\""), 1, 2, "escape"},
    {S("\"\\\0\""), 1, 2, "escape"},
    {S("\"\\u12\""), 1, 2, "hexadecimal"},
    {S("\"\\u12g4\""), 1, 2, "hexadecimal"},
    {S("\"\\u"), 1, 2, "hexadecimal"},
    {S("\"\\ud800\""), 1, 2, "surrogate"},
    {S("\"\\ud800\\n\""), 1, 2, "surrogate"},
    {S("\"\\ud800\\u0041\""), 1, 2, "surrogate"},
    {S("\"\\udc00\""), 1, 2, "surrogate"},
    {S("\"\\udc00\\ud800\""), 1, 2, "surrogate"},
    {S("\"\\ud83d\\ude0"), 1, 2, "surrogate"},
    {S("{\"a\\u0000\":1}"), 1, 4, "NUL"},
    {S("\"a\nb\""), 1, 3, "control"},
    {S("\"a\0b\""), 1, 3, "control"},
    {S("\"\x1f\""), 1, 2, "control"},
    {S("\"\xc3(\""), 1, 1, "UTF-8"},
    {S("\"\xc3\""), 1, 1, "UTF-8"},
    {S("\"\xc0\x80\""), 1, 1, "UTF-8"},
    {S("\"\xed\xa0\x80\""), 1, 1, "UTF-8"},
    {S("\"\xf4\x90\x80\x80\""), 1, 1, "UTF-8"},
    {S("[1,\xff]"), 1, 4, "value"},
    {S("-"), 1, 1, "number"},
    {S("+1"), 1, 1, "value"},
    {S("01"), 1, 1, "number"},
    {S("-01"), 1, 1, "number"},
    {S("1."), 1, 1, "number"},
    {S(".5"), 1, 1, "value"},
    {S("1e"), 1, 1, "number"},
    {S("1e+"), 1, 1, "number"},
    {S("1e309"), 1, 1, "too large"},
    {S("-1e309"), 1, 1, "too large"},
    {S("1.7976931348623159e308"), 1, 1, "too large"},
    {S("179769313486231580793728971405303415079935e267"), 1, 1, "too large"},
    {S("0.00001e999999999999999999999999"), 1, 1, "too large"},
    {S("NaN"), 1, 1, "value"},
    {S("{\"a\":1,\"a\":2}"), 1, 8, "duplicate"},
    {S("{\"a\":1,\n \"\xc3\xa9\":2, \"\\u0061\":2}"), 2, 9, "duplicate"},
    {S("{\"\xc3\xa9\":1,\"\\u00E9\":2}"), 1, 8, "duplicate"},
    {S("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}"), 1, 19, "duplicate"},
    {S("{\"\":1,\"\":2}"), 1, 7, "duplicate"},
    {S("{\"x\":{\"a\":1,\"b\":[{\"a\":1}],\"a\":2}}"), 1, 27, "duplicate"},
};

static apr_uint64_t seed = 88172645463325252u;

static unsigned int roll(unsigned int n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned int)(seed >> 32) % n;
}

static void test_valid(void)
{
    char what[100];
    size_t i;
    int accepted;

    for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
        const char *wrong =
            oracle_compare(valid[i].ptr, valid[i].len, &accepted);

        snprintf(what, sizeof(what), "valid %.60s%s%s", valid[i].ptr,
                 wrong ? ": " : "", wrong ? wrong : "");
        what[strcspn(what, "\r\n")] = '\0';
        ok(!wrong && accepted, what);
    }
}

static void test_invalid(void)
{
    char what[160];
    size_t i;
    int accepted;

    for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        const text_t *text = &invalid[i].text;
        const char *wrong = oracle_compare(text->ptr, text->len, &accepted);
        sse_json_error_t error = {"", 0, 0};

        sse_json_check((sse_slice_t){text->ptr, text->len}, &error);
        snprintf(what, sizeof(what), "invalid %u: %s at %u:%u%s%s", (unsigned)i,
                 error.text, (unsigned)error.line, (unsigned)error.column,
                 wrong ? ": " : "", wrong ? wrong : "");
        ok(!wrong && !accepted && (int)error.line == invalid[i].line &&
               (int)error.column == invalid[i].column &&
               strstr(error.text, invalid[i].words),
           what);
    }
}

/* n times open, inner, n times close. */
static char *nested(int n, const char *open, const char *inner,
                    const char *close, size_t *len)
{
    size_t a = strlen(open), b = strlen(close);
    char *text = malloc((a + b) * (size_t)n + strlen(inner) + 1), *p = text;
    int i;

    if (!text) {
        abort();
    }
    for (i = 0; i < n; i++) {
        p = (char *)memcpy(p, open, a) + a;
    }
    p += sprintf(p, "%s", inner);
    for (i = 0; i < n; i++) {
        p = (char *)memcpy(p, close, b) + b;
    }
    *len = (size_t)(p - text);
    return text;
}

static void test_depth(void)
{
    static const struct {
        const char *open, *inner, *close;
        int n, accepted;
    } rows[] = {
        {"[", "1", "]", 2047, 1},        {"[", "", "]", 2048, 1},
        {"[", "1", "]", 2048, 0},        {"[", "", "]", 2049, 0},
        {"{\"a\":", "1", "}", 2047, 1},  {"{\"a\":", "1", "}", 2048, 0},
        {"[", "", "", 100000, 0},        {"{\"a\":", "", "", 100000, 0},
        {"[{\"a\":", "", "}]", 1024, 0},
    };
    char what[80];
    size_t i, len;
    int accepted;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text =
            nested(rows[i].n, rows[i].open, rows[i].inner, rows[i].close, &len);

        snprintf(what, sizeof(what), "%d times %s around %s", rows[i].n,
                 rows[i].open, rows[i].inner);
        ok(!oracle_compare(text, len, &accepted) &&
               accepted == rows[i].accepted,
           what);
        free(text);
    }
}

/* -- Random texts ---------------------------------------------------------- */

typedef struct {
    char at[4096];
    size_t len;
} draft_t;

static void add(draft_t *draft, const char *text)
{
    size_t len = strlen(text);

    if (draft->len + len < sizeof(draft->at)) {
        memcpy(draft->at + draft->len, text, len);
        draft->len += len;
    }
}

#define PICK(list) list[roll(sizeof(list) / sizeof(list[0]))]

static void add_blank(draft_t *draft)
{
    static const char *const blanks[] = {"", "", "", " ", "\n", "\t\r "};

    add(draft, PICK(blanks));
}

static void add_string(draft_t *draft)
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         "\\u0061",
                                         "\\u0062",
                                         "\\n",
                                         "\\u00e9",
                                         "\xc3\xa9",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\\ud83d\\ude00",
                                         "\xf0\x9f\x98\x80",
                                         "]",
                                         "}",
                                         " ",
                                         "\\u0000"};
    unsigned int n = roll(4);

    add(draft, "\"");
    while (n--) {
        add(draft, pieces[roll(roll(3) ? 4 : 16)]);
    }
    add(draft, "\"");
}

static void add_value(draft_t *draft, int depth)
{
    static const char *const words[] = {
        "null", "true",  "false",   "0",       "-1",     "1.50",  "1e3",
        "-0",   "1e308", "1.8e308", "-9E+307", "0.1e-9", "\"x\"", "12"};
    unsigned int kind = roll(depth < 5 ? 6 : 3), n = roll(5);
    int object = kind == 3;

    add_blank(draft);
    if (kind < 2) {
        add(draft, PICK(words));
    }
    else if (kind == 2) {
        add_string(draft);
    }
    else {
        object = object || depth == 0;
        add(draft, object ? "{" : "[");
        while (n--) {
            add_blank(draft);
            if (object) {
                add_string(draft);
                add_blank(draft);
                add(draft, ":");
            }
            add_value(draft, depth + 1);
            add(draft, n ? "," : "");
        }
        add_blank(draft);
        add(draft, object ? "}" : "]");
    }
    add_blank(draft);
}

/* A byte somewhere is another one, gone, or there twice. */
static void mutate(draft_t *draft)
{
    static const char bytes[] = "{}[]\",:\\u09ae.+- \n\xc3\xa9\x01tfn";
    size_t at = draft->len ? roll((unsigned)draft->len) : 0;

    switch (draft->len ? roll(4) : 4) {
    case 0:
    case 1:
        draft->at[at] = bytes[roll(sizeof(bytes))];
        break;
    case 2:
        memmove(draft->at + at, draft->at + at + 1, draft->len - at - 1);
        --draft->len;
        break;
    case 3:
        if (draft->len < sizeof(draft->at)) {
            memmove(draft->at + at + 1, draft->at + at, draft->len - at);
            ++draft->len;
        }
        break;
    default:
        break;
    }
}

static void test_random(void)
{
    int i, accepted, count = 0, refused = 0, wrong = 0;
    draft_t draft;

    for (i = 0; i < 200000 && !wrong; i++) {
        const char *what;

        draft.len = 0;
        add_value(&draft, 0);
        if (i % 2) {
            mutate(&draft);
        }
        what = oracle_compare(draft.at, draft.len, &accepted);
        count += accepted;
        refused += !accepted;
        if (what) {
            wrong = 1;
            printf("# %s: %.*s\n", what, (int)draft.len, draft.at);
        }
    }
    ok(!wrong, "jansson agrees about 200,000 random texts");
    printf("# %d accepted, %d refused\n", count, refused);
    ok(count > 40000 && refused > 40000, "of both kinds there are many");
}

/* -- Sizes ----------------------------------------------------------------- */

static double seconds_of(const char *text, size_t len, apr_status_t *rv)
{
    struct timespec a, b;
    sse_json_error_t error;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    *rv = sse_json_check((sse_slice_t){text, len}, &error);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    return (double)(b.tv_sec - a.tv_sec) +
           (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

/* One object of many names: they are compared with no more than n log n. */
static void test_many_names(void)
{
    static const char *const formats[] = {"%s\"%x\":0", "%s\"\\u0061%x\":0"};
    char *text = malloc(16 * 1000000 + 100), *p;
    sse_json_error_t error;
    apr_status_t rv;
    unsigned int i, j;
    double took;

    for (j = 0; j < 2; j++) {
        p = text + sprintf(text, "{");
        for (i = 0; i < 500000; i++) {
            p += sprintf(p, formats[j], i ? "," : "", i);
        }
        p += sprintf(p, "}");
        took = seconds_of(text, (size_t)(p - text), &rv);
        printf("# %u names, %u bytes: %.3f s\n", i, (unsigned)(p - text), took);
        ok(rv == APR_SUCCESS && took < 5, "half a million names in an object");
        p += sprintf(p - 1, ",%s\"7a11f\":0}", j ? "\"\\u0061\":0," : "") - 1;
        rv = sse_json_check((sse_slice_t){text, (size_t)(p - text)}, &error);
        if (!j) {
            ok(rv == APR_EINVAL && strstr(error.text, "duplicate"),
               "and one of them twice");
        }
        else {
            ok(rv == APR_SUCCESS, "and none of them twice");
        }
    }
    free(text);
}

static void test_in_place(void)
{
    char text[] = "a\\u00e9\\\"\\uD83D\\uDE00z",
         compact[] = " { \"a b\" : [ 1.10 ,\n\"\\\" \" ] } ";
    size_t len = sse_json_unescape(text, sizeof(text) - 1);

    is_mem(text, len, "a\xc3\xa9\"\xf0\x9f\x98\x80z", 9, "escapes in place");
    len = sse_json_compact(compact, sizeof(compact) - 1);
    is_mem(compact, len, "{\"a b\":[1.10,\"\\\" \"]}", 20, "blanks in place");
}

/* Whatever is in a text, a walk does not leave it. */
static void test_walk(void)
{
    static const text_t texts[] = {S("\""),   S("\"\\"),     S("[[[["), S("]"),
                                   S("{\"a"), S("\"a\\\"b"), S("")};
    size_t i;
    int good = 1;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *copy = oracle_copy(texts[i].ptr, texts[i].len);
        sse_json_walk_t walk = sse_json_walk((sse_slice_t){copy, texts[i].len});
        sse_slice_t value = sse_json_skip_value(&walk);

        good = good && walk.p <= walk.end &&
               value.ptr + value.len <= copy + texts[i].len;
        free(copy);
    }
    ok(good, "a walk ends with the text");
}

int main(void)
{
    json_object_seed(1);
    test_valid();
    test_invalid();
    test_depth();
    test_random();
    test_many_names();
    test_in_place();
    test_walk();
    return done_testing();
}
