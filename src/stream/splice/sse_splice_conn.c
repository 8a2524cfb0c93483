/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_conn.c
 * A client's connection that speaks HTTP/2: when it begins, its streams of
 * ours, and their ends.
 *
 * mod_http2 polls what ap_get_conn_socket() gives when its session begins.  At
 * that moment an epoll descriptor stands there, which holds the socket, so that
 * a poll can be told to return: the socket is then watched for room as well
 * (see sse_splice_kick()).
 */

#include "stream/splice/sse_splice_private.h"

#include <apr_portable.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "config/sse_config.h"
#include "sse_atomic.h"

static struct {
    sse_loop_t *loop; /* const after child_init */
    int is_on;        /* likewise */
} child;

static apr_uint64_t now_msec(void) { return uv_hrtime() / 1000000; }

/* -- What the frames tell: under the lock ---------------------------------- */

static void on_open(void *baton)
{
    sse_shadow_t *shadow = baton;

    shadow->is_open = 1;
    sse_splice_list(shadow->conn, shadow);
}

static void on_over(void *baton, sse_frames_over_e how)
{
    sse_shadow_t *shadow = baton;
    sse_splice_conn_t *conn = shadow->conn;

    if (how == SSE_FRAMES_BAD_WINDOW) {
        sse_splice_add_reset(conn, shadow->id, 3); /* FLOW_CONTROL_ERROR */
    }
    else if (how == SSE_FRAMES_NO_INCREMENT) {
        sse_splice_add_reset(conn, shadow->id, 1); /* PROTOCOL_ERROR */
    }
    shadow->why =
        how == SSE_FRAMES_RESET_BY_ENGINE ? SSE_CLOSE_ERROR : SSE_CLOSE_RESET;
    sse_splice_drop(conn, shadow);
    sse_stream_post(shadow->stream, &shadow->stream->input_task);
}

static void on_room(void *baton)
{
    sse_shadow_t *shadow = baton;

    sse_splice_list(shadow->conn, shadow);
}

static void on_account(void *baton)
{
    sse_splice_conn_t *conn = baton;
    sse_shadow_t *shadow;

    TAILQ_FOREACH(shadow, &conn->shadows, link)
    {
        sse_splice_list(conn, shadow);
    }
}

static const sse_frames_events_t frames_events = {on_open, on_over, on_room,
                                                  on_account};

/* -- Streams --------------------------------------------------------------- */

sse_frames_add_e sse_splice_conn_may_add(sse_splice_conn_t *conn,
                                         apr_uint32_t id)
{
    sse_frames_add_e may = SSE_FRAMES_NO_REQUEST;

    pthread_mutex_lock(&conn->lock);
    if (!conn->is_closing) {
        may = sse_frames_look(conn->frames, id, now_msec());
    }
    pthread_mutex_unlock(&conn->lock);
    return may;
}

int sse_splice_conn_add(sse_shadow_t *shadow)
{
    sse_splice_conn_t *conn = shadow->conn;
    int is_over;

    pthread_mutex_lock(&conn->lock);
    is_over = conn->is_closing || sse_frames_add(conn->frames, shadow->id,
                                                 shadow) != SSE_FRAMES_ADDED;
    if (is_over) {
        shadow->is_over = 1;
        shadow->why = conn->is_closing ? SSE_CLOSE_NONE : SSE_CLOSE_RESET;
    }
    TAILQ_INSERT_TAIL(&conn->shadows, shadow, link);
    ++conn->n;
    pthread_mutex_unlock(&conn->lock);
    return !is_over;
}

static void over(sse_shadow_t *shadow, int is_good, apr_uint32_t code)
{
    sse_splice_conn_t *conn = shadow->conn;

    pthread_mutex_lock(&conn->lock);
    if (!shadow->is_over) {
        /* With the connection all of them go, behind mod_http2's GOAWAY. */
        if (shadow->is_open && !conn->is_closing &&
            !(is_good && sse_splice_add_end(conn, shadow))) {
            sse_splice_add_reset(conn, shadow->id, code);
        }
        sse_frames_remove(conn->frames, shadow->id);
    }
    sse_splice_drop(conn, shadow);
    pthread_mutex_unlock(&conn->lock);
    sse_splice_kick(conn);
}

