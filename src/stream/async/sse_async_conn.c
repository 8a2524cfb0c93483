/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_conn.c
 * The life of an asynchronous connection; see sse_async_private.h.
 *
 * Its pool is not destroyed before GRACE_MSEC have passed since the suspension,
 * nor before the MPM's thread has let go of the scoreboard's handle: that
 * thread still touches its own part of the connection then, and nothing else
 * tells when that is over.
 */

#include "stream/async/sse_async_private.h"

#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>

#include "sse_atomic.h"
#include "process/sse_thread.h"
#include "process/sse_memory.h"

extern module AP_MODULE_DECLARE_DATA sse_module;

#define GRACE_MSEC  1000
#define LINGER_MSEC 2000

/* -- What a worker does ---------------------------------------------------- */

static void run_errand(sse_job_t *job)
{
    sse_async_conn_t *conn = sse_owner_of(job, sse_async_conn_t, job);

    conn->c->current_thread = sse_thread_here();
    conn->errand(conn);
    sse_loop_post(conn->loop, &conn->back_task);
}

/* Have a worker do this, and go on with that on the loop. */
static void send_away(sse_async_conn_t *conn,
                      void (*errand)(sse_async_conn_t *conn),
                      void (*then)(sse_async_conn_t *conn))
{
    sse_async_set_state(conn, SSE_ASYNC_AWAY);
    conn->errand = errand;
    conn->then = then;
    uv_timer_stop(&conn->timer);
    if (conn->peer_open) {
        sse_peer_want(&conn->peer, UV_READABLE | UV_WRITABLE, 0);
    }
    conn->job.run = run_errand;
    sse_workers_do(SSE_WORKERS_OWN, &conn->job);
}

static void on_back(sse_task_t *task)
{
    sse_async_conn_t *conn = sse_owner_of(task, sse_async_conn_t, back_task);

    conn->c->current_thread = sse_thread_here();
    if (conn->is_broken) {
        conn->c->aborted = 1;
    }
    conn->then(conn);
}

/* -- Its end --------------------------------------------------------------- */

/* Worker: and so goes the conn itself. */
static void destroy(sse_job_t *job)
{
    conn_rec *c = sse_owner_of(job, sse_async_conn_t, job)->c;

    c->current_thread = sse_thread_here();
    c->cs->state = CONN_STATE_SUSPENDED; /* the MPM's counters go by it */
    apr_pool_destroy(c->pool);
}

static void on_timer_closed(uv_handle_t *handle)
{
    sse_async_conn_t *conn = sse_owner_of(handle, sse_async_conn_t, timer);

    conn->timer_open = 0;
    if (conn->state == SSE_ASYNC_HANDING) {
        sse_async_hand_over(conn);
        return;
    }
    sse_memory_count();
    conn->job.run = destroy;
    sse_workers_do(SSE_WORKERS_OWN, &conn->job);
}

static void close_timer(sse_async_conn_t *conn)
{
    uv_close((uv_handle_t *)&conn->timer, on_timer_closed);
}

static void on_grace_over(uv_timer_t *timer)
{
    sse_async_conn_t *conn = sse_owner_of(timer, sse_async_conn_t, timer);

    if (sse_atomic_load(&conn->c->sbh)) {
        uv_timer_start(timer, on_grace_over, GRACE_MSEC, 0);
    }
    else {
        close_timer(conn);
    }
}

/* The peer is closed; what remains is to wait for the MPM. */
static void await_grace(sse_async_conn_t *conn)
{
    apr_uint64_t age = sse_loop_now(conn->loop) - conn->suspended;

    if (age >= GRACE_MSEC) {
        on_grace_over(&conn->timer);
    }
    else {
        uv_timer_start(&conn->timer, on_grace_over, GRACE_MSEC - age, 0);
    }
}

/* Owner, but for the loop. */
static void prepare(sse_async_conn_t *conn)
{
    if (!conn->is_prepared) {
        conn->is_prepared = 1;
        ap_prep_lingering_close(conn->c);
    }
}

/* Worker: with what waits a request may go. */
static void give_up(sse_async_conn_t *conn)
{
    apr_brigade_cleanup(conn->pending);
    apr_brigade_cleanup(conn->held);
    prepare(conn);
}

/* The last of a stream's response is out, or dropped. */
static void count_logged(sse_async_conn_t *conn)
{
    if (conn->is_ending) {
        conn->is_ending = 0;
        sse_streams_count_down();
    }
}

void sse_async_end(sse_async_conn_t *conn)
{
    conn->c->aborted = 1;
    if (!APR_BRIGADE_EMPTY(conn->pending) || !APR_BRIGADE_EMPTY(conn->held) ||
        !conn->is_prepared) {
        send_away(conn, give_up, sse_async_end);
        return;
    }
    count_logged(conn);
    sse_async_set_state(conn, SSE_ASYNC_GONE);
    uv_timer_stop(&conn->timer);
    if (conn->peer_open) {
        conn->peer_open = 0;
        sse_peer_close(&conn->peer);
    }
    else {
        await_grace(conn);
    }
}

