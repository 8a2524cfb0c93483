/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse/sse_accept.h"

#include <apr_lib.h>
#include <string.h>

static const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\t') {
        ++p;
    }
    return p;
}

/* The end of this element or, if stop is ';', of this parameter. */
static const char *find_end(const char *p, char stop)
{
    int quoted = 0;

    for (; *p && (quoted || (*p != ',' && *p != stop)); ++p) {
        if (*p == '\\' && quoted && p[1]) {
            ++p;
        }
        else if (*p == '"') {
            quoted = !quoted;
        }
    }
    return p;
}

/* "0", "1", "0.5", up to three digits; anything else counts as 1. */
static int parse_q(const char *p)
{
    int q, unit = 100;

    if (*p != '0' && *p != '1') {
        return 1000;
    }
    q = (*p++ - '0') * 1000;
    if (*p == '.') {
        for (++p; apr_isdigit(*p) && unit; ++p, unit /= 10) {
            q += (*p - '0') * unit;
        }
    }
    return q > 1000 ? 1000 : q;
}

static int quality_of(const char *p, const char *end)
{
    while (p < end && *p == ';') {
        p = skip_space(p + 1);
        if ((*p == 'q' || *p == 'Q') && p[1] == '=') {
            return parse_q(p + 2);
        }
        p = find_end(p, ';');
    }
    return 1000;
}

static int is_word(const char *p, apr_size_t len, const char *word)
{
    return strlen(word) == len && !strncasecmp(p, word, len);
}

/* 3: the type itself; 2: its major type; 1: anything; 0: another type. */
static int match(const char *p, apr_size_t len, const char *type,
                 const char *subtype)
{
    const char *slash = memchr(p, '/', len);
    apr_size_t major = slash ? (apr_size_t)(slash - p) : 0;

    if (!slash) {
        return 0;
    }
    if (is_word(p, len, "*/*")) {
        return 1;
    }
    if (!is_word(p, major, type)) {
        return 0;
    }
    if (is_word(slash + 1, len - major - 1, "*")) {
        return 2;
    }
    return is_word(slash + 1, len - major - 1, subtype) ? 3 : 0;
}

int sse_accept_quality(const char *accept, const char *type,
                       const char *subtype)
{
    const char *p, *end, *name;
    int best = 0, quality = 0, rank;

    if (!accept || !*skip_space(accept)) {
        return 1000;
    }
    for (p = accept; *p; p = *end ? end + 1 : end) {
        p = skip_space(p);
        end = find_end(p, ',');
        name = p;
        while (p < end && *p != ';' && *p != ' ' && *p != '\t') {
            ++p;
        }
        rank = match(name, (apr_size_t)(p - name), type, subtype);
        if (rank > best) {
            best = rank;
            quality = quality_of(skip_space(p), end);
        }
    }
    return quality;
}