void sse_splice_conn_cut(sse_shadow_t *shadow, apr_uint32_t code)
{
    over(shadow, 0, code);
}

void sse_splice_conn_end(sse_shadow_t *shadow)
{
    over(shadow, 1, 8 /* CANCEL */);
}

/* loop */
static void on_left(sse_task_t *task)
{
    sse_shadow_t *shadow = sse_owner_of(task, sse_shadow_t, gone_task);
    sse_splice_conn_t *conn = shadow->conn;
    int is_free;

    sse_stream_release(shadow->stream); /* the drive's */
    sse_leave_count_down();
    if (shadow->is_attached) {
        TAILQ_REMOVE(&conn->attached, shadow, loops);
    }
    pthread_mutex_lock(&conn->lock);
    TAILQ_REMOVE(&conn->shadows, shadow, link);
    --conn->n;
    is_free = !conn->n && !conn->is_served && !conn->is_waited;
    pthread_cond_signal(&conn->cond);
    pthread_mutex_unlock(&conn->lock);
    free(shadow);
    if (is_free) { /* else it may be gone */
        sse_splice_rest(conn);
    }
}

void sse_splice_conn_leave(sse_shadow_t *shadow)
{
    if (shadow->stream) {
        shadow->gone_task.run = on_left;
        sse_loop_post(child.loop, &shadow->gone_task);
    }
    else {
        free(shadow->out);
        free(shadow);
    }
}

/* -- The connection -------------------------------------------------------- */

sse_splice_conn_t *sse_splice_conn_of(conn_rec *c1)
{
    const sse_conn_record_t *record = sse_conn_record(c1);
    sse_splice_conn_t *conn = record ? record->splice : NULL;
    int is_usable;

    if (!conn) {
        return NULL;
    }
    pthread_mutex_lock(&conn->lock);
    is_usable = sse_frames_is_usable(conn->frames);
    pthread_mutex_unlock(&conn->lock);
    return is_usable ? conn : NULL;
}

/* Mostly none is left.  If the MPM destroys the connection by itself, it waits
 * until all streams have gone. */
static apr_status_t on_gone(void *baton)
{
    sse_splice_conn_t *conn = baton;

    pthread_mutex_lock(&conn->lock);
    conn->is_closing = 1;
    if (conn->n && !sse_loop_is_gone(child.loop)) {
        conn->is_waited = 1;
        sse_loop_post(child.loop, &conn->close_task);
        while (conn->n || !conn->is_told) {
            pthread_cond_wait(&conn->cond, &conn->lock);
        }
    }
    pthread_mutex_unlock(&conn->lock);
    return APR_SUCCESS;
}

static apr_status_t destroy(void *baton)
{
    sse_splice_conn_t *conn = baton;

    sse_frames_destroy(conn->frames);
    close(conn->poll_fd);
    free(conn->held);
    free(conn->control);
    pthread_cond_destroy(&conn->cond);
    pthread_mutex_destroy(&conn->lock);
    return APR_SUCCESS;
}

static int open_poll(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int poll_fd = epoll_create1(EPOLL_CLOEXEC);

    if (poll_fd >= 0 && epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event)) {
        close(poll_fd);
        poll_fd = -1;
    }
    return poll_fd;
}

static sse_splice_conn_t *create(conn_rec *c, apr_socket_t *sock, int fd,
                                 int poll_fd)
{
    sse_splice_conn_t *conn = apr_pcalloc(c->pool, sizeof(*conn));

    conn->c = c;
    conn->loop = child.loop;
    conn->sock = sock;
    conn->fd = fd;
    conn->poll_fd = poll_fd;
    conn->is_served = 1;
    conn->bb = apr_brigade_create(c->pool, c->bucket_alloc);
    conn->frames = sse_frames_create(&frames_events, conn);
    TAILQ_INIT(&conn->shadows);
    TAILQ_INIT(&conn->attached);
    TAILQ_INIT(&conn->ready);
    TAILQ_INIT(&conn->passed);
    pthread_mutex_init(&conn->lock, NULL);
    pthread_cond_init(&conn->cond, NULL);
    sse_splice_turn_prepare(conn);
    apr_pool_cleanup_register(c->pool, conn, destroy, apr_pool_cleanup_null);
    apr_pool_pre_cleanup_register(c->pool, conn, on_gone);
    return conn;
}