void sse_async_on_deadline(uv_timer_t *timer)
{
    sse_async_end(sse_owner_of(timer, sse_async_conn_t, timer));
}

void sse_async_set_deadline(sse_async_conn_t *conn, apr_interval_time_t timeout,
                            uv_timer_cb fn)
{
    uv_timer_start(&conn->timer, fn, (uint64_t)apr_time_as_msec(timeout), 0);
}

/* -- What ap_lingering_close() does, without its waiting ------------------- */

/* Worker. */
static void prepare_close(sse_async_conn_t *conn)
{
    conn_rec *c = conn->c;

    c->cs->state = CONN_STATE_SUSPENDED;
    prepare(conn);
    ap_flush_conn(c);
}

static void shut(sse_async_conn_t *conn)
{
    if (sse_async_write(conn) != APR_SUCCESS ||
        apr_socket_shutdown(ap_get_conn_socket(conn->c), APR_SHUTDOWN_WRITE)) {
        sse_async_end(conn);
        return;
    }
    sse_async_set_state(conn, SSE_ASYNC_LINGER);
    sse_async_set_deadline(conn, apr_time_from_msec(LINGER_MSEC),
                           sse_async_on_deadline);
    sse_peer_want(&conn->peer, UV_READABLE, 1);
}

void sse_async_linger(sse_async_conn_t *conn)
{
    send_away(conn, prepare_close, shut);
}

static void discard_input(sse_async_conn_t *conn)
{
    char buf[4096];
    apr_size_t len = sizeof(buf);
    apr_socket_t *sock = ap_get_conn_socket(conn->c);
    apr_status_t rv;

    apr_socket_timeout_set(sock, 0);
    rv = apr_socket_recv(sock, buf, &len);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
        sse_async_end(conn);
    }
}

/* -- A response's end ------------------------------------------------------ */

static void on_flushed(sse_async_conn_t *conn)
{
    conn_rec *c = conn->c;

    count_logged(conn);
    if (c->keepalive != AP_CONN_KEEPALIVE ||
        sse_streams_leaving() != SSE_STAY) {
        sse_async_linger(conn);
    }
    else if (c->data_in_input_filters) {
        sse_async_serve_next(conn);
    }
    else {
        sse_async_await_next(conn);
    }
}

/* Worker: all that was before it is out. */
static void end_request(sse_async_conn_t *conn)
{
    apr_bucket_delete(APR_BRIGADE_FIRST(conn->pending));
}

static void flush(sse_async_conn_t *conn)
{
    if (!conn->is_writing && sse_async_write(conn) != APR_SUCCESS) {
        sse_async_end(conn);
    }
    else if (sse_async_is_flushed(conn)) {
        sse_async_want_write(conn, 0);
        on_flushed(conn);
    }
    else if (!conn->is_writing && sse_async_at_request_end(conn)) {
        send_away(conn, end_request, flush);
    }
    else if (sse_streams_leaving() == SSE_LEAVE_AT_ONCE) {
        sse_async_end(conn);
    }
    else if (conn->state != SSE_ASYNC_FLUSHING) {
        sse_async_await_writing(conn);
    }
}

/* Worker. */
static void finish_stream(sse_async_conn_t *conn)
{
    sse_async_end_request(conn->stream);
    if (conn->c->aborted) {
        prepare(conn);
    }
}

static void after_stream(sse_async_conn_t *conn)
{
    sse_stream_release(conn->stream); /* the drive's */
    conn->stream = NULL;
    conn->is_ending = 1;
    conn->peer.half_keep = 1; /* what it still sends is read to its end */
    conn->c->cs->state = CONN_STATE_SUSPENDED;
    if (conn->peer_open) {
        flush(conn);
    }
    else {
        sse_async_end(conn);
    }
}

void sse_async_finish(sse_async_conn_t *conn)
{
    send_away(conn, finish_stream, after_stream);
}

/* -- What the peer does ---------------------------------------------------- */

static void on_gone(sse_peer_t *peer, sse_close_reason_e reason,
                    apr_status_t status)
{
    sse_async_conn_t *conn = sse_owner_of(peer, sse_async_conn_t, peer);

    switch (conn->state) {
    case SSE_ASYNC_AWAY:
        conn->is_broken = 1;
        break;
    case SSE_ASYNC_STREAM:
        conn->c->aborted = 1;
        sse_stream_broken(conn->stream, reason, status);
        break;
    default:
        sse_async_end(conn);
        break;
    }
}

static void look_for_end(sse_async_conn_t *conn)
{
    switch (sse_conn_look(conn->c, conn->bb)) {
    case SSE_INPUT_HALF:
        if (conn->peer.half_keep) {
            sse_peer_want(&conn->peer, UV_READABLE, 0);
            break;
        }
        /* fall through */
    case SSE_INPUT_END:
        sse_peer_want(&conn->peer, UV_READABLE, 0);
        on_gone(&conn->peer, SSE_CLOSE_CLIENT, APR_SUCCESS);
        break;
    case SSE_INPUT_DATA:
        sse_peer_want(&conn->peer, UV_READABLE, 0);
        break;
    case SSE_INPUT_NONE:
        break;
    }
}

