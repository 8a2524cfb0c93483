/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_turn.c
 * Whose turn it is on a spliced connection.
 *
 * mod_http2 gives c1 back to the MPM when it has nothing to do.  If there are
 * streams of ours then, the loop takes it over as it does with HTTP/1.x
 * (sse_async_conn.h), for life: it writes what streams have to send, and reads.
 * What the client sends for these streams is dealt with there; anything else is
 * kept for mod_http2, and an MPM thread has it go on.  That thread writes for
 * the streams meanwhile, woken where mod_http2 waits for its requests.
 *
 * Threads: the loop's, except where tagged.
 */

#include "stream/splice/sse_splice_private.h"

#include <http_connection.h>

/* RFC 9113, 7. */
#define CANCEL 8

/* -- Writing --------------------------------------------------------------- */

static void close_all(sse_splice_conn_t *conn, sse_close_reason_e reason,
                      apr_status_t status);
static void on_readable(sse_async_conn_t *async);
static void on_unused(sse_async_conn_t *async);

/* Whoever has bytes that do not go may be slow. */
static void look_for_stuck(sse_splice_conn_t *conn)
{
    sse_shadow_t *shadow;

    pthread_mutex_lock(&conn->lock);
    TAILQ_FOREACH(shadow, &conn->attached, loops)
    {
        shadow->is_stuck = shadow->is_passed || sse_splice_waits(shadow);
    }
    pthread_mutex_unlock(&conn->lock);
    TAILQ_FOREACH(shadow, &conn->attached, loops)
    {
        if (shadow->is_stuck) {
            sse_stream_stuck(shadow->stream);
        }
    }
}

/* The close reason of what the loop has found when it wrote or read. */
static sse_close_reason_e reason_of(sse_splice_conn_t *conn, apr_status_t rv,
                                    int writes)
{
    sse_close_reason_e reason = sse_peer_look(conn->fd, 0);

    if (reason != SSE_CLOSE_NONE) {
        return reason;
    }
    if (writes) {
        return SSE_CLOSE_WRITE_ERROR;
    }
    return APR_STATUS_IS_EOF(rv) || conn->is_at_end ? SSE_CLOSE_CLIENT
                                                    : SSE_CLOSE_RESET;
}

/* It is the loop's.  @return 0: it is broken, and being closed */
static int write_now(sse_splice_conn_t *conn)
{
    sse_ready_t done = TAILQ_HEAD_INITIALIZER(done);
    apr_status_t rv = sse_splice_write(conn, &done);
    sse_shadow_t *shadow;

    while ((shadow = TAILQ_FIRST(&done)) != NULL) {
        TAILQ_REMOVE(&done, shadow, ready);
        sse_splice_on_written(shadow);
    }
    if (rv != APR_SUCCESS || conn->c->aborted) {
        close_all(conn, reason_of(conn, rv, 1), rv);
        return 0;
    }
    look_for_stuck(conn);
    return 1;
}

static int is_the_loops(const sse_splice_conn_t *conn)
{
    const sse_async_conn_t *async = conn->async;

    return async->state == SSE_ASYNC_STREAM ||
           async->state == SSE_ASYNC_FLUSHING ||
           async->state == SSE_ASYNC_QUEUED || async->state == SSE_ASYNC_IDLE;
}

/* The client has taken nothing for so long. */
static void on_unwritten(sse_async_conn_t *async)
{
    async->c->aborted = 1;
    close_all(async->splice, SSE_CLOSE_WRITE_ERROR, APR_TIMEUP);
}

/* No stream is left to be ended as that of a slow client. */
static void await_writing(sse_async_conn_t *async)
{
    if (async->state == SSE_ASYNC_STREAM) {
        sse_async_transit(async, SSE_ASYNC_FLUSHING);
        sse_async_set_deadline(async, async->server->timeout, on_unwritten);
    }
}

/* There is a stream again, or all was written. */
static void resume(sse_async_conn_t *async)
{
    uv_timer_stop(&async->timer);
    sse_async_transit(async, SSE_ASYNC_STREAM);
}

/* Have an MPM thread run mod_http2, once all was written.  Until then, and
 * until there is one, what comes for streams is read on. */
static void give(sse_splice_conn_t *conn)
{
    sse_async_conn_t *async = conn->async;

    sse_peer_want(&async->peer, UV_READABLE, !sse_splice_is_full(conn));
    if (async->state != SSE_ASYNC_STREAM) {
        return;
    }
    if (sse_async_is_flushed(async)) {
        sse_async_serve_next(async);
    }
    else {
        sse_splice_rest(conn);
    }
}

/* Read, write, and see what is to be done next. */
static void go_on(sse_splice_conn_t *conn)
{
    sse_async_conn_t *async = conn->async;
    int is_flushed;

    if (!write_now(conn)) {
        return;
    }
    is_flushed = sse_async_is_flushed(async);
    sse_async_want_write(async, !is_flushed);
    if (is_flushed && async->state == SSE_ASYNC_FLUSHING) {
        resume(async);
    }
    if (conn->is_done) {
        conn->n_held = 0; /* nobody is there to read it */
    }
    if (conn->n_held || (!conn->is_done && sse_splice_has_kept(conn))) {
        give(conn);
    }
    else if (async->state == SSE_ASYNC_STREAM) {
        sse_peer_want(&async->peer, UV_READABLE, 1);
        sse_splice_rest(conn);
    }
}

