/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_backlog.c
 * Large responses to the requests that follow a stream on its connection.
 *
 * An MPM thread runs such a request, and if the client reads slowly, the core
 * filter would block that thread when it has more than FlushMaxThreshold left.
 * So once a response is complete, its unwritten part from the first file on is
 * kept here, above TLS, with the end of the request behind it.  The thread
 * passes a piece on when all before it was written, and leaves when the socket
 * takes no more; another one continues when it does (sse_async_next.c).  So the
 * loop never reads a file or ends a request.
 *
 * What a handler produces piece by piece (a CGI, a proxied response) is passed
 * on, and blocks the handler as everywhere.
 *
 * Threads: the MPM's that serves the connection.
 */

#include "stream/async/sse_async_conn.h"

#include <http_core.h>
#include <http_request.h>

/* Passed on at a time: encrypted, below any sensible FlushMaxThreshold. */
#define PIECE_BYTES (32 * 1024)

static const char filter_name[] = "SSE_BACKLOG";

/* What a response has left. */
typedef struct {
    apr_bucket *file; /* the first, or NULL */
    apr_bucket *end;  /* of the response or its request, or NULL */
    int must_pass;    /* FLUSH, or data of unknown length: it cannot wait */
} found_t;

static found_t look(const apr_bucket_brigade *bb)
{
    found_t found = {NULL, NULL, 0};
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_FLUSH(b) || b->length == (apr_size_t)-1) {
            found.must_pass = 1;
        }
        else if (APR_BUCKET_IS_FILE(b) && !found.file) {
            found.file = b;
        }
        else if ((APR_BUCKET_IS_EOS(b) || AP_BUCKET_IS_EOR(b)) && !found.end) {
            found.end = b;
        }
    }
    return found;
}

/* The request lives until its end has been passed on, and so does its pool.  A
 * mapping would cost some of the pool's memory for each piece. */
static void keep(sse_async_conn_t *conn, apr_bucket_brigade *bb)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_TRANSIENT(b)) {
            apr_bucket_setaside(b, conn->c->pool);
        }
        else if (APR_BUCKET_IS_FILE(b)) {
            apr_bucket_file_enable_mmap(b, 0);
        }
    }
    APR_BRIGADE_CONCAT(conn->backlog, bb);
}

/* Pass on what is in front of b. */
static apr_status_t pass_before(ap_filter_t *f, apr_bucket_brigade *bb,
                                apr_bucket *b)
{
    sse_async_conn_t *conn = f->ctx;
    apr_status_t rv = APR_SUCCESS;

    if (b != APR_BRIGADE_FIRST(bb)) {
        apr_brigade_split_ex(bb, b, conn->bb);
        rv = ap_pass_brigade(f->next, bb);
        apr_brigade_cleanup(bb);
        APR_BRIGADE_CONCAT(bb, conn->bb);
    }
    return rv;
}

static apr_status_t out_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    sse_async_conn_t *conn = f->ctx;
    apr_bucket *from;
    apr_status_t rv;
    found_t found;

    if (!conn->may_block) {
        return ap_pass_brigade(f->next, bb);
    }
    APR_BRIGADE_PREPEND(bb, conn->backlog);
    found = look(bb);
    from = found.file ? found.file : found.end;
    if (found.must_pass || !found.end) {
        return ap_pass_brigade(f->next, bb);
    }
    rv = pass_before(f, bb, from);
    if (rv != APR_SUCCESS ||
        (!found.file && !conn->c->data_in_output_filters)) {
        return ap_pass_brigade(f->next, bb);
    }
    keep(conn, bb);
    return APR_SUCCESS;
}

void sse_async_backlog_register(void)
{
    /* Above mod_ssl's filters. */
    ap_register_output_filter(filter_name, out_filter, NULL,
                              AP_FTYPE_CONNECTION + 3);
}

void sse_async_add_backlog(sse_async_conn_t *conn, request_rec *r)
{
    conn->backlog_filter = ap_add_output_filter(filter_name, conn, r, conn->c);
}

/* -- Passing on ------------------------------------------------------------ */

/* Two buckets of a file share its descriptor, and apr-util before 1.6.2 moves
 * it to the pool of what the core filter keeps of the first, which closes it
 * under the second.  So the piece is read into memory.
 * @return an error of the file's */
static apr_status_t read_piece(apr_bucket *b, apr_size_t room)
{
    const char *data;
    apr_size_t len;
    apr_status_t rv = APR_SUCCESS;

    if (APR_BUCKET_IS_FILE(b)) {
        /* Some of it becomes memory, and the rest another bucket. */
        rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
    }
    if (rv == APR_SUCCESS && b->length > room) {
        apr_bucket_split(b, room);
    }
    return rv;
}

static apr_status_t take_piece(sse_async_conn_t *conn,
                               apr_bucket_brigade *piece)
{
    apr_size_t room = PIECE_BYTES;
    apr_status_t rv;
    apr_bucket *b;

    while (room && !APR_BRIGADE_EMPTY(conn->backlog)) {
        b = APR_BRIGADE_FIRST(conn->backlog);
        rv = read_piece(b, room);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        room -= b->length;
        APR_BUCKET_REMOVE(b);
        APR_BRIGADE_INSERT_TAIL(piece, b);
    }
    return APR_SUCCESS;
}

/* The request's log line is to show that it failed. */
static void give_up(sse_async_conn_t *conn)
{
    conn->c->aborted = 1;
    apr_brigade_cleanup(conn->bb);
    apr_brigade_cleanup(conn->backlog);
}

void sse_async_write_backlog(sse_async_conn_t *conn)
{
    ap_out_filter_func core = conn->core->frec->filter_func.out_func;
    conn_rec *c = conn->c;
    conn_state_e state = c->cs->state;
    apr_status_t rv;

    c->cs->state = CONN_STATE_WRITE_COMPLETION;
    rv = core(conn->core, NULL);
    while (rv == APR_SUCCESS && !c->data_in_output_filters &&
           !APR_BRIGADE_EMPTY(conn->backlog)) {
        rv = take_piece(conn, conn->bb);
        if (rv == APR_SUCCESS) {
            rv = ap_pass_brigade(conn->backlog_filter->next, conn->bb);
        }
        apr_brigade_cleanup(conn->bb);
        if (rv == APR_SUCCESS) {
            rv = core(conn->core, NULL);
        }
    }
    if (rv != APR_SUCCESS || c->aborted) {
        give_up(conn);
    }
    c->cs->state = state;
}
