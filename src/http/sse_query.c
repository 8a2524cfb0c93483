/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_query.h"

#include <apr_strings.h>
#include <string.h>

/** A part of the query. */
typedef struct {
    const char *name, *value; /**< value: NULL where there is no "=" */
    apr_size_t name_len, value_len;
} part_t;

/* @param at in: where to go on; out: behind the part
 * @return 0: there is none */
static int next_part(const char **at, part_t *part)
{
    const char *p = *at, *end, *equals;

    if (!p || !*p) {
        return 0;
    }
    end = p + strcspn(p, "&");
    equals = memchr(p, '=', (apr_size_t)(end - p));
    part->name = p;
    part->name_len = (apr_size_t)((equals ? equals : end) - p);
    part->value = equals ? equals + 1 : NULL;
    part->value_len = equals ? (apr_size_t)(end - equals - 1) : 0;
    *at = *end ? end + 1 : end;
    return 1;
}

static int is_named(const part_t *part, const char *name)
{
    return strlen(name) == part->name_len &&
           !memcmp(name, part->name, part->name_len);
}

int sse_query_has(const request_rec *r, const char *name)
{
    const char *at = r->args;
    part_t part;

    while (next_part(&at, &part)) {
        if (is_named(&part, name)) {
            return 1;
        }
    }
    return 0;
}

static int is_any(const part_t *part, const char *const *names)
{
    while (*names && !is_named(part, *names)) {
        ++names;
    }
    return *names != NULL;
}

static const char *decode(const request_rec *r, const part_t *part, int *is_bad)
{
    const char *raw = apr_pstrmemdup(r->pool, part->value, part->value_len);
    char *value = apr_pstrdup(r->pool, raw);
    int fails = ap_unescape_urlencoded(value) != OK;

    if (is_bad) {
        *is_bad = fails;
    }
    return fails ? raw : value;
}

const char *sse_query_value(const request_rec *r, const char *const *names,
                            int *is_bad)
{
    const char *at = r->args;
    part_t part;

    while (next_part(&at, &part)) {
        if (part.value_len && is_any(&part, names)) {
            return decode(r, &part, is_bad);
        }
    }
    return NULL;
}
