/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_grant.h"

#include <string.h>

#include <apr_escape.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "config/sse_config.h"
#include "event/sse_event.h"

#define SEPARATORS ", \t"

/* A longer one means the same. */
#define MAX_AGE_SECONDS (365 * 24 * 3600)

/* Of a value in a message. */
#define QUOTED_MAX 60

/* -- Texts ----------------------------------------------------------------- */

/* UTF-8 of at most max bytes without C0, DEL or C1. */
static int is_clean(const char *text, apr_size_t len, apr_size_t max)
{
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f ||
            (text[i] == '\xc2' && i + 1 < len &&
             ((unsigned char)text[i + 1] & 0xe0) == 0x80)) {
            return 0;
        }
    }
    return len <= max && sse_utf8_valid(text, len);
}

/* @return NULL: a '%' without two hex digits behind it, or %00 */
static const char *decode(const char *text, apr_size_t len, apr_pool_t *pool)
{
    return apr_punescape_url(pool, apr_pstrmemdup(pool, text, len), NULL, NULL,
                             0);
}

static int is_plain(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '%' && c != ',';
}

const char *sse_grant_encode(const char *text, apr_pool_t *pool)
{
    char *encoded = apr_palloc(pool, 3 * strlen(text) + 1), *out = encoded;

    for (; *text; ++text) {
        if (is_plain((unsigned char)*text)) {
            *out++ = *text;
        }
        else {
            out += apr_snprintf(out, 4, "%%%02X", (unsigned char)*text);
        }
    }
    *out = '\0';
    return encoded;
}

static const char *problem(apr_pool_t *pool, const char *name,
                           const char *value, apr_size_t len, const char *what)
{
    int most = len < QUOTED_MAX ? (int)len : QUOTED_MAX;

    return apr_psprintf(pool, "its %s: '%.*s%s' %s", name, most, value,
                        len > QUOTED_MAX ? "..." : "", what);
}

/* -- Channels -------------------------------------------------------------- */

typedef struct {
    sse_grant_t *grant;
    apr_pool_t *pool;
    int n; /* names, with those that came twice */
    const char *wrong;
} reading_t;

static int has_name(const apr_array_header_t *names, const char *name)
{
    int i;

    for (i = 0; i < names->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(names, i, const char *), name)) {
            return 1;
        }
    }
    return 0;
}

static void add_channel(reading_t *reading, const char *text, apr_size_t len)
{
    apr_array_header_t *channels = reading->grant->channels;
    const char *name = decode(text, len, reading->pool);

    if (++reading->n > SSE_GRANT_CHANNELS) {
        reading->wrong = "its SSE-Channel names more than " APR_STRINGIFY(
            SSE_GRANT_CHANNELS) " channels";
    }
    else if (!name || !is_clean(name, strlen(name), SSE_CHANNEL_MAX)) {
        reading->wrong =
            problem(reading->pool, "SSE-Channel", text, len,
                    "is no percent-encoded name of 1 to " APR_STRINGIFY(
                        SSE_CHANNEL_MAX) " bytes of UTF-8 without control "
                                         "characters");
    }
    else if (!has_name(channels, name)) {
        APR_ARRAY_PUSH(channels, const char *) = name;
    }
}

static int add_channels(void *baton, const char *key, const char *value)
{
    reading_t *reading = baton;
    apr_size_t len;

    if (!reading->grant->channels) {
        reading->grant->channels =
            apr_array_make(reading->pool, 4, sizeof(const char *));
    }
    while (!reading->wrong && *(value += strspn(value, SEPARATORS))) {
        len = strcspn(value, SEPARATORS);
        add_channel(reading, value, len);
        value += len;
    }
    return !reading->wrong;
}

static const char *read_channels(reading_t *reading, const apr_table_t *headers)
{
    apr_table_do(add_channels, reading, headers, "SSE-Channel", NULL);
    if (!reading->wrong && reading->grant->channels && !reading->n) {
        return "its SSE-Channel names no channel";
    }
    return reading->wrong;
}

/* -- The others, of which there is one each -------------------------------- */

static int count_line(void *n, const char *key, const char *value)
{
    ++*(int *)n;
    return 1;
}

/* @param value out: NULL if there is none, or an empty one */
static const char *one_line(const apr_table_t *headers, const char *name,
                            const char **value, apr_pool_t *pool)
{
    int n = 0;

    *value = apr_table_get(headers, name);
    if (*value && !**value) {
        *value = NULL;
    }
    apr_table_do(count_line, &n, headers, name, NULL);
    return n > 1 ? apr_psprintf(pool, "it has %d lines of %s", n, name) : NULL;
}

static const char *read_user(reading_t *reading, const apr_table_t *headers)
{
    const char *text, *user;
    const char *wrong = one_line(headers, "SSE-User", &text, reading->pool);

    if (wrong || !text) {
        return wrong;
    }
    user = decode(text, strlen(text), reading->pool);
    if (!user || !is_clean(user, strlen(user), SSE_GRANT_USER)) {
        return problem(reading->pool, "SSE-User", text, strlen(text),
                       "is no percent-encoded name of at most " APR_STRINGIFY(
                           SSE_GRANT_USER) " bytes of UTF-8 without control "
                                           "characters");
    }
    reading->grant->user = user;
    return NULL;
}

static const char *read_session(reading_t *reading, const apr_table_t *headers)
{
    const char *text;
    const char *wrong = one_line(headers, "SSE-Session", &text, reading->pool);

    if (wrong || !text) {
        return wrong;
    }
    if (!is_clean(text, strlen(text), SSE_GRANT_SESSION)) {
        return problem(reading->pool, "SSE-Session", text, strlen(text),
                       "is no word of at most " APR_STRINGIFY(
                           SSE_GRANT_SESSION) " bytes of UTF-8 without "
                                              "control characters");
    }
    reading->grant->session = apr_pstrdup(reading->pool, text);
    return NULL;
}

/* None of 0 or below: what is left of a token that is over would be a stream
 * without an end. */
static const char *read_max_age(reading_t *reading, const apr_table_t *headers)
{
    apr_int64_t seconds = 0;
    const char *text, *p;
    const char *wrong = one_line(headers, "SSE-Max-Age", &text, reading->pool);

    if (wrong || !text) {
        return wrong;
    }
    for (p = text; apr_isdigit(*p) && seconds <= MAX_AGE_SECONDS; ++p) {
        seconds = 10 * seconds + (*p - '0');
    }
    if (p[strspn(p, "0123456789")] || !seconds) {
        return problem(reading->pool, "SSE-Max-Age", text, strlen(text),
                       "is no whole number of seconds above 0");
    }
    seconds = seconds < MAX_AGE_SECONDS ? seconds : MAX_AGE_SECONDS;
    reading->grant->max_age = apr_time_from_sec(seconds);
    return NULL;
}

const char *sse_grant_read(sse_grant_t *grant, const apr_table_t *headers,
                           apr_pool_t *pool)
{
    reading_t reading = {grant, pool, 0, NULL};
    const char *wrong;

    memset(grant, 0, sizeof(*grant));
    wrong = read_channels(&reading, headers);
    if (!wrong) {
        wrong = read_user(&reading, headers);
    }
    if (!wrong) {
        wrong = read_session(&reading, headers);
    }
    return wrong ? wrong : read_max_age(&reading, headers);
}
