/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_conn.c
 * A connection that the MPM has suspended: from its first stream on, the loop
 * owns it for life.
 *
 * httpd 2.4 cannot take a suspended connection back.  So the loop also does
 * what the MPM does between requests: it waits for the next one, has an MPM
 * thread run it (a timed callback), lingers, and destroys the connection's pool
 * in the end.
 *
 * Life: malloc'ed at the connection's first stream, freed after the pool.  The
 * pool is not destroyed before GRACE_MSEC have passed since the suspension, as
 * the MPM's thread still touches its own part of it then and nothing tells when
 * that is over.
 *
 * Threads: a connection has one owner at a time, as its state says: the MPM's
 * thread in SERVING, the loop in all others.  The hand-overs are posted tasks
 * and timed callbacks.
 */

#include "stream/sse_stream_private.h"

#include <ap_mpm.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <util_filter.h>

APLOG_USE_MODULE(sse);
extern module AP_MODULE_DECLARE_DATA sse_module;

#define GRACE_MSEC  1000
#define LINGER_MSEC 2000
/* What the core filter is given at a time: below its FlushMaxThreshold. */
#define PIECE_BYTES (16 * 1024)

typedef enum {
    SSE_CONN_SERVING,  /**< an MPM thread runs a request */
    SSE_CONN_STREAM,   /**< a stream is open on it */
    SSE_CONN_FLUSHING, /**< the response is over, its last bytes wait */
    SSE_CONN_IDLE,     /**< waiting for the next request */
    SSE_CONN_HANDING,  /**< an MPM thread will take it over */
    SSE_CONN_LINGER,   /**< shut down; the client may still be sending */
    SSE_CONN_GONE      /**< to be destroyed */
} sse_conn_state_e;

struct sse_conn_t {
    conn_rec *c;
    sse_loop_t *loop;
    ap_filter_t *core;      /* const: the last output filter */
    apr_bucket_brigade *bb; /* the owner's, to look at the input */
    sse_stream_t *stream;   /* SERVING: expected; STREAM: open; else NULL */
    sse_conn_state_e state; /* the owner's */
    apr_bucket_brigade *pending; /* loop: what the core filter waits for */
    int pass_flush;         /* the owner's: an MPM thread's, FLUSH may block */
    int is_tls;             /* const */
    apr_uint64_t suspended; /* loop: its clock when it took over */
    sse_peer_t peer;        /* loop */
    int peer_open;          /* loop */
    uv_timer_t timer;       /* loop */
    int timer_open;         /* loop */
    sse_task_t take_task;
    sse_conn_t *next, **prev; /* loop: all that are IDLE */
};

static sse_conn_t *idle; /* loop */

static const char filter_name[] = "SSE_ASYNC";

/* -- Writing without blocking -------------------------------------------- */

/* While the loop owns the connection, whatever comes down the chain waits here:
 * the core filter blocks on FLUSH, and also when it is left with more than
 * FlushMaxThreshold.  So it is given a small piece at a time, and the next one
 * only when all before it was written. */
