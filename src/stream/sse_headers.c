/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/sse_headers.h"

#include <apr_strings.h>
#include <http_log.h>

APLOG_USE_MODULE(sse);

/* Names and values are the table's own strings, which live as long as the
 * request.  Small, as every stream has one. */
struct sse_headers_t {
    int n;
    struct {
        const char *name, *value;
    } kept[];
};

sse_headers_t *sse_headers_keep(request_rec *r)
{
    const apr_array_header_t *now = apr_table_elts(r->headers_out);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)now->elts;
    sse_headers_t *headers =
        apr_palloc(r->pool, sizeof(*headers) + (apr_size_t)now->nelts *
                                                   sizeof(headers->kept[0]));
    int i;

    headers->n = now->nelts;
    for (i = 0; i < now->nelts; ++i) {
        headers->kept[i].name = entries[i].key;
        headers->kept[i].value = entries[i].val;
    }
    return headers;
}

static int is_kept(const sse_headers_t *headers, const char *name,
                   const char *value)
{
    int i;

    for (i = 0; i < headers->n; ++i) {
        if (!strcasecmp(headers->kept[i].name, name) &&
            !strcmp(headers->kept[i].value, value)) {
            return 1;
        }
    }
    return 0;
}

static const char *add_name(request_rec *r, const char *names, const char *name)
{
    return names ? apr_pstrcat(r->pool, names, ", ", name, NULL) : name;
}

/* A header with another value now is found by is_kept(). */
static int is_removed(request_rec *r, const char *name)
{
    return !apr_table_get(r->headers_out, name);
}

void sse_headers_warn(request_rec *r, const sse_headers_t *headers)
{
    const apr_array_header_t *now = apr_table_elts(r->headers_out);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)now->elts;
    const char *names = NULL;
    int i;

    for (i = 0; i < now->nelts; ++i) {
        if (!is_kept(headers, entries[i].key, entries[i].val)) {
            names = add_name(r, names, entries[i].key);
        }
    }
    for (i = 0; i < headers->n; ++i) {
        if (is_removed(r, headers->kept[i].name)) {
            names = add_name(r, names, headers->kept[i].name);
        }
    }
    if (names) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "response headers were changed after the stream had "
                      "started, which has no effect: %s; set them before",
                      names);
    }
}