static void on_readable(sse_peer_t *peer)
{
    sse_async_conn_t *conn = sse_owner_of(peer, sse_async_conn_t, peer);

    switch (conn->state) {
    case SSE_ASYNC_STREAM:
        look_for_end(conn);
        break;
    case SSE_ASYNC_IDLE:
        sse_async_serve_next(conn);
        break;
    case SSE_ASYNC_LINGER:
        discard_input(conn);
        break;
    default:
        sse_peer_want(peer, UV_READABLE, 0);
        break;
    }
}

static void on_writable(sse_peer_t *peer)
{
    sse_async_conn_t *conn = sse_owner_of(peer, sse_async_conn_t, peer);

    if (conn->state == SSE_ASYNC_STREAM) {
        sse_async_writable(conn->stream);
    }
    else if (conn->state != SSE_ASYNC_FLUSHING) {
        sse_async_want_write(conn, 0);
    }
    else if (conn->is_writing) {
        sse_async_serve_next(conn);
    }
    else {
        flush(conn);
    }
}

static void on_peer_closed(sse_peer_t *peer)
{
    sse_async_conn_t *conn = sse_owner_of(peer, sse_async_conn_t, peer);

    if (conn->state == SSE_ASYNC_HANDING) {
        close_timer(conn); /* another module may take the connection */
    }
    else {
        await_grace(conn);
    }
}

static const sse_peer_events_t peer_events = {on_gone, on_readable, on_writable,
                                              on_peer_closed};

/* -- Taking over ----------------------------------------------------------- */

static apr_status_t open_handles(sse_async_conn_t *conn, int half_keep)
{
    apr_status_t rv = sse_peer_open(
        &conn->peer, conn->loop, sse_conn_fd(conn->c), half_keep, &peer_events);

    conn->peer_open = rv == APR_SUCCESS;
    return rv;
}

apr_status_t sse_async_watch(sse_async_conn_t *conn)
{
    apr_status_t rv = open_handles(conn, conn->stream->opts.half_keep);

    if (rv == APR_SUCCESS) {
        sse_peer_want(&conn->peer, UV_READABLE, conn->is_tls);
        /* What a filter made of the head may wait. */
        sse_async_want_write(conn, !sse_async_is_flushed(conn));
    }
    return rv;
}

void sse_async_open_timer(sse_async_conn_t *conn)
{
    if (!conn->timer_open) {
        uv_timer_init(sse_loop_uv(conn->loop), &conn->timer);
        conn->timer_open = 1;
    }
}

static void on_take(sse_task_t *task)
{
    sse_async_conn_t *conn = sse_owner_of(task, sse_async_conn_t, take_task);
    conn_rec *c = conn->c;
    conn_state_e was = c->cs->state;

    uv_update_time(sse_loop_uv(conn->loop));
    conn->suspended = sse_loop_now(conn->loop);
    conn->pass_flush = 0;
    c->current_thread = sse_thread_here();
    sse_async_open_timer(conn);
    c->cs->state = CONN_STATE_SUSPENDED;
    if (was == CONN_STATE_SUSPENDED && conn->stream) {
        sse_async_set_state(conn, SSE_ASYNC_STREAM);
        conn->stream->attach_task.run(&conn->stream->attach_task);
    }
    else if (c->aborted || open_handles(conn, 1) != APR_SUCCESS) {
        sse_async_end(conn);
    }
    else {
        if (was != CONN_STATE_WRITE_COMPLETION) {
            c->keepalive = AP_CONN_CLOSE;
        }
        flush(conn);
    }
}

void sse_async_take(sse_async_conn_t *conn)
{
    sse_loop_post(conn->loop, &conn->take_task);
}

sse_async_conn_t *sse_async_of(request_rec *r, sse_loop_t *loop)
{
    conn_rec *c = r->connection;
    sse_conn_record_t *own = sse_conn_record(c);
    sse_async_conn_t *conn = own->async;

    if (!conn) {
        conn = apr_pcalloc(c->pool, sizeof(*conn));
        conn->c = c;
        conn->loop = loop;
        conn->is_tls = sse_conn_is_tls(c);
        conn->pass_flush = 1;
        conn->bb = apr_brigade_create(c->pool, c->bucket_alloc);
        conn->pending = apr_brigade_create(c->pool, c->bucket_alloc);
        conn->held = apr_brigade_create(c->pool, c->bucket_alloc);
        conn->take_task.run = on_take;
        conn->back_task.run = on_back;
        sse_async_add_filter(conn, r);
        own->async = conn;
    }
    conn->server = r->server;
    return conn;
}

void sse_async_expect(sse_async_conn_t *conn, sse_stream_t *stream)
{
    conn->stream = stream;
}

void sse_async_suspended(conn_rec *c, request_rec *r)
{
    const sse_conn_record_t *own = sse_conn_record(c);
    sse_async_conn_t *conn = own ? own->async : NULL;

    if (conn && conn->stream && c->cs->state == CONN_STATE_SUSPENDED) {
        sse_async_take(conn);
    }
}