static apr_status_t out_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    sse_conn_t *conn = f->ctx;
    apr_bucket *b, *next;

    if (conn->pass_flush) {
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

void sse_conn_register(void)
{
    ap_register_output_filter(filter_name, out_filter, NULL,
                              AP_FTYPE_NETWORK - 1);
}

static apr_size_t piece_size(const sse_conn_t *conn)
{
    const core_server_config *conf =
        ap_get_core_module_config(conn->c->base_server->module_config);
    apr_size_t most = conf->flush_max_threshold;

    return most && most < PIECE_BYTES ? most : PIECE_BYTES;
}

/* The end of a request or of the connection goes alone: what is before it has
 * been written by then. */
static void take_piece(sse_conn_t *conn, apr_bucket_brigade *piece)
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

apr_status_t sse_conn_write(sse_conn_t *conn)
{
    ap_out_filter_func core = conn->core->frec->filter_func.out_func;
    apr_status_t rv = core(conn->core, NULL);

    while (rv == APR_SUCCESS && !conn->c->aborted &&
           !conn->c->data_in_output_filters &&
           !APR_BRIGADE_EMPTY(conn->pending)) {
        take_piece(conn, conn->bb);
        rv = core(conn->core, conn->bb);
        apr_brigade_cleanup(conn->bb);
        if (rv == APR_SUCCESS) {
            rv = core(conn->core, NULL);
        }
    }
    return conn->c->aborted && rv == APR_SUCCESS ? APR_ECONNABORTED : rv;
}

int sse_conn_is_flushed(const sse_conn_t *conn)
{
    return !conn->c->data_in_output_filters && APR_BRIGADE_EMPTY(conn->pending);
}

void sse_conn_want_write(sse_conn_t *conn, int on)
{
    sse_peer_want(&conn->peer, UV_WRITABLE, on);
}

/* -- Its end --------------------------------------------------------------- */

static void destroy(sse_conn_t *conn)
{
    conn_rec *c = conn->c;

    c->cs->state = CONN_STATE_SUSPENDED; /* the MPM's counters go by it */
    free(conn);
    apr_pool_destroy(c->pool);
}

static void on_timer_closed(uv_handle_t *handle)
{
    destroy(sse_owner_of(handle, sse_conn_t, timer));
}

static void on_grace_over(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, on_timer_closed);
}

/* The peer is closed; what remains is to wait for the MPM. */
static void await_grace(sse_conn_t *conn)
{
    apr_uint64_t age = sse_loop_now(conn->loop) - conn->suspended;

    if (age >= GRACE_MSEC) {
        on_grace_over(&conn->timer);
    }
    else {
        uv_timer_start(&conn->timer, on_grace_over, GRACE_MSEC - age, 0);
    }
}

static void idle_begin(sse_conn_t *conn)
{
    conn->state = SSE_CONN_IDLE;
    conn->next = idle;
    conn->prev = &idle;
    if (idle) {
        idle->prev = &conn->next;
    }
    idle = conn;
}

static void idle_end(sse_conn_t *conn)
{
    if (conn->state == SSE_CONN_IDLE) {
        *conn->prev = conn->next;
        if (conn->next) {
            conn->next->prev = conn->prev;
        }
    }
}

static void end(sse_conn_t *conn)
{
    idle_end(conn);
    conn->state = SSE_CONN_GONE;
    conn->c->aborted = 1;
    apr_brigade_cleanup(conn->pending);
    uv_timer_stop(&conn->timer);
    if (conn->peer_open) {
        conn->peer_open = 0;
        sse_peer_close(&conn->peer);
    }
    else {
        await_grace(conn);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    end(sse_owner_of(timer, sse_conn_t, timer));
}

static void set_deadline(sse_conn_t *conn, apr_interval_time_t timeout)
{
    uv_timer_start(&conn->timer, on_deadline,
                   (uint64_t)apr_time_as_msec(timeout), 0);
}

/* What ap_lingering_close() does, without its waiting. */
static void linger(sse_conn_t *conn)
{
    conn_rec *c = conn->c;

    c->cs->state = CONN_STATE_SUSPENDED;
    ap_prep_lingering_close(c);
    ap_flush_conn(c);
    if (sse_conn_write(conn) != APR_SUCCESS ||
        apr_socket_shutdown(ap_get_conn_socket(c), APR_SHUTDOWN_WRITE)) {
        end(conn);
        return;
    }
    conn->state = SSE_CONN_LINGER;
    set_deadline(conn, apr_time_from_msec(LINGER_MSEC));
    sse_peer_want(&conn->peer, UV_READABLE, 1);
}

static void discard_input(sse_conn_t *conn)
{
    char buf[4096];
    apr_size_t len = sizeof(buf);
    apr_socket_t *sock = ap_get_conn_socket(conn->c);
    apr_status_t rv;

    apr_socket_timeout_set(sock, 0);
    rv = apr_socket_recv(sock, buf, &len);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
        end(conn);
    }
}

/* -- The next request ------------------------------------------------------ */

