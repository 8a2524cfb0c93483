/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_watcher_output.c
 * Whether mod_http2 has taken all of a response.
 *
 * When it has sent the end of a response it aborts the request's connection,
 * whose thread may not have come to log the request yet: then c->aborted says
 * nothing of the client.  A filter above mod_http2's sees the response's end
 * taken before that.  It is told by a flag in the connection's pool, as the
 * watcher may go with the request while the filter is still in use.
 *
 * Threads: the request's; the loop reads the flag.
 */

#include "notify/sse_watcher_private.h"

#include <util_filter.h>

#include "conn/sse_conn.h"
#include "sse_atomic.h"

static ap_filter_rec_t *filter; /* const after register_hooks */

static int has_end(const apr_bucket_brigade *bb)
{
    const apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_EOS(b)) {
            return 1;
        }
    }
    return 0;
}

static apr_status_t watched_out(ap_filter_t *f, apr_bucket_brigade *bb)
{
    int is_last = bb && has_end(bb);
    apr_status_t rv = ap_pass_brigade(f->next, bb);

    if (is_last && rv == APR_SUCCESS) {
        sse_atomic_store((int *)f->ctx, 1);
    }
    return rv;
}

const int *sse_watcher_output_add(conn_rec *c)
{
    const sse_conn_inner_t *inner = sse_conn_inner(c);
    int *taken;

    if (inner) { /* its own filter sees it */
        return &inner->is_taken;
    }
    taken = apr_pcalloc(c->pool, sizeof(*taken));

    ap_add_output_filter_handle(filter, taken, NULL, c);
    return taken;
}

void sse_watcher_output_register(void)
{
    filter = ap_register_output_filter("SSE_WATCHED_OUT", watched_out, NULL,
                                       AP_FTYPE_NETWORK - 1);
}
