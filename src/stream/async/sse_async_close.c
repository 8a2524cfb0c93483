/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_close.c
 * How an asynchronous connection is closed, lingering or at once, and
 * destroyed.
 *
 * Its pool is not destroyed before GRACE_MSEC have passed since the suspension,
 * nor before the MPM's thread has let go of the scoreboard's handle: nothing
 * else tells when that thread has stopped touching its part of the connection.
 *
 * Threads: the loop's, but for what is marked as a worker's.
 */

#include "stream/async/sse_async_conn.h"

#include <http_connection.h>
#include <http_core.h>

#include "process/sse_memory.h"
#include "process/sse_thread.h"
#include "sse_atomic.h"

#define GRACE_MSEC  1000
#define LINGER_MSEC 2000

/* -- Destroying ------------------------------------------------------------ */

/* Worker.  Destroys conn itself as well. */
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
    if (conn->state == SSE_ASYNC_HANDOVER) {
        sse_async_hand_over(conn);
        return;
    }
    sse_memory_count();
    sse_async_post_job(conn, destroy);
}

static void on_grace_over(uv_timer_t *timer)
{
    sse_async_conn_t *conn = sse_owner_of(timer, sse_async_conn_t, timer);

    if (sse_atomic_load(&conn->c->sbh)) {
        uv_timer_start(timer, on_grace_over, GRACE_MSEC, 0);
    }
    else {
        uv_close((uv_handle_t *)timer, on_timer_closed);
    }
}

/* The peer is closed: only the MPM's thread is waited for. */
static void await_grace(sse_async_conn_t *conn)
{
    apr_uint64_t age = sse_loop_now(conn->loop) - conn->suspended;

    uv_timer_start(&conn->timer, on_grace_over,
                   age < GRACE_MSEC ? GRACE_MSEC - age : 0, 0);
}

void sse_async_peer_closed(sse_async_conn_t *conn)
{
    if (conn->state == SSE_ASYNC_HANDOVER) {
        /* Another module may take the connection. */
        uv_close((uv_handle_t *)&conn->timer, on_timer_closed);
    }
    else {
        await_grace(conn);
    }
}

/* -- At once --------------------------------------------------------------- */

void sse_async_prepare_close(sse_async_conn_t *conn)
{
    if (!conn->is_prepared) {
        conn->is_prepared = 1;
        ap_prep_lingering_close(conn->c);
    }
}

/* Worker: a request may end with its response. */
static void drop_response(sse_async_conn_t *conn)
{
    apr_brigade_cleanup(conn->pending);
    apr_brigade_cleanup(conn->backlog);
    sse_async_prepare_close(conn);
}

void sse_async_count_logged(sse_async_conn_t *conn)
{
    if (conn->is_counted) {
        conn->is_counted = 0;
        sse_leave_count_down();
    }
}

void sse_async_end(sse_async_conn_t *conn)
{
    conn->c->aborted = 1;
    if (!APR_BRIGADE_EMPTY(conn->pending) ||
        !APR_BRIGADE_EMPTY(conn->backlog) || !conn->is_prepared) {
        sse_async_work(conn, drop_response, sse_async_end);
        return;
    }
    sse_async_count_logged(conn);
    sse_async_transit(conn, SSE_ASYNC_GONE);
    uv_timer_stop(&conn->timer);
    if (conn->peer_open) {
        conn->peer_open = 0;
        sse_peer_close(&conn->peer);
    }
    else {
        await_grace(conn);
    }
}

/* -- Lingering: ap_lingering_close() without its waiting ------------------- */

/* Worker. */
static void begin_close(sse_async_conn_t *conn)
{
    conn->c->cs->state = CONN_STATE_SUSPENDED;
    sse_async_prepare_close(conn);
    ap_flush_conn(conn->c);
}

static void shut(sse_async_conn_t *conn)
{
    if (sse_async_write(conn) != APR_SUCCESS ||
        apr_socket_shutdown(ap_get_conn_socket(conn->c), APR_SHUTDOWN_WRITE)) {
        sse_async_end(conn);
        return;
    }
    sse_async_transit(conn, SSE_ASYNC_LINGER);
    sse_async_set_deadline(conn, apr_time_from_msec(LINGER_MSEC),
                           sse_async_end);
    sse_peer_want(&conn->peer, UV_READABLE, 1);
}

void sse_async_linger(sse_async_conn_t *conn)
{
    sse_async_work(conn, begin_close, shut);
}

void sse_async_discard_input(sse_async_conn_t *conn)
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