static void take(sse_conn_t *conn)
{
    sse_loop_post(conn->loop, &conn->take_task);
}

/* What is left of a response is written here, where that may block: with it the
 * request ends, and who logs it or is told of it must not be on the loop. */
static void flush_blocking(sse_conn_t *conn)
{
    APR_BRIGADE_INSERT_TAIL(conn->bb,
                            apr_bucket_flush_create(conn->c->bucket_alloc));
    ap_pass_brigade(conn->c->output_filters, conn->bb);
    apr_brigade_cleanup(conn->bb);
}

/* MPM thread. */
static void serve(void *baton)
{
    sse_conn_t *conn = baton;
    conn_rec *c = conn->c;

    conn->state = SSE_CONN_SERVING;
    conn->pass_flush = 1;
    c->cs->state = CONN_STATE_PROCESSING;
    ap_run_process_connection(c);
    if (c->cs->state == CONN_STATE_SUSPENDED && !conn->stream) {
        return; /* another module's: it owns the connection now */
    }
    if (c->data_in_output_filters) {
        flush_blocking(conn);
    }
    take(conn);
}

/* The peer is closed, and the loop done with the connection for now. */
static void hand_over(sse_conn_t *conn)
{
    if (ap_mpm_register_timed_callback(0, serve, conn) != APR_SUCCESS) {
        end(conn);
    }
}

static void serve_next(sse_conn_t *conn)
{
    idle_end(conn);
    conn->state = SSE_CONN_HANDING;
    uv_timer_stop(&conn->timer);
    conn->peer_open = 0;
    sse_peer_close(&conn->peer);
}

static void on_flushed(sse_conn_t *conn)
{
    conn_rec *c = conn->c;

    if (c->keepalive != AP_CONN_KEEPALIVE ||
        sse_streams_leaving() != SSE_STAY) {
        linger(conn);
    }
    else if (c->data_in_input_filters) {
        serve_next(conn);
    }
    else {
        idle_begin(conn);
        set_deadline(conn, c->base_server->keep_alive_timeout);
        sse_peer_want(&conn->peer, UV_READABLE, 1);
    }
}

void sse_conns_leave(void)
{
    while (idle) {
        end(idle);
    }
}

static void flush(sse_conn_t *conn)
{
    if (sse_conn_write(conn) != APR_SUCCESS) {
        end(conn);
    }
    else if (sse_conn_is_flushed(conn)) {
        sse_conn_want_write(conn, 0);
        on_flushed(conn);
    }
    else if (conn->state != SSE_CONN_FLUSHING) {
        conn->state = SSE_CONN_FLUSHING;
        set_deadline(conn, conn->c->base_server->timeout);
        sse_conn_want_write(conn, 1);
    }
}

void sse_conn_release(sse_conn_t *conn)
{
    conn->stream = NULL;
    conn->peer.half_keep = 1; /* what it still sends is read to its end */
    conn->c->cs->state = CONN_STATE_SUSPENDED;
    if (conn->peer_open) {
        sse_peer_want(&conn->peer, UV_READABLE, 0);
        flush(conn);
    }
    else {
        end(conn);
    }
}

/* -- What the peer does ---------------------------------------------------- */

static void on_gone(sse_peer_t *peer, sse_close_reason_e reason,
                    apr_status_t status)
{
    sse_conn_t *conn = sse_owner_of(peer, sse_conn_t, peer);

    if (conn->state != SSE_CONN_STREAM) {
        end(conn);
        return;
    }
    conn->c->aborted = 1;
    sse_stream_broken(conn->stream, reason, status);
}

