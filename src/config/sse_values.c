/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <errno.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>

#include "config/sse_values.h"
#include "event/sse_event.h"

/* apr_strtoi64() alone would take blanks and a sign. */
static int digits(const char *text, apr_int64_t *n, const char **end)
{
    char *rest;

    if (!apr_isdigit(*text)) {
        return 0;
    }
    errno = 0;
    *n = apr_strtoi64(text, &rest, 10);
    *end = rest;
    return errno == 0;
}

int sse_values_count(const char *text, apr_int64_t *count)
{
    const char *end;

    return digits(text, count, &end) && !*end;
}

int sse_values_share(const char *text, apr_int64_t *n, int *is_percent)
{
    const char *end;

    if (!digits(text, n, &end)) {
        return 0;
    }
    *is_percent = *end == '%';
    return !end[*is_percent];
}

/* ap_timeout_parameter_parse() looks at the unit's first letters only, and at
 * an errno that it has not reset. */
int sse_values_time(const char *text, apr_int64_t *microseconds)
{
    static const char *const units[] = {"", "s", "ms", "mi", "min", "h"};
    const char *unit;
    apr_int64_t n;
    apr_size_t i;

    if (!digits(text, &n, &unit)) {
        return 0;
    }
    for (i = 0; i < sizeof(units) / sizeof(units[0]); ++i) {
        if (!strcmp(unit, units[i])) {
            errno = 0;
            return ap_timeout_parameter_parse(text, microseconds, "s") ==
                   APR_SUCCESS;
        }
    }
    return 0;
}

int sse_values_size(const char *text, apr_int64_t *bytes)
{
    static const char units[] = "kmg";
    const char *end, *unit;
    int shift = 0;

    if (!digits(text, bytes, &end)) {
        return 0;
    }
    if (*end) {
        unit = strchr(units, apr_tolower(*end));
        if (!unit || end[1]) {
            return 0;
        }
        shift = 10 * (int)(unit - units + 1);
    }
    if (*bytes > APR_INT64_MAX >> shift) {
        return 0;
    }
    *bytes <<= shift;
    return 1;
}

int sse_values_either(const char *text, const char *zero, const char *one)
{
    if (!ap_cstr_casecmp(text, zero)) {
        return 0;
    }
    return !ap_cstr_casecmp(text, one) ? 1 : -1;
}

/* Less than a tenth of a second is taken for a mistaken unit. */
#define QUEUE_MIN      (APR_INT64_C(1) << 10)
#define QUEUE_MAX      (APR_INT64_C(1) << 30)
#define QUEUE_TIME_MIN apr_time_from_msec(100)
#define QUEUE_TIME_MAX apr_time_from_sec(24 * 3600)

const char *sse_values_queue(const char *const *words, int n,
                             sse_values_queue_t *queue, const char **wrong)
{
    *wrong = words[0];
    if (!sse_values_size(words[0], &queue->bytes) || queue->bytes < QUEUE_MIN ||
        queue->bytes > QUEUE_MAX) {
        return "1k to 1g: " SSE_VALUES_SIZE;
    }
    if (n > 1) {
        *wrong = words[1];
        queue->drop = sse_values_either(words[1], "close", "drop");
        if (queue->drop < 0) {
            return "close or drop after the bytes";
        }
    }
    if (n > 2) {
        *wrong = words[2];
        if (!sse_values_time(words[2], &queue->time) ||
            (queue->time &&
             (queue->time < QUEUE_TIME_MIN || queue->time > QUEUE_TIME_MAX))) {
            return "0 (no limit) or 100ms to 24h: " SSE_VALUES_TIME;
        }
    }
    return NULL;
}

int sse_values_has_word(const apr_array_header_t *words, const char *word)
{
    int i;

    for (i = 0; i < words->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(words, i, const char *), word)) {
            return 1;
        }
    }
    return 0;
}

/* A name without variables is the same for every request, so it is checked now:
 * no C0, DEL or C1. */
