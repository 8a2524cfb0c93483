/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_write.c
 * Writing to an asynchronous connection without blocking.
 *
 * The core filter blocks on FLUSH, and when it has more than FlushMaxThreshold
 * left.  So while the loop owns the connection, whatever comes down the chain
 * waits in a filter, which passes a small piece on at a time, and the next one
 * when all before it was written.
 *
 * Threads: the connection's owner.
 */

#include "stream/async/sse_async_conn.h"

#include <http_core.h>
#include <http_request.h>

/* What the core filter is given at a time: below its FlushMaxThreshold. */
#define PIECE_BYTES (16 * 1024)

static const char filter_name[] = "SSE_ASYNC";

static apr_status_t out_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    sse_async_conn_t *conn = f->ctx;
    apr_bucket *b, *next;

    if (conn->may_block) {
        APR_BRIGADE_PREPEND(bb, conn->pending);
        return ap_pass_brigade(f->next, bb);
    }
    if (conn->c->aborted) {
        apr_brigade_cleanup(conn->pending);
        apr_brigade_cleanup(bb);
        return APR_ECONNABORTED;
    }
    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (APR_BUCKET_IS_FLUSH(b)) {
            apr_bucket_delete(b);
        }
    }
    return ap_save_brigade(f, &conn->pending, &bb, conn->c->pool);
}

void sse_async_register(void)
{
    ap_register_output_filter(filter_name, out_filter, NULL,
                              AP_FTYPE_NETWORK - 1);
    sse_async_backlog_register();
}

void sse_async_add_filter(sse_async_conn_t *conn, request_rec *r)
{
    ap_filter_t *f;

    /* With a request, so that its chain has it too. */
    ap_add_output_filter(filter_name, conn, r, conn->c);
    for (f = conn->c->output_filters; f->next; f = f->next) {
    }
    conn->core = f;
}

static apr_size_t piece_size(const sse_async_conn_t *conn)
{
    const core_server_config *conf =
        ap_get_core_module_config(conn->c->base_server->module_config);
    apr_size_t most = conf->flush_max_threshold;

    return most && most < PIECE_BYTES ? most : PIECE_BYTES;
}

/* Metadata (the end of the connection) goes alone, when all before it has been
 * written. */
static void take_piece(sse_async_conn_t *conn, apr_bucket_brigade *piece)
{
    apr_size_t room = piece_size(conn);
    apr_bucket *b;

    do {
        b = APR_BRIGADE_FIRST(conn->pending);
        if (APR_BUCKET_IS_METADATA(b)) {
            if (APR_BRIGADE_EMPTY(piece)) {
                APR_BUCKET_REMOVE(b);
                APR_BRIGADE_INSERT_TAIL(piece, b);
            }
            return;
        }
        if (b->length > room) {
            apr_bucket_split(b, room);
        }
        room -= b->length;
        APR_BUCKET_REMOVE(b);
        APR_BRIGADE_INSERT_TAIL(piece, b);
    } while (room && !APR_BRIGADE_EMPTY(conn->pending));
}

apr_status_t sse_async_write(sse_async_conn_t *conn)
{
    ap_out_filter_func core = conn->core->frec->filter_func.out_func;
    apr_status_t rv = core(conn->core, NULL);

    while (rv == APR_SUCCESS && !conn->c->aborted &&
           !conn->c->data_in_output_filters &&
           !APR_BRIGADE_EMPTY(conn->pending) &&
           !sse_async_at_request_end(conn)) {
        take_piece(conn, conn->bb);
        rv = core(conn->core, conn->bb);
        apr_brigade_cleanup(conn->bb);
        if (rv == APR_SUCCESS) {
            rv = core(conn->core, NULL);
        }
    }
    return conn->c->aborted && rv == APR_SUCCESS ? APR_ECONNABORTED : rv;
}

int sse_async_is_flushed(const sse_async_conn_t *conn)
{
    return !conn->c->data_in_output_filters &&
           APR_BRIGADE_EMPTY(conn->pending) && APR_BRIGADE_EMPTY(conn->backlog);
}

int sse_async_at_request_end(const sse_async_conn_t *conn)
{
    return !conn->c->data_in_output_filters &&
           !APR_BRIGADE_EMPTY(conn->pending) &&
           AP_BUCKET_IS_EOR(APR_BRIGADE_FIRST(conn->pending));
}

void sse_async_want_write(sse_async_conn_t *conn, int on)
{
    sse_peer_want(&conn->peer, UV_WRITABLE, on);
}