static void look_for_end(sse_conn_t *conn)
{
    switch (sse_conn_look(conn->c, conn->bb)) {
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
    sse_conn_t *conn = sse_owner_of(peer, sse_conn_t, peer);

    switch (conn->state) {
    case SSE_CONN_STREAM:
        look_for_end(conn);
        break;
    case SSE_CONN_IDLE:
        serve_next(conn);
        break;
    case SSE_CONN_LINGER:
        discard_input(conn);
        break;
    default:
        sse_peer_want(peer, UV_READABLE, 0);
        break;
    }
}

static void on_writable(sse_peer_t *peer)
{
    sse_conn_t *conn = sse_owner_of(peer, sse_conn_t, peer);

    if (conn->state == SSE_CONN_STREAM) {
        sse_async_writable(conn->stream);
    }
    else if (conn->state == SSE_CONN_FLUSHING) {
        flush(conn);
    }
    else {
        sse_conn_want_write(conn, 0);
    }
}

static void on_peer_closed(sse_peer_t *peer)
{
    sse_conn_t *conn = sse_owner_of(peer, sse_conn_t, peer);

    if (conn->state == SSE_CONN_HANDING) {
        hand_over(conn);
    }
    else {
        await_grace(conn);
    }
}

static const sse_peer_events_t peer_events = {on_gone, on_readable, on_writable,
                                              on_peer_closed};

/* -- Taking over ----------------------------------------------------------- */

static apr_status_t open_handles(sse_conn_t *conn, int half_keep)
{
    apr_status_t rv = sse_peer_open(
        &conn->peer, conn->loop, sse_conn_fd(conn->c), half_keep, &peer_events);

    conn->peer_open = rv == APR_SUCCESS;
    return rv;
}

apr_status_t sse_conn_watch(sse_conn_t *conn)
{
    apr_status_t rv = open_handles(conn, conn->stream->opts.half_keep);

    if (rv == APR_SUCCESS && conn->is_tls) {
        sse_peer_want(&conn->peer, UV_READABLE, 1);
    }
    return rv;
}

static void on_take(sse_task_t *task)
{
    sse_conn_t *conn = sse_owner_of(task, sse_conn_t, take_task);
    conn_rec *c = conn->c;
    conn_state_e was = c->cs->state;

    conn->suspended = sse_loop_now(conn->loop);
    conn->pass_flush = 0;
    if (!conn->timer_open) {
        uv_timer_init(sse_loop_uv(conn->loop), &conn->timer);
        conn->timer_open = 1;
    }
    c->cs->state = CONN_STATE_SUSPENDED;
    if (was == CONN_STATE_SUSPENDED && conn->stream) {
        conn->state = SSE_CONN_STREAM;
        conn->stream->attach_task.run(&conn->stream->attach_task);
    }
    else if (c->aborted || open_handles(conn, 1) != APR_SUCCESS) {
        end(conn);
    }
    else {
        if (was != CONN_STATE_WRITE_COMPLETION) {
            c->keepalive = AP_CONN_CLOSE;
        }
        flush(conn);
    }
}

static ap_filter_t *core_filter(conn_rec *c)
{
    ap_filter_t *f = c->output_filters;

    while (f->next) {
        f = f->next;
    }
    return f;
}

sse_conn_t *sse_conn_of(request_rec *r, sse_loop_t *loop)
{
    conn_rec *c = r->connection;
    sse_conn_t *conn = ap_get_module_config(c->conn_config, &sse_module);

    if (!conn) {
        conn = calloc(1, sizeof(*conn));
        if (!conn) {
            abort();
        }
        conn->c = c;
        conn->loop = loop;
        conn->is_tls = sse_conn_is_tls(c);
        conn->pass_flush = 1;
        conn->bb = apr_brigade_create(c->pool, c->bucket_alloc);
        conn->take_task.run = on_take;
        conn->pending = apr_brigade_create(c->pool, c->bucket_alloc);
        /* With the request, so that its chain has the filter too. */
        ap_add_output_filter(filter_name, conn, r, c);
        conn->core = core_filter(c);
        ap_set_module_config(c->conn_config, &sse_module, conn);
    }
    return conn;
}

void sse_conn_expect(sse_conn_t *conn, sse_stream_t *stream)
{
    conn->stream = stream;
}

void sse_conn_suspended(conn_rec *c, request_rec *r)
{
    sse_conn_t *conn = ap_get_module_config(c->conn_config, &sse_module);

    if (conn && conn->stream && c->cs->state == CONN_STATE_SUSPENDED) {
        take(conn);
    }
}
