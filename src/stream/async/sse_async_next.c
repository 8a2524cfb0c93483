/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_next.c
 * The end of a response on an asynchronous connection, and the next request.
 *
 * The loop waits for the next request, and an MPM thread runs it as a timed
 * callback.  To the MPM such a thread is idle: it goes on accepting connections
 * for it.  So some threads are always left to the MPM's own connections: half
 * of them while these need them, an eighth while they do not.  What has no
 * thread waits for one.  Clients that send requests slowly cannot take all of a
 * child's threads so (if it has more than one).  Clients that read slowly take
 * none: as with the MPM, the rest of a response waits until the socket takes
 * more.  The thread's entry in the scoreboard is kept as the MPM would, so that
 * the parent counts it as busy.
 *
 * Threads: tagged; else the loop's.
 */

#include "stream/async/sse_async_conn.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_connection.h>
#include <http_log.h>
#include <unistd.h>

#include "sse_atomic.h"
#include "process/sse_thread.h"
#include "process/sse_memory.h"

APLOG_USE_MODULE(sse);

static struct {
    sse_loop_t *loop;   /* const after child_init */
    int threads;        /* likewise: the child's */
    int thread_limit;   /* likewise: the scoreboard's */
    apr_uint32_t busy;  /* atomic: connections that are HANDOVER or SERVING, and
                           threads that have been called for QUEUED ones */
    apr_uint32_t given; /* atomic: of those, which no thread has yet */
    uv_prepare_t before_wait;
    sse_task_t free_task;
} all;

/* -- On the MPM's thread --------------------------------------------------- */

static int my_child(void)
{
    apr_proc_t self = {0};

    self.pid = getpid();
    return ap_find_child_by_pid(&self);
}

/* This thread's index in the scoreboard, or -1.  It never changes. */
static int my_thread(int child)
{
    static __thread int found = -2;
    worker_score score;
    int i;

    if (found == -2) {
        found = -1;
        for (i = 0; i < all.thread_limit && found < 0; ++i) {
            ap_copy_scoreboard_worker(&score, child, i);
            if (apr_os_thread_equal(score.tid, apr_os_thread_current())) {
                found = i;
            }
        }
    }
    return found;
}

/* As the MPM does: the scoreboard's entry, and the connection's id, as another
 * connection that began on the same thread may have the old one by now.
 * mod_cgid identifies requests by it. */
static void enter_scoreboard(sse_async_conn_t *conn)
{
    int child = my_child(), thread = child < 0 ? -1 : my_thread(child);

    if (thread < 0) {
        return;
    }
    if (conn->sbh) {
        ap_update_sb_handle(conn->sbh, child, thread);
    }
    else {
        ap_create_sb_handle(&conn->sbh, conn->c->pool, child, thread);
    }
    conn->c->sbh = conn->sbh;
    conn->c->id = (long)child * all.thread_limit + thread;
    ap_update_child_status(conn->sbh, SERVER_BUSY_READ, NULL);
}

static void free_thread(void)
{
    sse_atomic_sub(&all.busy, 1);
    sse_loop_post(all.loop, &all.free_task);
}

/* @return 0: the connection was suspended, and is no longer this thread's */
static int process(sse_async_conn_t *conn)
{
    conn_rec *c = conn->c;

    c->cs->state = CONN_STATE_PROCESSING;
    ap_run_process_connection(c);
    c->sbh = NULL;
    return c->cs->state != CONN_STATE_SUSPENDED;
}

/* As the MPM does: write what the socket takes now.  For the rest the loop
 * waits until it takes more. */
static void write_left(sse_async_conn_t *conn)
{
    if (!sse_async_is_flushed(conn)) {
        ap_update_child_status(conn->sbh, SERVER_BUSY_WRITE, NULL);
        sse_async_write_backlog(conn);
    }
    conn->mpm_writes = !conn->c->aborted && !sse_async_is_flushed(conn);
}

static void serve(void *baton)
{
    sse_async_conn_t *conn = baton;
    conn_rec *c = conn->c;

    sse_async_transit(conn, SSE_ASYNC_SERVING);
    conn->may_block = 1;
    c->current_thread = sse_thread_here();
    enter_scoreboard(conn);
    sse_atomic_sub(&all.given, 1);
    if (conn->mpm_writes) {
        c->cs->state = CONN_STATE_WRITE_COMPLETION;
        write_left(conn);
    }
    else if (process(conn)) {
        write_left(conn);
    }
    else if (!conn->is_kept) {
        free_thread(); /* another module has suspended and owns it */
        return;
    }
    c->sbh = NULL;
    sse_loop_post(conn->loop, &conn->take_task);
    free_thread();
}

/* -- HTTP/2: a thread comes for a connection ------------------------------ */

/* A connection that waits for a thread may have streams, for which the loop
 * writes and sees the client.  So it is the loop's until there is a thread,
 * which asks the loop for it. */
