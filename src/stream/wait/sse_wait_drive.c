/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_wait_drive.c
 * The waiting drive: worker, prefork, HTTP/2, internal redirects.
 *
 * The handler's thread owns request and connection throughout: it waits for the
 * queue and writes, blocking.  The loop watches the socket, keeps the timers
 * and decides the end; when the end has been told, it sets "finished" and the
 * thread leaves.  An HTTP/2 stream has no socket of its own: its end shows only
 * in c->aborted, which its thread polls.
 */

#include "stream/sse_stream_private.h"

#include <http_core.h>
#include <http_protocol.h>

#include "sse_atomic.h"
#include "stream/wait/sse_h2_requests.h"

/* How often an HTTP/2 stream's thread looks whether it was reset. */
#define ABORT_POLL_MSEC 50
/* What an HTTP/2 stream writes at a time: mod_http2 reports only writes that it
 * has taken whole, and a slow client is known by what was not. */
#define PIECE_BYTES (16 * 1024)
/* httpd's Timeout would fail the writes to a client that reads slowly, since
 * the kernel reports room only when a third of the buffer is free.  Here the
 * loop has a write fail.  poll() takes no more than 24 days. */
#define NO_TIMEOUT apr_time_from_sec(20 * 24 * 3600)

/* -- On the loop ----------------------------------------------------------- */

static void on_gone(sse_peer_t *peer, sse_close_reason_e reason,
                    apr_status_t status)
{
    sse_stream_end(sse_owner_of(peer, sse_stream_t, peer), reason, status);
}

/* Only the handler's thread may read through the connection's filters. */
static void on_readable(sse_peer_t *peer)
{
    sse_stream_t *stream = sse_owner_of(peer, sse_stream_t, peer);

    sse_peer_want(peer, UV_READABLE, 0);
    pthread_mutex_lock(&stream->lock);
    stream->check_input = 1;
    pthread_cond_signal(&stream->cond);
    pthread_mutex_unlock(&stream->lock);
}

static void on_writable(sse_peer_t *peer) {}

static void let_go(sse_stream_t *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->finished = 1;
    pthread_cond_signal(&stream->cond);
    pthread_mutex_unlock(&stream->lock);
    sse_stream_release(stream); /* the drive's */
    sse_leave_count_down();
}

/* Only now may the thread go on and httpd close the descriptor. */
static void on_closed(sse_peer_t *peer)
{
    let_go(sse_owner_of(peer, sse_stream_t, peer));
}

static const sse_peer_events_t peer_events = {on_gone, on_readable, on_writable,
                                              on_closed};

static apr_status_t wait_attach(sse_stream_t *stream)
{
    conn_rec *c = stream->r->connection;
    int fd = sse_conn_fd(c);
    apr_status_t rv;

    sse_slow_watch(stream); /* a write that hangs reports nothing */
    if (fd < 0) {
        return APR_SUCCESS;
    }
    rv = sse_peer_open_shared(&stream->peer, stream->loop, fd,
                              stream->opts.half_keep, &peer_events);
    if (rv == APR_SUCCESS) {
        stream->peer_open = 1;
        sse_peer_want(&stream->peer, UV_READABLE, sse_conn_is_tls(c));
    }
    return rv;
}

/* sse_stream_push() has signalled already; but a long poll's thread waits until
 * the loop knows whether it ends here. */
static void wait_kick(sse_stream_t *stream)
{
    if (sse_stream_is_long(stream)) {
        sse_stream_poke(stream);
    }
}

/* The thread may hang in a write to a client that does not read. */
static int wait_cut(sse_stream_t *stream)
{
    int is_writing;

    sse_atomic_store(&stream->is_dead, 1);
    pthread_mutex_lock(&stream->lock);
    is_writing = stream->in_flight > 0;
    if (is_writing && stream->peer_open) {
        sse_peer_shut(&stream->peer);
    }
    pthread_mutex_unlock(&stream->lock);
    return is_writing;
}