static int is_served(sse_splice_conn_t *conn)
{
    int served;

    pthread_mutex_lock(&conn->lock);
    served = conn->is_served;
    pthread_mutex_unlock(&conn->lock);
    return served;
}

static void wake(sse_splice_conn_t *conn)
{
    pthread_mutex_lock(&conn->lock);
    sse_splice_wake(conn);
    pthread_mutex_unlock(&conn->lock);
}

static int reads(const sse_async_conn_t *async)
{
    return async->state == SSE_ASYNC_STREAM || async->state == SSE_ASYNC_QUEUED;
}

static void on_write(sse_task_t *task)
{
    sse_splice_conn_t *conn = sse_owner_of(task, sse_splice_conn_t, write_task);

    if (is_served(conn)) { /* until the loop takes it */
        wake(conn);
        look_for_stuck(conn);
    }
    else if (!conn->is_closing && is_the_loops(conn)) {
        if (conn->has_more && reads(conn->async)) {
            on_readable(conn->async);
        }
        else {
            go_on(conn);
        }
    }
}

void sse_splice_kick(sse_splice_conn_t *conn)
{
    sse_loop_post(conn->loop, &conn->write_task);
}

/* -- The end --------------------------------------------------------------- */

/* Who has all is not told so.  One that has finished is listed until its pool
 * has gone, which may be now. */
static void end_stream(sse_shadow_t *shadow, sse_close_reason_e reason,
                       apr_status_t status)
{
    if (!shadow->stream->shadow) {
        return;
    }
    sse_splice_conn_cut(shadow, CANCEL);
    if (!sse_stream_is_complete(shadow->stream)) {
        shadow->c->aborted = 1;
        sse_stream_broken(shadow->stream, reason, status);
    }
}

/* Those to come will find that in sse_splice_attached(). */
static void end_streams(sse_splice_conn_t *conn, sse_close_reason_e reason,
                        apr_status_t status)
{
    sse_shadow_t *shadow;

    conn->why = reason;
    conn->status = status;
    TAILQ_FOREACH(shadow, &conn->attached, loops)
    {
        end_stream(shadow, reason, status);
    }
}

/* Its thread was given back while the handler of a request ran. */
static int is_resting(sse_splice_conn_t *conn)
{
    return !is_served(conn) && (conn->async->state == SSE_ASYNC_IDLE ||
                                conn->async->state == SSE_ASYNC_FLUSHING);
}

void sse_splice_attached(sse_shadow_t *shadow)
{
    sse_splice_conn_t *conn = shadow->conn;

    shadow->is_attached = 1;
    TAILQ_INSERT_TAIL(&conn->attached, shadow, loops);
    if (conn->why != SSE_CLOSE_NONE) {
        end_stream(shadow, conn->why, conn->status);
    }
    else if (is_resting(conn)) {
        resume(conn->async);
        sse_splice_kick(conn);
    }
}

/* All streams have gone. */
static void close_now(sse_splice_conn_t *conn)
{
    sse_async_conn_t *async = conn->async;

    if (conn->is_closed) {
        return;
    }
    conn->is_closed = 1;
    if (async->c->aborted || !async->peer_open) {
        sse_async_end(async);
    }
    else {
        sse_async_linger(async);
    }
}

static void close_all(sse_splice_conn_t *conn, sse_close_reason_e reason,
                      apr_status_t status)
{
    int n;

    pthread_mutex_lock(&conn->lock);
    conn->is_closing = 1;
    n = conn->n;
    pthread_mutex_unlock(&conn->lock);
    if (conn->async->state != SSE_ASYNC_STREAM) {
        resume(conn->async); /* not to be found by who looks for those */
    }
    if (conn->async->peer_open) {
        sse_peer_want(&conn->async->peer, UV_READABLE | UV_WRITABLE, 0);
    }
    end_streams(conn, reason, status);
    if (!n) {
        close_now(conn);
    }
}

/* The MPM destroys the connection, whose loop this has never been. */
static void on_close(sse_task_t *task)
{
    sse_splice_conn_t *conn = sse_owner_of(task, sse_splice_conn_t, close_task);

    end_streams(conn,
                conn->seen != SSE_CLOSE_NONE ? conn->seen : SSE_CLOSE_CLIENT,
                APR_SUCCESS);
    pthread_mutex_lock(&conn->lock);
    conn->is_told = 1;
    pthread_cond_signal(&conn->cond);
    pthread_mutex_unlock(&conn->lock);
}

/* No stream is left: it is a connection like others, but for who waits for its
 * next request. */
static void await_request(sse_splice_conn_t *conn)
{
    server_rec *s = conn->c->base_server;
    int unanswered;

    pthread_mutex_lock(&conn->lock);
    unanswered = sse_frames_unanswered(conn->frames);
    pthread_mutex_unlock(&conn->lock);
    sse_async_await_next(conn->async,
                         unanswered ? s->timeout : s->keep_alive_timeout);
}