typedef struct {
    sse_task_t task;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int is_answered;        /* lock */
    sse_async_conn_t *conn; /* lock: NULL: none waits any more */
} turn_t;

/* @param has_turn whether a thread has been called for it */
static sse_async_conn_t *find_queued(int has_turn)
{
    sse_async_conn_t *conn = sse_async_first(SSE_ASYNC_QUEUED);

    while (conn && (!conn->splice || conn->has_turn != has_turn)) {
        conn = TAILQ_NEXT(conn, link);
    }
    return conn;
}

/* Whoever has been called for is first, so that each gets its thread.  One that
 * is left over, as its connection has gone, may have another. */
static sse_async_conn_t *give_one(void)
{
    sse_async_conn_t *conn = find_queued(1);

    conn = conn ? conn : find_queued(0);
    if (conn) {
        sse_async_transit(conn, SSE_ASYNC_HANDOVER);
        conn->carrier->on_given(conn);
        sse_peer_pause(&conn->peer); /* it comes back, with its descriptor */
    }
    return conn;
}

/* loop */
static void on_turn(sse_task_t *task)
{
    turn_t *turn = sse_owner_of(task, turn_t, task);
    sse_async_conn_t *conn = give_one();

    pthread_mutex_lock(&turn->lock);
    turn->conn = conn;
    turn->is_answered = 1;
    pthread_cond_signal(&turn->cond);
    pthread_mutex_unlock(&turn->lock);
}

/* MPM thread.  The loop is there: a child joins the MPM's threads before it
 * stops the loop. */
static void take_turn(void *baton)
{
    turn_t turn = {.task = {.run = on_turn}};

    pthread_mutex_init(&turn.lock, NULL);
    pthread_cond_init(&turn.cond, NULL);
    sse_loop_post(all.loop, &turn.task);
    pthread_mutex_lock(&turn.lock);
    while (!turn.is_answered) {
        pthread_cond_wait(&turn.cond, &turn.lock);
    }
    pthread_mutex_unlock(&turn.lock);
    pthread_cond_destroy(&turn.cond);
    pthread_mutex_destroy(&turn.lock);
    if (turn.conn) {
        serve(turn.conn);
    }
    else {
        sse_atomic_sub(&all.given, 1);
        free_thread();
    }
}

/* -- On the loop ----------------------------------------------------------- */

void sse_async_hand_over(sse_async_conn_t *conn)
{
    if (ap_mpm_register_timed_callback(0, serve, conn) != APR_SUCCESS) {
        sse_atomic_sub(&all.given, 1);
        free_thread();
        sse_async_open_timer(conn);
        sse_async_end(conn);
    }
}

/* The MPM refuses: another thread that becomes free will do. */
static void call_thread(sse_async_conn_t *conn)
{
    conn->has_turn = 1;
    if (ap_mpm_register_timed_callback(0, take_turn, NULL) != APR_SUCCESS) {
        conn->has_turn = 0;
        sse_atomic_sub(&all.given, 1);
        sse_atomic_sub(&all.busy, 1);
    }
}

static void hand(sse_async_conn_t *conn)
{
    sse_atomic_add(&all.busy, 1);
    sse_atomic_add(&all.given, 1);
    if (conn->splice) {
        call_thread(conn);
        return;
    }
    sse_async_transit(conn, SSE_ASYNC_HANDOVER);
    uv_timer_stop(&conn->timer);
    conn->peer_open = 0;
    sse_peer_close(&conn->peer);
}

/* No thread was free for too long. */
static void on_no_turn(sse_async_conn_t *conn)
{
    if (conn->mpm_writes) {
        sse_async_end(conn);
    }
    else {
        sse_async_linger(conn);
    }
}

/* How many threads of this child do nothing and will have nothing to do, by the
 * scoreboard. */
static int idle_threads(void)
{
    int child = my_child(), idle = -(int)sse_atomic_load(&all.given), i;
    worker_score *score;

    for (i = 0; child >= 0 && i < all.threads; ++i) {
        score = ap_get_scoreboard_worker_from_indexes(child, i);
        idle += score && score->status == SERVER_READY;
    }
    return idle;
}

static int half(void) { return all.threads > 1 ? all.threads / 2 : 1; }

int sse_async_may_stay(void)
{
    return (int)sse_atomic_load(&all.busy) < half() / 2 &&
           sse_leave_how() == SSE_STAY;
}

static int may_hand(void)
{
    return (int)sse_atomic_load(&all.busy) < half() ||
           idle_threads() > all.threads / 8 + 1;
}

/* One of HTTP/2 may have streams, and then lives without a thread. */
static void queue(sse_async_conn_t *conn)
{
    sse_async_transit(conn, SSE_ASYNC_QUEUED);
    conn->has_turn = 0;
    if (conn->splice) {
        uv_timer_stop(&conn->timer);
    }
    else {
        sse_peer_want(&conn->peer, UV_READABLE | UV_WRITABLE, 0);
        sse_async_set_deadline(conn, conn->server->timeout, on_no_turn);
    }
}