static void wait_finish(sse_stream_t *stream)
{
    if (stream->peer_open) {
        sse_peer_close(&stream->peer);
    }
    else {
        let_go(stream);
    }
}

const sse_drive_t sse_wait_drive = {1,        wait_attach, wait_kick,
                                    wait_cut, wait_finish, NULL};

static void on_drained(sse_task_t *task)
{
    sse_stream_t *stream = sse_owner_of(task, sse_stream_t, kick_task);
    int has_written; /* if not, the source has asked for on_drained() */

    pthread_mutex_lock(&stream->lock);
    has_written = stream->has_written;
    stream->has_written = 0;
    pthread_mutex_unlock(&stream->lock);
    if (has_written) {
        sse_stream_written(stream);
    }
    if (stream->phase >= SSE_PHASE_OPEN) {
        sse_stream_poll_look(stream);
        sse_stream_let_out(stream);
    }
    if (sse_stream_is_drained(stream)) {
        sse_stream_drained(stream);
    }
    sse_stream_release(stream);
}

static void on_looked(sse_task_t *task)
{
    sse_stream_t *stream = sse_owner_of(task, sse_stream_t, input_task);

    if (stream->peer_open && stream->phase == SSE_PHASE_OPEN) {
        sse_peer_want(&stream->peer, UV_READABLE, 1);
    }
    sse_stream_release(stream);
}

/* -- On the handler's thread ----------------------------------------------- */

/* Why an HTTP/2 stream was aborted: its connection died, or it was reset. */
static sse_close_reason_e aborted_reason(const sse_stream_t *stream)
{
    return sse_peer_write_reason(sse_stream_fd(stream), APR_ECONNRESET,
                                 stream->opts.dead_peer) == SSE_CLOSE_DEAD_PEER
               ? SSE_CLOSE_DEAD_PEER
               : SSE_CLOSE_RESET;
}

/* Write the first piece of bb; the rest stays there. */
static apr_status_t pass_piece(sse_stream_t *stream, apr_bucket_brigade *bb)
{
    conn_rec *c = stream->r->connection;
    apr_bucket *next = APR_BRIGADE_SENTINEL(bb);
    apr_status_t rv;

    if (c->master) {
        apr_brigade_partition(bb, PIECE_BYTES, &next);
    }
    if (next != APR_BRIGADE_SENTINEL(bb)) {
        apr_brigade_split_ex(bb, next, stream->rest);
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(c->bucket_alloc));
    rv = ap_pass_brigade(stream->r->output_filters, bb);
    apr_brigade_cleanup(bb);
    APR_BRIGADE_CONCAT(bb, stream->rest);
    return rv;
}

static apr_status_t pass(sse_stream_t *stream, apr_bucket_brigade *bb)
{
    apr_status_t rv;

    do {
        rv = pass_piece(stream, bb);
        sse_stream_moved(stream);
    } while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb) &&
             !sse_atomic_load(&stream->is_dead));
    return rv;
}

static void write_out(sse_stream_t *stream)
{
    conn_rec *c = stream->r->connection;
    apr_bucket_brigade *bb = stream->bb;
    apr_status_t rv = APR_SUCCESS;
    int is_out = !sse_atomic_load(&stream->is_dead);

    if (is_out) {
        stream->seal->is_open = 1;
        rv = pass(stream, bb);
        stream->seal->is_open = 0;
        is_out = APR_BRIGADE_EMPTY(bb);
    }
    apr_brigade_cleanup(bb);
    if (rv != APR_SUCCESS || sse_conn_is_aborted(c)) {
        is_out = 0;
        sse_atomic_store(&stream->is_dead, 1);
        sse_stream_end(stream,
                       c->master ? aborted_reason(stream)
                                 : sse_stream_write_reason(stream, rv),
                       rv);
    }
    sse_stream_wrote(stream, is_out);
    sse_stream_post(stream, &stream->kick_task);
}