void sse_splice_conn_decline(sse_splice_conn_t *conn)
{
    conn_rec *c = conn->c;

    conn->is_declined = 1;
    sse_splice_give_state_back(conn);
    sse_conn_record(c)->splice = NULL;
    apr_pool_cleanup_kill(c->pool, conn, on_gone);
    apr_pool_cleanup_run(c->pool, conn, destroy);
}

void sse_splice_adopt(sse_splice_conn_t *conn)
{
    if (!conn->async) {
        conn->async =
            sse_async_create(conn->c, NULL, &sse_splice_carrier, child.loop);
        conn->async->splice = conn;
    }
}

/* Without room for one more descriptor its streams have threads. */
static void begin(conn_rec *c, apr_socket_t *sock)
{
    sse_conn_record_t *record = sse_conn_record(c);
    apr_os_sock_t fd = -1;
    int poll_fd;

    if (!record || record->splice || record->async || !sock) {
        return;
    }
    apr_os_sock_get(&fd, sock);
    poll_fd = open_poll(fd);
    if (poll_fd >= 0) {
        record->splice = create(c, sock, fd, poll_fd);
        sse_splice_add_filters(record->splice);
    }
}

/* -- Hooks ----------------------------------------------------------------- */

static int is_candidate(conn_rec *c)
{
    return child.is_on && !c->master && !c->outgoing && c->cs;
}

/* mod_http2 makes its session when the handshake is over, on this socket. */
static int on_switch(conn_rec *c, request_rec *r, server_rec *s,
                     const char *protocol)
{
    if (!r && is_candidate(c) && !strcmp(protocol, "h2")) {
        begin(c, ap_get_conn_socket(c));
        if (sse_conn_record(c)->splice) {
            sse_splice_pose(sse_conn_record(c)->splice);
            sse_splice_take_state(sse_conn_record(c)->splice);
        }
    }
    return DECLINED;
}

/* Without TLS mod_http2 looks at the first bytes, and our filter with it. */
static int on_connection(conn_rec *c, void *csd)
{
    if (is_candidate(c) && !sse_conn_is_tls(c) &&
        ap_is_allowed_protocol(c, NULL, NULL, "h2c")) {
        begin(c, csd); /* which httpd does not say before all hooks have run */
    }
    return OK;
}

/* All that is done on the client's connection is within this. */
static int process(conn_rec *c, sse_conn_record_t *record)
{
    int rc;

    record->is_processing = 1;
    do {
        if (record->splice) {
            sse_splice_take_state(record->splice);
        }
        rc = ap_run_process_connection(c);
    } while (record->splice && sse_splice_is_due(record->splice));
    record->is_processing = 0;
    if (record->splice) {
        sse_splice_returned(record->splice);
    }
    return rc;
}

static int on_process(conn_rec *c)
{
    sse_conn_record_t *record;
    int rc;

    if (!is_candidate(c)) {
        return DECLINED;
    }
    record = sse_conn_record(c);
    if (!record || record->is_processing) {
        return DECLINED;
    }
    do {
        rc = process(c, record);
    } while (record->splice && sse_splice_stays(record->splice));
    if (record->splice) {
        sse_splice_left(record->splice);
    }
    return rc;
}

/* mod_http2 before 2.0 ran its requests in another way: its hooks read what a
 * shadow's connection does not have. */
static int is_known_engine(void)
{
    return ap_get_input_filter_handle("H2_C2_NET_IN") != NULL;
}

void sse_splice_init(sse_loop_t *loop, int is_on)
{
    child.loop = loop;
    child.is_on = is_on && is_known_engine();
    if (is_on) {
        sse_shadow_start();
    }
}

void sse_splice_conn_register(void)
{
    static const char *const before[] = {"mod_http2.c", NULL};
    static const char *const after[] = {"mod_ssl.c", NULL};

    ap_hook_pre_connection(on_connection, after, NULL, APR_HOOK_LAST);
    ap_hook_protocol_switch(on_switch, NULL, before, APR_HOOK_FIRST);
    ap_hook_process_connection(on_process, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
