/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_conn.c
 * An asynchronous connection: its states, with its owner in each; made for its
 * first stream, taken over by the loop, watched, and lent to workers.
 */

#include "stream/async/sse_async_conn.h"

#include <http_core.h>

#include "loop/sse_log.h"
#include "process/sse_thread.h"

/* -- States ---------------------------------------------------------------- */

#define TO(state) (1u << SSE_ASYNC_##state)
/* sse_async_flush(): the rest of the response waits (FLUSHING); a worker ends
 * the request or closes the connection; the next request is waited for (IDLE)
 * or has come (QUEUED, HANDOVER). */
#define AFTER_RESPONSE                                                         \
    (TO(FLUSHING) | TO(WORKER) | TO(IDLE) | TO(QUEUED) | TO(HANDOVER))

/* What may follow each state, and whether its connections are listed. */
static const struct {
    const char *name;
    int is_listed;
    unsigned int next;
} states[SSE_ASYNC_STATES] = {
    /* An MPM thread's, until on_take() runs on the loop: the request was
     * suspended with a stream (STREAM), or is done. */
    [SSE_ASYNC_SERVING] = {"serving", 0, TO(STREAM) | AFTER_RESPONSE},
    /* The loop's.  HTTP/1.x: the end was told: a worker ends the request.
     * HTTP/2: a worker closes the connection, mod_http2 has something to do,
     * or no stream is left, with all written or not. */
    [SSE_ASYNC_STREAM] = {"stream", 0,
                          TO(WORKER) | TO(QUEUED) | TO(IDLE) | TO(FLUSHING)},
    /* A worker's, until on_worked() runs on the loop: a request has ended; the
     * connection is shut down (LINGER) or lost (GONE). */
    [SSE_ASYNC_WORKER] = {"worker", 0, AFTER_RESPONSE | TO(LINGER) | TO(GONE)},
    /* The loop's.  All was written, or an MPM thread is to write more.  HTTP/2:
     * all was written, a stream has opened, or it is to be closed (STREAM). */
    [SSE_ASYNC_FLUSHING] = {"flushing", 1,
                            (AFTER_RESPONSE & ~TO(FLUSHING)) | TO(STREAM)},
    /* The loop's.  A request comes (QUEUED, HANDOVER); the keep-alive time-out,
     * the client's end, or the child leaves (WORKER).  HTTP/2: the same, or a
     * request that came before opens a stream (STREAM). */
    [SSE_ASYNC_IDLE] = {"idle", 1,
                        TO(QUEUED) | TO(HANDOVER) | TO(WORKER) | TO(STREAM)},
    /* The loop's.  An MPM thread is free (HANDOVER); none was for too long, or
     * the client has left (WORKER; HTTP/2: STREAM). */
    [SSE_ASYNC_QUEUED] = {"queued", 1, TO(HANDOVER) | TO(WORKER) | TO(STREAM)},
    /* The loop's, until an MPM thread runs serve(); HTTP/2: one is about to.
     * The MPM may refuse it (WORKER). */
    [SSE_ASYNC_HANDOVER] = {"handover", 0, TO(SERVING) | TO(WORKER)},
    /* The loop's.  The client's end or a time-out; WORKER where some of a
     * response must be dropped first. */
    [SSE_ASYNC_LINGER] = {"linger", 0, TO(WORKER) | TO(GONE)},
    /* The loop's, then the worker's that destroys the pool. */
    [SSE_ASYNC_GONE] = {"gone", 0, 0},
};

static TAILQ_HEAD(list, sse_async_conn_t) lists[SSE_ASYNC_STATES]; /* loop */

void sse_async_states_init(void)
{
    int state;

    for (state = 0; state < SSE_ASYNC_STATES; ++state) {
        TAILQ_INIT(&lists[state]);
    }
}

sse_async_conn_t *sse_async_first(sse_async_state_e state)
{
    return TAILQ_FIRST(&lists[state]);
}

static void check(const sse_async_conn_t *conn, sse_async_state_e to)
{
    if (!(states[conn->state].next & 1u << to)) {
        sse_log_later(APLOG_MARK, APLOG_DEBUG, 0, conn->server,
                      "asynchronous connection: bad transition from %s to %s",
                      states[conn->state].name, states[to].name);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        abort();
#endif
    }
}

void sse_async_transit(sse_async_conn_t *conn, sse_async_state_e to)
{
    check(conn, to);
    if (states[conn->state].is_listed) {
        TAILQ_REMOVE(&lists[conn->state], conn, link);
    }
    conn->state = to;
    if (states[to].is_listed) {
        TAILQ_INSERT_TAIL(&lists[to], conn, link);
    }
}

/* -- What a worker does ---------------------------------------------------- */