int sse_values_may_be_channel(const char *text, apr_size_t max)
{
    const char *p;

    if (strpbrk(text, "%\\")) {
        return 1;
    }
    for (p = text; *p; ++p) {
        if (apr_iscntrl(*p) || (*p == '\xc2' && (p[1] & 0xe0) == 0x80)) {
            return 0;
        }
    }
    return (apr_size_t)(p - text) <= max &&
           sse_utf8_valid(text, (apr_size_t)(p - text));
}

/* RFC 3986, 3.1; in lower case. */
static int is_scheme(const char *s, const char *end)
{
    if (s == end || !apr_isalpha(*s)) {
        return 0;
    }
    for (; s < end; ++s) {
        if (!apr_isalnum(*s) && !strchr("+-.", *s)) {
            return 0;
        }
    }
    return 1;
}

/* [address], in the form that browsers use. */
static const char *parse_ipv6(apr_pool_t *pool, const char *text,
                              const char **host, const char **rest)
{
    static const char wrong[] = "between [ and ] must be an IPv6 address";
    const char *end = ap_strchr_c(text, ']');
    char shortest[INET6_ADDRSTRLEN];
    struct in6_addr addr;

    if (!end ||
        inet_pton(AF_INET6, apr_pstrmemdup(pool, text + 1, end - text - 1),
                  &addr) != 1 ||
        !inet_ntop(AF_INET6, &addr, shortest, sizeof(shortest))) {
        return wrong;
    }
    *host = apr_pstrcat(pool, "[", shortest, "]", NULL);
    *rest = end + 1;
    return NULL;
}

static const char *parse_host(apr_pool_t *pool, const char *text,
                              const char **host, const char **rest)
{
    const char *end = text;

    if (*text == '[') {
        return parse_ipv6(pool, text, host, rest);
    }
    while (apr_isalnum(*end) || (*end && strchr("-._", *end))) {
        ++end;
    }
    if (*end == '*') {
        return "part of a host cannot be left open by '*'";
    }
    if (*end == '@') {
        return "an origin has no user";
    }
    if (*end & 0x80) {
        return "a browser sends such a host in ASCII (xn--...)";
    }
    if (!apr_isalnum(*text)) {
        return "it has no host after '://'";
    }
    *host = apr_pstrmemdup(pool, text, end - text);
    *rest = end;
    return NULL;
}

/* Browsers leave out the scheme's default port. */
static int port_is_implied(const char *scheme, apr_int64_t port)
{
    return (port == 80 && !strcmp(scheme, "http")) ||
           (port == 443 && !strcmp(scheme, "https"));
}

static const char *parse_port(const char *text, const char *scheme,
                              apr_int64_t *port)
{
    const char *end = text;

    *port = 0;
    if (*text == ':') {
        if (text[1] == '0' || !digits(text + 1, port, &end) || *port > 65535) {
            return "a port is 1 to 65535";
        }
        if (port_is_implied(scheme, *port)) {
            *port = 0;
        }
    }
    if (*end && strchr("/?#", *end)) {
        return "an origin ends with its host or port: no path, not even '/'";
    }
    return *end ? "a host has letters, digits, '-', '_' and '.' only" : NULL;
}

const char *sse_values_origin(apr_pool_t *pool, const char *text,
                              const char **origin)
{
    char *lower = apr_pstrdup(pool, text);
    const char *host, *rest, *wrong;
    apr_int64_t port;
    char *colon;

    *origin = text;
    if (!strcmp(text, "*")) {
        return NULL;
    }
    ap_str_tolower(lower);
    if (!strcmp(lower, "null")) {
        return "every sandboxed frame and every local file sends it, on "
               "anybody's page, so it stands for nobody";
    }
    colon = strstr(lower, "://");
    if (!colon || !is_scheme(lower, colon)) {
        return "it does not begin with a scheme such as 'https://'";
    }
    *colon = '\0';
    wrong = parse_host(pool, colon + 3, &host, &rest);
    if (!wrong) {
        wrong = parse_port(rest, lower, &port);
    }
    if (!wrong) {
        *origin = apr_pstrcat(
            pool, lower, "://", host,
            port ? apr_psprintf(pool, ":%" APR_INT64_T_FMT, port) : NULL, NULL);
    }
    return wrong;
}
