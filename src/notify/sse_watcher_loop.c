/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_watcher_loop.c
 * The watching: the loop looks at the client while the handler works.
 */

#include "notify/sse_watcher_private.h"

#include <sys/socket.h>

#include "conn/sse_conn.h"
#include "process/sse_leave.h"
#include "sse_atomic.h"

/* How often the loop looks whether an HTTP/2 stream was reset. */
#define ABORT_POLL_MSEC 50

#define AFTER(state) (1u << SSE_WATCHER_##state)

/* Behind which states each state comes. */
static const unsigned int after[] = {
    [SSE_WATCHER_WATCHED] = AFTER(NEW),
    [SSE_WATCHER_RETURNING] = AFTER(NEW) | AFTER(WATCHED),
    [SSE_WATCHER_RETURNED] = AFTER(RETURNING),
};

static struct {
    TAILQ_HEAD(, sse_watcher_t) watchers; /* loop: all that are watched */
    uv_timer_t abort_poll;                /* loop */
    int without_socket;                   /* loop: of them, HTTP/2 streams */
} all = {.watchers = TAILQ_HEAD_INITIALIZER(all.watchers)};

/* @return 0: not from the present state */
static int transit(sse_watcher_t *watcher, sse_watcher_state_e to)
{
    int ok;

    pthread_mutex_lock(&watcher->lock);
    ok = (after[to] & 1u << watcher->state) != 0;
    if (ok) {
        watcher->state = to;
        pthread_cond_broadcast(&watcher->cond);
    }
    pthread_mutex_unlock(&watcher->lock);
    return ok;
}

/* -- A client that leaves -------------------------------------------------- */

/* The lock is held over shutdown(), which does not block, as the descriptor is
 * the request's no longer than that. */
static void cut(sse_watcher_t *watcher)
{
    if (watcher->peer_open) {
        sse_peer_shut(&watcher->peer);
    }
    pthread_mutex_lock(&watcher->lock);
    watcher->is_cut = 1;
    if (watcher->read_fd >= 0) {
        shutdown(watcher->read_fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&watcher->lock);
}

/* Once all has been produced, the client may have all it wanted. */
static void gone(sse_watcher_t *watcher, sse_close_reason_e reason,
                 apr_status_t status)
{
    int produced = __atomic_load_n(&watcher->r->eos_sent, __ATOMIC_RELAXED);
    int cuts;

    pthread_mutex_lock(&watcher->lock);
    if (produced) {
        watcher->late = (int)reason;
    }
    cuts = watcher->mode == SSE_WATCH_ABORT;
    pthread_mutex_unlock(&watcher->lock);
    if (!produced) {
        sse_watcher_end(watcher, reason, status);
        if (cuts) {
            cut(watcher);
        }
    }
}

static void on_gone(sse_peer_t *peer, sse_close_reason_e reason,
                    apr_status_t status)
{
    gone(sse_owner_of(peer, sse_watcher_t, peer), reason, status);
}

static void on_ready(sse_peer_t *peer) {}

static void on_closed(sse_peer_t *peer)
{
    sse_watcher_release(sse_owner_of(peer, sse_watcher_t, peer)); /* loop's */
}

static const sse_peer_events_t peer_events = {on_gone, on_ready, on_ready,
                                              on_closed};

static void on_abort_poll(uv_timer_t *timer)
{
    sse_watcher_t *watcher;

    TAILQ_FOREACH(watcher, &all.watchers, link)
    {
        if (watcher->fd < 0 && sse_conn_is_aborted(watcher->r->connection) &&
            !sse_watcher_is_taken(watcher)) {
            gone(watcher, SSE_CLOSE_RESET, APR_ECONNRESET);
        }
    }
}

/* -- All that are watched -------------------------------------------------- */

static void list(sse_watcher_t *watcher)
{
    TAILQ_INSERT_HEAD(&all.watchers, watcher, link);
    watcher->is_listed = 1;
    if (watcher->fd < 0 && !all.without_socket++) {
        uv_timer_start(&all.abort_poll, on_abort_poll, ABORT_POLL_MSEC,
                       ABORT_POLL_MSEC);
    }
}

static void unlist(sse_watcher_t *watcher)
{
    TAILQ_REMOVE(&all.watchers, watcher, link);
    watcher->is_listed = 0;
    if (watcher->fd < 0 && !--all.without_socket) {
        uv_timer_stop(&all.abort_poll);
    }
}

static void on_leave(sse_leave_e how)
{
    sse_watcher_t *watcher;

    TAILQ_FOREACH(watcher, &all.watchers, link)
    {
        if (how == SSE_LEAVE_AT_ONCE) {
            sse_watcher_end(watcher, SSE_CLOSE_STOP, APR_SUCCESS);
        }
    }
}

void sse_watcher_loop_init(sse_loop_t *loop)
{
    uv_timer_init(sse_loop_uv(loop), &all.abort_poll);
    sse_leave_add(on_leave);
}

/* -- From the request's thread to the loop and back ------------------------ */

static void on_arm(sse_task_t *task)
{
    sse_watcher_t *watcher = sse_owner_of(task, sse_watcher_t, arm_task);

    if (transit(watcher, SSE_WATCHER_WATCHED)) {
        list(watcher);
        if (watcher->fd >= 0 &&
            sse_peer_open_shared(&watcher->peer, watcher->loop, watcher->fd,
                                 watcher->half_keep,
                                 &peer_events) == APR_SUCCESS) {
            watcher->peer_open = 1;
            sse_atomic_add(&watcher->refs, 1); /* the loop's */
        }
        if (sse_leave_how() == SSE_LEAVE_AT_ONCE) {
            sse_watcher_end(watcher, SSE_CLOSE_STOP, APR_SUCCESS);
        }
    }
    sse_watcher_release(watcher);
}

/* After this the descriptor may be closed, and its number used again. */
static void on_disarm(sse_task_t *task)
{
    sse_watcher_t *watcher = sse_owner_of(task, sse_watcher_t, disarm_task);

    if (watcher->is_listed) {
        unlist(watcher);
    }
    if (watcher->peer_open) {
        watcher->peer_open = 0;
        sse_peer_close(&watcher->peer);
    }
    transit(watcher, SSE_WATCHER_RETURNED);
    sse_watcher_release(watcher);
}

void sse_watcher_give(sse_watcher_t *watcher)
{
    watcher->arm_task.run = on_arm;
    sse_watcher_post(watcher, &watcher->arm_task);
}

void sse_watcher_take_back(sse_watcher_t *watcher)
{
    if (transit(watcher, SSE_WATCHER_RETURNING)) {
        watcher->disarm_task.run = on_disarm;
        sse_watcher_post(watcher, &watcher->disarm_task);
    }
    pthread_mutex_lock(&watcher->lock);
    while (watcher->state != SSE_WATCHER_RETURNED) {
        pthread_cond_wait(&watcher->cond, &watcher->lock);
    }
    pthread_mutex_unlock(&watcher->lock);
}