static void run_work(sse_job_t *job)
{
    sse_async_conn_t *conn = sse_owner_of(job, sse_async_conn_t, job);

    conn->c->current_thread = sse_thread_here();
    conn->work(conn);
    sse_loop_post(conn->loop, &conn->worked_task);
}

/* With HTTP/2 only to close the connection, for which mod_http2 waits until no
 * request on it runs, be it one that waits for a backend. */
void sse_async_post_job(sse_async_conn_t *conn, void (*run)(sse_job_t *job))
{
    conn->job.run = run;
    if (!conn->splice ||
        sse_workers_try(SSE_WORKERS_HTTP2, &conn->job) != APR_SUCCESS) {
        sse_workers_do_soon(&conn->job);
    }
}

void sse_async_work(sse_async_conn_t *conn,
                    void (*work)(sse_async_conn_t *conn),
                    void (*after_work)(sse_async_conn_t *conn))
{
    sse_async_transit(conn, SSE_ASYNC_WORKER);
    conn->work = work;
    conn->after_work = after_work;
    uv_timer_stop(&conn->timer);
    if (conn->peer_open) {
        sse_peer_want(&conn->peer, UV_READABLE | UV_WRITABLE, 0);
    }
    sse_async_post_job(conn, run_work);
}

static void on_worked(sse_task_t *task)
{
    sse_async_conn_t *conn = sse_owner_of(task, sse_async_conn_t, worked_task);

    conn->c->current_thread = sse_thread_here();
    if (conn->is_broken) {
        conn->c->aborted = 1;
    }
    conn->after_work(conn);
}

/* -- What the peer does ---------------------------------------------------- */

static void on_gone(sse_peer_t *peer, sse_close_reason_e reason,
                    apr_status_t status)
{
    sse_async_conn_t *conn = sse_owner_of(peer, sse_async_conn_t, peer);

    if (conn->state == SSE_ASYNC_WORKER) {
        conn->is_broken = 1;
    }
    else if (conn->state == SSE_ASYNC_LINGER) {
        sse_async_end(conn);
    }
    else {
        conn->carrier->on_gone(conn, reason, status);
    }
}

static void on_readable(sse_peer_t *peer)
{
    sse_async_conn_t *conn = sse_owner_of(peer, sse_async_conn_t, peer);

    switch (conn->state) {
    case SSE_ASYNC_STREAM:
        conn->carrier->on_readable(conn);
        break;
    case SSE_ASYNC_QUEUED:
        if (conn->splice) {
            conn->carrier->on_readable(conn);
        }
        else {
            sse_peer_want(peer, UV_READABLE, 0);
        }
        break;
    case SSE_ASYNC_IDLE:
        sse_async_serve_next(conn);
        break;
    case SSE_ASYNC_LINGER:
        sse_async_discard_input(conn);
        break;
    default:
        sse_peer_want(peer, UV_READABLE, 0);
        break;
    }
}

static void on_writable(sse_peer_t *peer)
{
    sse_async_conn_t *conn = sse_owner_of(peer, sse_async_conn_t, peer);

    conn->carrier->on_writable(conn);
}

static void on_peer_closed(sse_peer_t *peer)
{
    sse_async_peer_closed(sse_owner_of(peer, sse_async_conn_t, peer));
}

static const sse_peer_events_t peer_events = {on_gone, on_readable, on_writable,
                                              on_peer_closed};

apr_status_t sse_async_open_peer(sse_async_conn_t *conn, int half_keep)
{
    apr_status_t rv = APR_SUCCESS;

    if (conn->peer_open) {
        sse_peer_resume(&conn->peer);
    }
    else {
        rv = sse_peer_open(&conn->peer, conn->loop, sse_conn_fd(conn->c),
                           half_keep, &peer_events);
        conn->peer_open = rv == APR_SUCCESS;
    }
    return rv;
}

/* -- Taking over ----------------------------------------------------------- */

void sse_async_open_timer(sse_async_conn_t *conn)
{
    if (!conn->timer_open) {
        uv_timer_init(sse_loop_uv(conn->loop), &conn->timer);
        conn->timer_open = 1;
    }
}

static void on_deadline(uv_timer_t *timer)
{
    sse_async_conn_t *conn = sse_owner_of(timer, sse_async_conn_t, timer);

    conn->on_deadline(conn);
}

void sse_async_set_deadline(sse_async_conn_t *conn, apr_interval_time_t timeout,
                            void (*fn)(sse_async_conn_t *conn))
{
    conn->on_deadline = fn;
    uv_timer_start(&conn->timer, on_deadline,
                   (uint64_t)apr_time_as_msec(timeout), 0);
}

