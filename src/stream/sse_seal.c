/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/sse_seal.h"

#include <apr_strings.h>
#include <http_log.h>
#include <util_filter.h>

APLOG_USE_MODULE(sse);

static ap_filter_rec_t *filter; /* const after register_hooks */

static void drop_data(sse_seal_t *seal, apr_bucket_brigade *bb)
{
    apr_bucket *b, *next;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (!APR_BUCKET_IS_METADATA(b) ||
            (APR_BUCKET_IS_EOS(b) && seal->has_ended)) {
            apr_bucket_delete(b);
        }
        else if (APR_BUCKET_IS_EOS(b)) {
            seal->has_ended = 1;
        }
    }
}

static apr_status_t on_output(ap_filter_t *f, apr_bucket_brigade *bb)
{
    sse_seal_t *seal = f->ctx;

    if (!seal->is_open || seal->has_ended) {
        drop_data(seal, bb);
    }
    else if (!APR_BRIGADE_EMPTY(bb) &&
             APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb))) {
        seal->has_ended = 1;
    }
    return ap_pass_brigade(f->next, bb);
}

void sse_seal_register(void)
{
    filter = ap_register_output_filter("SSE_SEAL", on_output, NULL,
                                       AP_FTYPE_PROTOCOL);
}

sse_seal_t *sse_seal_add(request_rec *r)
{
    const apr_array_header_t *now = apr_table_elts(r->headers_out);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)now->elts;
    sse_seal_t *seal =
        apr_pcalloc(r->pool, sizeof(*seal) + (apr_size_t)now->nelts *
                                                 sizeof(seal->headers[0]));

    for (; seal->n < now->nelts; ++seal->n) {
        seal->headers[seal->n].name = entries[seal->n].key;
        seal->headers[seal->n].value = entries[seal->n].val;
    }
    ap_add_output_filter_handle(filter, seal, r, r->connection);
    return seal;
}

/* -- Changed headers ------------------------------------------------------- */

static int is_kept(const sse_seal_t *seal, const char *name, const char *value)
{
    int i;

    for (i = 0; i < seal->n; ++i) {
        if (!strcasecmp(seal->headers[i].name, name) &&
            !strcmp(seal->headers[i].value, value)) {
            return 1;
        }
    }
    return 0;
}

static const char *add_name(request_rec *r, const char *names, const char *name)
{
    return names ? apr_pstrcat(r->pool, names, ", ", name, NULL) : name;
}

void sse_seal_warn(request_rec *r, const sse_seal_t *seal)
{
    const apr_array_header_t *now = apr_table_elts(r->headers_out);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)now->elts;
    const char *names = NULL;
    int i;

    if (seal->is_error_page) {
        return;
    }
    for (i = 0; i < now->nelts; ++i) {
        if (!is_kept(seal, entries[i].key, entries[i].val)) {
            names = add_name(r, names, entries[i].key);
        }
    }
    for (i = 0; i < seal->n; ++i) {
        if (!apr_table_get(r->headers_out, seal->headers[i].name)) {
            names = add_name(r, names, seal->headers[i].name);
        }
    }
    if (names) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "response headers were changed after the stream had "
                      "started, which has no effect: %s; set them before",
                      names);
    }
}