static void look_at_input(sse_stream_t *stream)
{
    sse_input_e found = sse_conn_look(stream->r->connection, stream->bb,
                                      stream->opts.half_keep);

    if (found == SSE_INPUT_NONE) {
        sse_stream_post(stream, &stream->input_task);
    }
    else if (found == SSE_INPUT_END) {
        sse_stream_end(stream, SSE_CLOSE_CLIENT, APR_SUCCESS);
    }
}

/* Under the lock. */
static void wait_more(sse_stream_t *stream)
{
    conn_rec *c = stream->r->connection;
    struct timespec until;

    if (!c->master) {
        pthread_cond_wait(&stream->cond, &stream->lock);
        return;
    }
    if (sse_conn_is_aborted(c)) {
        sse_stream_end(stream, aborted_reason(stream), APR_ECONNRESET);
    }
    if (stream->can_poll && !stream->yields && sse_h2_must_yield()) {
        stream->yields = 1;
        sse_stream_poll(stream);
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ABORT_POLL_MSEC * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&stream->cond, &stream->lock, &until);
}

static void wait_until_finished(sse_stream_t *stream)
{
    int look;

    pthread_mutex_lock(&stream->lock);
    sse_stream_hold(stream);
    while (!stream->finished) {
        look = stream->check_input;
        stream->check_input = 0;
        if (!look && (!stream->queue.count || stream->is_held)) {
            wait_more(stream);
            continue;
        }
        pthread_mutex_unlock(&stream->lock);
        if (look) {
            look_at_input(stream);
        }
        if (sse_stream_take(stream, stream->bb)) {
            write_out(stream);
        }
        pthread_mutex_lock(&stream->lock);
    }
    pthread_mutex_unlock(&stream->lock);
}

/* The response ends here and not when the handler has returned, so that nothing
 * can follow it, whatever the handler returns. */
static void send_end(sse_stream_t *stream)
{
    request_rec *r = stream->r;

    APR_BRIGADE_INSERT_TAIL(stream->bb,
                            apr_bucket_eos_create(r->connection->bucket_alloc));
    stream->seal->is_open = 1;
    ap_pass_brigade(r->output_filters, stream->bb);
    stream->seal->is_open = 0;
    apr_brigade_cleanup(stream->bb);
}

static void run_without_timeout(sse_stream_t *stream)
{
    conn_rec *c = stream->r->connection;
    apr_socket_t *sock = c->master ? NULL : ap_get_conn_socket(c);
    apr_interval_time_t had;

    if (!sock || apr_socket_timeout_get(sock, &had) != APR_SUCCESS) {
        wait_until_finished(stream);
        return;
    }
    apr_socket_timeout_set(sock, NO_TIMEOUT);
    wait_until_finished(stream);
    apr_socket_timeout_set(sock, had);
}

void sse_wait_prepare(sse_stream_t *stream)
{
    stream->kick_task.run = on_drained;
    stream->input_task.run = on_looked;
}

void sse_wait_run(sse_stream_t *stream)
{
    request_rec *r = stream->r;
    conn_rec *c = r->connection;
    sse_close_reason_e reason;

    stream->rest = apr_brigade_create(r->pool, c->bucket_alloc);
    sse_stream_acquire(stream); /* this thread's */
    sse_loop_post(stream->loop, &stream->attach_task);
    run_without_timeout(stream);
    reason = sse_stream_reason(stream);
    sse_stream_log_late(stream);
    sse_seal_warn(r, stream->seal);
    if (!sse_reason_drains(reason)) {
        c->aborted = c->master ? c->aborted : 1;
        c->keepalive = AP_CONN_CLOSE;
    }
    if (!c->aborted && !c->master && !sse_atomic_load(&stream->is_dead)) {
        send_end(stream);
    }
    if (sse_leave_how() != SSE_STAY) {
        c->keepalive = AP_CONN_CLOSE;
    }
    sse_stream_release(stream);
}