void sse_async_serve_next(sse_async_conn_t *conn)
{
    int may = may_hand();

    if (!may || conn->splice) {
        queue(conn);
    }
    if (may) {
        hand(conn);
    }
}

static void on_free(sse_task_t *task)
{
    sse_async_conn_t *conn = sse_async_first(SSE_ASYNC_QUEUED), *next;

    for (; conn && may_hand(); conn = next) { /* may be otherwise soon */
        next = TAILQ_NEXT(conn, link);
        if (!conn->has_turn) {
            hand(conn);
        }
    }
}

/* -- The end of a response, a stream's or another -------------------------- */

void sse_async_await_next(sse_async_conn_t *conn, apr_interval_time_t timeout)
{
    sse_async_transit(conn, SSE_ASYNC_IDLE);
    sse_async_set_deadline(conn, timeout, conn->carrier->on_unused);
    sse_peer_want(&conn->peer, UV_READABLE, 1);
}

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
        sse_async_await_next(conn, conn->server->keep_alive_timeout);
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

/* Worker.  Mostly all was written, and the request can end here. */
static void finish_stream(sse_async_conn_t *conn)
{
    sse_async_end_request(conn->stream);
    if (conn->c->aborted) {
        sse_async_prepare_close(conn);
    }
    else if (sse_async_at_request_end(conn)) {
        end_request(conn);
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

/* -- Requests for another protocol: the request's thread ------------------- */

static int is_httpds(const char *protocol)
{
    return !strcasecmp(protocol, "h2c") || !strncasecmp(protocol, "TLS/", 4);
}

/* @return what is left of the list; NULL: nothing */
static const char *without_httpds(apr_pool_t *pool, const char *list)
{
    const char *left = NULL;
    char *token, *state;

    token = apr_strtok(apr_pstrdup(pool, list), ", \t", &state);
    for (; token; token = apr_strtok(NULL, ", \t", &state)) {
        if (!is_httpds(token)) {
            left = left ? apr_pstrcat(pool, left, ", ", token, NULL) : token;
        }
    }
    return left;
}

/* The loop knows only HTTP/1.x, no TLS can begin on it ("SSLEngine optional"),
 * and httpd cannot take the connection back.  A server may ignore an upgrade
 * (RFC 9110, 7.8).  One that stays with its handler, as a WebSocket's does with
 * mod_proxy, is not affected. */
int sse_async_keep_protocol(request_rec *r)
{
    const sse_conn_record_t *record = sse_conn_record(r->connection);
    const char *wanted, *left;

    if (r->main || r->prev || !record || !record->async) {
        return DECLINED;
    }
    wanted = apr_table_get(r->headers_in, "Upgrade");
    left = wanted ? without_httpds(r->pool, wanted) : NULL;
    if (left) {
        apr_table_setn(r->headers_in, "Upgrade", left);
    }
    else if (wanted) {
        apr_table_unset(r->headers_in, "Upgrade");
        ap_log_rerror(
            APLOG_MARK, APLOG_DEBUG, 0, r,
            "Upgrade: %s ignored: the connection has carried a stream "
            "and stays with HTTP/1.x",
            wanted);
    }
    return DECLINED;
}

/* -- A child that leaves, and a new one ------------------------------------ */

static void leave(sse_async_state_e state, void (*fn)(sse_async_conn_t *conn))
{
    sse_async_conn_t *conn;

    while ((conn = sse_async_first(state)) != NULL) {
        fn(conn);
    }
}

static void stop(sse_async_conn_t *conn)
{
    conn->carrier->on_gone(conn, SSE_CLOSE_STOP, APR_SUCCESS);
}

static void finish(sse_async_conn_t *conn) { conn->carrier->on_unused(conn); }

/* Gracefully, a request that has come is still served and its response written;
 * at once, one whose response has begun is at least logged. */
static void on_leave(sse_leave_e how)
{
    if (how == SSE_LEAVE_AT_ONCE) {
        leave(SSE_ASYNC_IDLE, stop);
        leave(SSE_ASYNC_FLUSHING, stop);
        leave(SSE_ASYNC_QUEUED, stop);
    }
    leave(SSE_ASYNC_IDLE, finish);
}

static void on_before_wait(uv_prepare_t *prepare) { sse_workers_flush(); }

void sse_async_init(sse_loop_t *loop)
{
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &all.threads);
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_THREADS, &all.thread_limit);
    all.loop = loop;
    all.free_task.run = on_free;
    uv_prepare_init(sse_loop_uv(loop), &all.before_wait);
    uv_prepare_start(&all.before_wait, on_before_wait);
    sse_async_states_init();
    sse_memory_init(loop);
    sse_leave_add(on_leave);
}