void sse_splice_rest(sse_splice_conn_t *conn)
{
    sse_async_conn_t *async = conn->async;
    int n, served, closing;

    pthread_mutex_lock(&conn->lock);
    n = conn->n;
    served = conn->is_served;
    closing = conn->is_closing;
    pthread_mutex_unlock(&conn->lock);
    if (n || served) {
        return;
    }
    if (closing) {
        close_now(conn);
    }
    else if (async->state != SSE_ASYNC_STREAM) {
        return;
    }
    else if (!sse_async_is_flushed(async)) {
        if (sse_leave_how() == SSE_LEAVE_AT_ONCE) {
            on_unwritten(async);
        }
        else {
            await_writing(async);
        }
    }
    else if (!conn->n_held && !conn->has_more) {
        if (conn->is_done || sse_leave_how() != SSE_STAY) {
            on_unused(async);
        }
        else {
            await_request(conn);
        }
    }
}

/* -- Whose it is ----------------------------------------------------------- */

static void set_served(sse_splice_conn_t *conn, int served)
{
    pthread_mutex_lock(&conn->lock);
    conn->is_served = served;
    sse_frames_engine_rests(conn->frames, !served);
    pthread_mutex_unlock(&conn->lock);
}

static void on_given(sse_async_conn_t *async) { set_served(async->splice, 1); }

static void on_unused(sse_async_conn_t *async)
{
    close_all(async->splice, SSE_CLOSE_SHUTDOWN, APR_SUCCESS);
}

static void on_gone(sse_async_conn_t *async, sse_close_reason_e reason,
                    apr_status_t status)
{
    sse_splice_conn_t *conn = async->splice;

    if (!conn->is_closing) {
        async->c->aborted = 1;
        close_all(conn, reason, status);
    }
}

static void on_readable(sse_async_conn_t *async)
{
    sse_splice_conn_t *conn = async->splice;
    apr_status_t rv;

    if (conn->is_closing) {
        sse_peer_want(&async->peer, UV_READABLE, 0);
        return;
    }
    rv = sse_splice_read(conn);
    /* The TLS filter may have read it, so that the socket does not show it. */
    conn->has_more = rv == APR_SUCCESS && !sse_splice_is_full(conn);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
        on_gone(async, reason_of(conn, rv, 0), rv);
        return;
    }
    if (conn->has_more) {
        sse_splice_kick(conn);
    }
    go_on(conn);
}

static void on_writable(sse_async_conn_t *async)
{
    sse_splice_conn_t *conn = async->splice;

    if (conn->is_closing || !is_the_loops(conn)) {
        sse_async_want_write(async, 0);
    }
    else {
        if (async->state == SSE_ASYNC_FLUSHING) { /* it has taken something */
            sse_async_set_deadline(async, async->server->timeout, on_unwritten);
        }
        go_on(conn);
    }
}

/* Why mod_http2 has ended its session, or has been ended. */
static sse_close_reason_e reason_of_end(sse_splice_conn_t *conn)
{
    sse_close_reason_e reason =
        conn->seen != SSE_CLOSE_NONE ? conn->seen : sse_peer_look(conn->fd, 0);
    int is_leaving;

    if (reason != SSE_CLOSE_NONE) {
        return reason;
    }
    pthread_mutex_lock(&conn->lock);
    is_leaving = sse_frames_is_leaving(conn->frames);
    pthread_mutex_unlock(&conn->lock);
    if (conn->is_at_end || is_leaving) {
        return SSE_CLOSE_CLIENT;
    }
    return conn->c->aborted ? SSE_CLOSE_WRITE_ERROR : SSE_CLOSE_ERROR;
}

/* A child that leaves has sent GOAWAY; its streams still come to their ends. */
static int may_go_on(const sse_splice_conn_t *conn)
{
    return !conn->c->aborted && !conn->is_at_end &&
           (!conn->is_done || sse_leave_how() == SSE_LEAVE_GRACEFUL);
}

static void on_taken(sse_async_conn_t *async, conn_state_e was)
{
    sse_splice_conn_t *conn = async->splice;

    set_served(conn, 0);
    conn->was_taken = 1;
    if (conn->was_aborted) {
        conn->c->aborted = 1;
    }
    conn->is_done = sse_splice_has_ended(conn);
    sse_async_transit(async, SSE_ASYNC_STREAM);
    if (sse_async_open_peer(async, 0) != APR_SUCCESS) {
        conn->c->aborted = 1;
    }
    if (may_go_on(conn)) {
        on_readable(async);
    }
    else {
        close_all(conn, reason_of_end(conn), APR_ECONNABORTED);
    }
}

const sse_async_carrier_t sse_splice_carrier = {
    on_taken, on_given, on_unused, on_gone, on_readable, on_writable};

void sse_splice_turn_prepare(sse_splice_conn_t *conn)
{
    conn->write_task.run = on_write;
    conn->close_task.run = on_close;
}
