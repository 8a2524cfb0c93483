/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_drive.c
 * The asynchronous drive: the loop owns connection and request, and no thread
 * waits.
 *
 * Events go down the filter chain as one brigade with one FLUSH, without which
 * mod_ssl and mod_deflate keep small writes back.  The connection's own filter
 * takes it out again, and what the socket does not take waits.
 *
 * Threads: the loop's, except sse_async_end_request() (a worker's),
 * sse_async_prepare(), sse_async_run() and on_request_gone() (the request's).
 */

#include "stream/async/sse_async_conn.h"

#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* How often one stream's queue is written before other streams'. */
#define TAKES_MOST 4
/* What a socket whose buffer is empty takes at once. */
#define SURE_BYTES (16 * 1024)

static int is_writing(const sse_stream_t *stream)
{
    return (stream->phase == SSE_PHASE_OPEN ||
            stream->phase == SSE_PHASE_DRAINING) &&
           !sse_atomic_load(&stream->is_dead);
}

static void after_write(sse_stream_t *stream, apr_status_t rv)
{
    if (rv != APR_SUCCESS) {
        sse_stream_broken(stream, sse_stream_write_reason(stream, rv), rv);
    }
    else if (!sse_async_is_flushed(stream->conn)) {
        sse_async_want_write(stream->conn, 1);
        sse_stream_stuck(stream);
    }
    else {
        sse_async_want_write(stream->conn, 0);
        sse_stream_wrote(stream, 1);
        if (stream->has_last) { /* if write_queue() has not */
            sse_limits_give_back(&stream->claim);
        }
    }
}

/* Write what was taken from the queue.  With the last of it the response ends,
 * so that the last chunk is in the same write; an EOS flushes, too. */
static apr_status_t pass(sse_stream_t *stream)
{
    apr_bucket_brigade *bb = stream->bb;
    apr_status_t rv;

    sse_stream_written(stream);
    APR_BRIGADE_INSERT_TAIL(
        bb, stream->has_last ? apr_bucket_eos_create(bb->bucket_alloc)
                             : apr_bucket_flush_create(bb->bucket_alloc));
    rv = ap_pass_brigade(stream->r->output_filters, bb);
    apr_brigade_cleanup(bb);
    return rv == APR_SUCCESS ? sse_async_write(stream->conn) : rv;
}

/* Until the queue is empty or the socket full; but an application may send as
 * fast as this writes, and there are other streams. */
static void write_queue(sse_stream_t *stream)
{
    apr_size_t taken;
    int takes = 0;

    sse_stream_poll_look(stream);
    while ((taken = sse_stream_take(stream, stream->bb)) != 0) {
        if (stream->has_last && taken <= SURE_BYTES) {
            /* Its client may be back before the write has returned. */
            sse_limits_give_back(&stream->claim);
        }
        after_write(stream, pass(stream));
        if (!sse_async_is_flushed(stream->conn) || !is_writing(stream)) {
            return;
        }
        if (++takes == TAKES_MOST) {
            sse_stream_poke(stream);
            return;
        }
    }
    sse_stream_drained(stream);
}

static void on_kick(sse_task_t *task)
{
    sse_stream_t *stream = sse_owner_of(task, sse_stream_t, kick_task);

    /* While the socket is full, events wait in the queue. */
    if (is_writing(stream) && sse_async_is_flushed(stream->conn)) {
        write_queue(stream);
    }
    sse_stream_release(stream);
}

void sse_async_writable(sse_stream_t *stream)
{
    if (!is_writing(stream)) { /* its end is being told */
        sse_async_want_write(stream->conn, 0);
        return;
    }
    after_write(stream, sse_async_write(stream->conn));
    if (sse_async_is_flushed(stream->conn) && is_writing(stream)) {
        write_queue(stream);
    }
}

/* The request goes although nobody ended its stream: a handler did not return
 * SUSPENDED.  So nobody but this thread has the connection: it waits until the
 * end was told, and writes nothing. */
static apr_status_t on_request_gone(void *baton)
{
    sse_stream_t *stream = baton;

    if (sse_loop_is_gone(stream->loop)) {
        return APR_SUCCESS; /* and so is the child */
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, stream->r,
                  "stream %s is over before it began: its handler must return "
                  "what sse_start() returned",
                  stream->notes->id);
    stream->conn->stream = NULL;
    stream->conn->is_kept = 0;
    stream->seal->is_error_page = 1;
    sse_atomic_store(&stream->is_dead, 1);
    sse_wait_prepare(stream);
    sse_atomic_store(&stream->drive, &sse_wait_drive);
    sse_stream_end(stream, SSE_CLOSE_ERROR, APR_EGENERAL);
    sse_wait_run(stream);
    return APR_SUCCESS;
}

static apr_status_t async_attach(sse_stream_t *stream)
{
    apr_pool_cleanup_kill(stream->r->pool, stream, on_request_gone);
    stream->seal->is_open = 1; /* nobody else writes from now on */
    return sse_async_watch(stream->conn);
}

static void async_kick(sse_stream_t *stream)
{
    sse_stream_post(stream, &stream->kick_task);
}

static int async_cut(sse_stream_t *stream)
{
    stream->r->connection->aborted = 1;
    return 0;
}

void sse_async_end_request(sse_stream_t *stream)
{
    request_rec *r = stream->r;
    conn_rec *c = r->connection;

    sse_stream_log_late(stream);
    sse_seal_warn(r, stream->seal);
    apr_brigade_cleanup(stream->bb);
    if (sse_leave_how() != SSE_STAY) {
        c->keepalive = AP_CONN_CLOSE;
    }
    if (!c->aborted) {
        ap_finalize_request_protocol(r);
    }
    ap_process_request_after_handler(r);
}

static void async_finish(sse_stream_t *stream)
{
    sse_async_finish(stream->conn);
}

const sse_drive_t sse_async_drive = {0,         async_attach, async_kick,
                                     async_cut, async_finish, NULL};

void sse_async_prepare(sse_stream_t *stream)
{
    stream->kick_task.run = on_kick;
}

int sse_async_run(sse_stream_t *stream)
{
    request_rec *r = stream->r;

    stream->conn = sse_async_of(r, stream->loop);
    apr_pool_pre_cleanup_register(r->pool, stream, on_request_gone);
    stream->conn->stream = stream;
    stream->conn->is_kept = 1;
    return SUSPENDED;
}
