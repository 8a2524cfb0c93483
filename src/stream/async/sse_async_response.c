/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_response.c
 * The end of a response on an asynchronous connection, a stream's or another:
 * its last bytes, its request's end, and what becomes of the connection.
 *
 * Threads: the loop's, but for what is marked as a worker's.
 */

#include "stream/async/sse_async_private.h"

static void go_on(sse_async_conn_t *conn)
{
    conn_rec *c = conn->c;

    sse_async_count_logged(conn);
    if (c->keepalive != AP_CONN_KEEPALIVE || sse_leave_how() != SSE_STAY) {
        sse_async_linger(conn);
    }
    else if (c->data_in_input_filters) {
        sse_async_serve_next(conn);
    }
    else {
        sse_async_await_next(conn);
    }
}

static void await_writing(sse_async_conn_t *conn)
{
    sse_async_transit(conn, SSE_ASYNC_FLUSHING);
    sse_async_set_deadline(conn, conn->server->timeout, sse_async_end);
    sse_async_want_write(conn, 1);
}

/* Worker: all before it was written. */
static void end_request(sse_async_conn_t *conn)
{
    apr_bucket_delete(APR_BRIGADE_FIRST(conn->pending));
}

void sse_async_flush(sse_async_conn_t *conn)
{
    if (!conn->mpm_writes && sse_async_write(conn) != APR_SUCCESS) {
        sse_async_end(conn);
    }
    else if (sse_async_is_flushed(conn)) {
        sse_async_want_write(conn, 0);
        go_on(conn);
    }
    else if (!conn->mpm_writes && sse_async_at_request_end(conn)) {
        sse_async_work(conn, end_request, sse_async_flush);
    }
    else if (sse_leave_how() == SSE_LEAVE_AT_ONCE) {
        sse_async_end(conn);
    }
    else if (conn->state != SSE_ASYNC_FLUSHING) {
        await_writing(conn);
    }
}

/* Worker. */
static void finish_stream(sse_async_conn_t *conn)
{
    sse_async_end_request(conn->stream);
    if (conn->c->aborted) {
        sse_async_prepare_close(conn);
    }
}

static void after_stream(sse_async_conn_t *conn)
{
    sse_stream_release(conn->stream); /* the drive's */
    conn->stream = NULL;
    conn->is_counted = 1;
    conn->peer.half_keep = 1; /* what it still sends is read to its end */
    conn->c->cs->state = CONN_STATE_SUSPENDED;
    if (conn->peer_open) {
        sse_async_flush(conn);
    }
    else {
        sse_async_end(conn);
    }
}

void sse_async_finish(sse_async_conn_t *conn)
{
    sse_async_work(conn, finish_stream, after_stream);
}
