/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/sse_seal.h"

#include <util_filter.h>

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

    if (!seal->is_open) {
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
    sse_seal_t *seal = apr_pcalloc(r->pool, sizeof(*seal));

    ap_add_output_filter_handle(filter, seal, r, r->connection);
    return seal;
}