static void on_take(sse_task_t *task)
{
    sse_async_conn_t *conn = sse_owner_of(task, sse_async_conn_t, take_task);
    conn_rec *c = conn->c;
    conn_state_e was = c->cs->state;

    uv_update_time(sse_loop_uv(conn->loop));
    conn->suspended = sse_loop_now(conn->loop);
    conn->may_block = 0;
    conn->is_kept = 0;
    c->current_thread = sse_thread_here();
    sse_async_open_timer(conn);
    c->cs->state = CONN_STATE_SUSPENDED;
    conn->carrier->on_taken(conn, was);
}

sse_async_conn_t *sse_async_create(conn_rec *c, request_rec *r,
                                   const sse_async_carrier_t *carrier,
                                   sse_loop_t *loop)
{
    sse_async_conn_t *conn = apr_pcalloc(c->pool, sizeof(*conn));

    conn->c = c;
    conn->carrier = carrier;
    conn->server = c->base_server;
    conn->loop = loop;
    conn->is_tls = sse_conn_is_tls(c);
    conn->may_block = 1;
    conn->bb = apr_brigade_create(c->pool, c->bucket_alloc);
    conn->pending = apr_brigade_create(c->pool, c->bucket_alloc);
    conn->backlog = apr_brigade_create(c->pool, c->bucket_alloc);
    conn->take_task.run = on_take;
    conn->worked_task.run = on_worked;
    sse_async_add_filter(conn, r);
    sse_conn_record(c)->async = conn;
    return conn;
}

void sse_async_suspended(conn_rec *c, request_rec *r)
{
    const sse_conn_record_t *record = sse_conn_record(c);
    sse_async_conn_t *conn = record ? record->async : NULL;

    if (conn && conn->is_kept && c->cs->state == CONN_STATE_SUSPENDED) {
        sse_loop_post(conn->loop, &conn->take_task);
    }
}

/* -- HTTP/1.x -------------------------------------------------------------- */

static void http1_gone(sse_async_conn_t *conn, sse_close_reason_e reason,
                       apr_status_t status)
{
    if (conn->state != SSE_ASYNC_STREAM) {
        sse_async_end(conn);
    }
    else if (sse_stream_is_complete(conn->stream)) {
        conn->is_broken = 1; /* who has all may leave before that is told */
    }
    else {
        conn->c->aborted = 1;
        sse_stream_broken(conn->stream, reason, status);
    }
}

/* Only over TLS. */
static void http1_readable(sse_async_conn_t *conn)
{
    sse_input_e found = sse_conn_look(conn->c, conn->bb, conn->peer.half_keep);

    if (found != SSE_INPUT_NONE) {
        sse_peer_want(&conn->peer, UV_READABLE, 0);
    }
    if (found == SSE_INPUT_END) {
        http1_gone(conn, SSE_CLOSE_CLIENT, APR_SUCCESS);
    }
}

static void http1_writable(sse_async_conn_t *conn)
{
    if (conn->state == SSE_ASYNC_STREAM) {
        sse_async_writable(conn->stream);
    }
    else if (conn->state != SSE_ASYNC_FLUSHING) {
        sse_async_want_write(conn, 0);
    }
    else if (conn->mpm_writes) {
        sse_async_serve_next(conn);
    }
    else {
        sse_async_flush(conn);
    }
}

apr_status_t sse_async_watch(sse_async_conn_t *conn)
{
    apr_status_t rv = sse_async_open_peer(conn, conn->stream->opts.half_keep);

    if (rv == APR_SUCCESS) {
        sse_peer_want(&conn->peer, UV_READABLE, conn->is_tls);
        /* What a filter made of the head may wait. */
        sse_async_want_write(conn, !sse_async_is_flushed(conn));
    }
    return rv;
}

static void http1_taken(sse_async_conn_t *conn, conn_state_e was)
{
    conn_rec *c = conn->c;

    if (was == CONN_STATE_SUSPENDED && conn->stream) {
        sse_async_transit(conn, SSE_ASYNC_STREAM);
        conn->stream->attach_task.run(&conn->stream->attach_task);
    }
    else if (c->aborted || sse_async_open_peer(conn, 1) != APR_SUCCESS) {
        sse_async_end(conn);
    }
    else {
        if (was != CONN_STATE_WRITE_COMPLETION) {
            c->keepalive = AP_CONN_CLOSE;
        }
        sse_async_flush(conn);
    }
}

static const sse_async_carrier_t http1 = {http1_taken,      NULL,
                                          sse_async_linger, http1_gone,
                                          http1_readable,   http1_writable};

sse_async_conn_t *sse_async_of(request_rec *r, sse_loop_t *loop)
{
    sse_async_conn_t *conn = sse_conn_record(r->connection)->async;

    if (!conn) {
        conn = sse_async_create(r->connection, r, &http1, loop);
        sse_async_add_backlog(conn, r);
    }
    conn->server = r->server;
    return conn;
}
