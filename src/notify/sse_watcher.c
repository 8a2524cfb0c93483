/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_watcher_private.h"

#include <http_log.h>
#include <stdlib.h>

#include "conn/sse_conn.h"
#include "loop/sse_complain.h"
#include "notify/sse_notify.h"
#include "process/sse_leave.h"
#include "process/sse_signals.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

static sse_loop_t *loop; /* const after child_init */

void sse_watcher_release(sse_watcher_t *watcher)
{
    if (sse_atomic_sub(&watcher->refs, 1) == 0) {
        sse_callbacks_release(watcher->callbacks);
        pthread_cond_destroy(&watcher->cond);
        pthread_mutex_destroy(&watcher->lock);
        free(watcher);
    }
}

void sse_watcher_post(sse_watcher_t *watcher, sse_task_t *task)
{
    sse_atomic_add(&watcher->refs, 1);
    if (!sse_loop_post(watcher->loop, task)) {
        sse_watcher_release(watcher);
    }
}

/* -- What listeners are told ----------------------------------------------- */

#define AFTER(state) (1u << SSE_TOLD_##state)

/* Behind which states each state comes.  An end that comes while a listener is
 * still being told of the opening waits for that. */
static const unsigned int after[] = {
    [SSE_TOLD_OPENING] = AFTER(NOTHING),
    [SSE_TOLD_OPEN] = AFTER(OPENING),
    [SSE_TOLD_LATER] = AFTER(OPENING),
    [SSE_TOLD_CLOSING] = AFTER(NOTHING) | AFTER(OPEN) | AFTER(LATER),
    [SSE_TOLD_CLOSED] = AFTER(CLOSING),
};

/* Under the lock.  @return 0: not from the present state */
static int transit(sse_watcher_t *watcher, sse_told_e to)
{
    int ok = (after[to] & 1u << watcher->told) != 0;

    if (ok) {
        watcher->told = to;
        pthread_cond_broadcast(&watcher->cond);
    }
    return ok;
}

static int begin_opening(sse_watcher_t *watcher, sse_watch_mode_e mode)
{
    int opens;

    pthread_mutex_lock(&watcher->lock);
    opens = mode != SSE_WATCH_OFF && transit(watcher, SSE_TOLD_OPENING);
    if (!opens && watcher->mode != SSE_WATCH_OFF && mode > watcher->mode) {
        watcher->mode = mode;
    }
    pthread_mutex_unlock(&watcher->lock);
    return opens;
}

static void end_opening(sse_watcher_t *watcher, sse_watch_mode_e mode)
{
    int has_ended;

    pthread_mutex_lock(&watcher->lock);
    watcher->mode = mode;
    has_ended = !transit(watcher, SSE_TOLD_OPEN);
    pthread_mutex_unlock(&watcher->lock);
    if (has_ended) {
        sse_loop_post(watcher->loop, &watcher->tell_task); /* has a reference */
    }
}

/* Have its opening told, if that mode wants it and it was not told yet. */
static void tell_opening(sse_watcher_t *watcher, sse_watch_mode_e mode)
{
    if (begin_opening(watcher, mode)) {
        watcher->notes = sse_notes_create(watcher->r, "-");
        sse_listeners_opened(NULL, watcher->r);
        end_opening(watcher, mode);
    }
}

static void on_told(sse_task_t *task)
{
    sse_watcher_t *watcher = sse_owner_of(task, sse_watcher_t, told_task);

    pthread_mutex_lock(&watcher->lock);
    transit(watcher, SSE_TOLD_CLOSED);
    pthread_mutex_unlock(&watcher->lock);
    sse_leave_count_down();
    sse_watcher_release(watcher); /* tell_task's, which waited for this */
}

static int begin_closing(sse_watcher_t *watcher, int *was_opened)
{
    int ok;

    pthread_mutex_lock(&watcher->lock);
    *was_opened = watcher->told != SSE_TOLD_NOTHING;
    ok =
        !transit(watcher, SSE_TOLD_LATER) && transit(watcher, SSE_TOLD_CLOSING);
    pthread_mutex_unlock(&watcher->lock);
    return ok;
}

static void on_tell(sse_task_t *task)
{
    sse_watcher_t *watcher = sse_owner_of(task, sse_watcher_t, tell_task);
    sse_ending_t ending = {0};
    sse_ended_t *ended = &ending.ended;

    if (!begin_closing(watcher, &ended->was_opened)) {
        return;
    }
    ended->r = watcher->r;
    ended->close.reason = sse_atomic_load(&watcher->reason);
    ended->close.by_client = sse_close_by_client(ended->close.reason);
    ended->close.status = watcher->status;
    ended->close.opened = watcher->opened;
    ended->close.closed = watcher->closed;
    ended->close.bytes = watcher->r->bytes_sent;
    ending.done = &watcher->told_task;
    ending.loop = watcher->loop;
    if (!sse_notify_end(&ending)) {
        on_told(&watcher->told_task);
    }
}

void sse_watcher_end(sse_watcher_t *watcher, sse_close_reason_e reason,
                     apr_status_t status)
{
    if (sse_atomic_cas(&watcher->reason, SSE_CLOSE_NONE, (int)reason)) {
        watcher->status = status;
        watcher->closed = apr_time_now();
        watcher->tell_task.run = on_tell;
        watcher->told_task.run = on_told;
        sse_watcher_post(watcher, &watcher->tell_task);
    }
}

/* It has ended: wait until all have been told. */
static void wait_until_told(sse_watcher_t *watcher)
{
    pthread_mutex_lock(&watcher->lock);
    while (watcher->told != SSE_TOLD_CLOSED) {
        pthread_cond_wait(&watcher->cond, &watcher->lock);
    }
    pthread_mutex_unlock(&watcher->lock);
}

/* -- The request's thread -------------------------------------------------- */

void sse_watcher_init(sse_loop_t *child_loop)
{
    loop = child_loop;
    sse_watcher_loop_init(loop);
}

static sse_watcher_t *create(request_rec *r, sse_callbacks_t *callbacks)
{
    sse_watcher_t *watcher = calloc(1, sizeof(*watcher));

    if (!watcher) {
        abort();
    }
    watcher->refs = 1;
    watcher->r = r;
    watcher->loop = loop;
    watcher->callbacks = callbacks;
    sse_callbacks_acquire(callbacks);
    watcher->fd = sse_conn_fd(r->connection);
    watcher->taken =
        r->connection->master ? sse_watcher_output_add(r->connection) : NULL;
    watcher->read_fd = -1;
    watcher->half_keep =
        sse_conf_half_close_keep(r) && sse_conn_may_half_close(r);
    watcher->opened = apr_time_now();
    pthread_mutex_init(&watcher->lock, NULL);
    pthread_cond_init(&watcher->cond, NULL);
    return watcher;
}

/* A backstop: the pool is destroyed although the request was never logged. */
static apr_status_t on_request_gone(void *baton)
{
    sse_watcher_log(baton);
    return APR_SUCCESS;
}

int sse_watcher_is_ready(void) { return loop && !sse_loop_is_gone(loop); }

void sse_watcher_arm(request_rec *r, sse_watch_mode_e mode)
{
    request_rec *first = sse_callbacks_first(r);
    sse_callbacks_t *callbacks = sse_callbacks_of(r, loop);
    sse_watcher_t *watcher = sse_callbacks_watcher(callbacks);
    int is_new = !watcher;

    if (sse_callbacks_is_stream(callbacks) ||
        sse_conn_is_draft(r->connection)) {
        return;
    }
    sse_signals_hold();
    if (is_new) {
        watcher = create(first, callbacks);
        sse_callbacks_set_watcher(callbacks, watcher);
        sse_leave_count_up();
        apr_pool_pre_cleanup_register(first->pool, first, on_request_gone);
    }
    tell_opening(watcher, mode);
    if (is_new) {
        sse_watcher_give(watcher);
    }
    sse_signals_let_go();
}

void sse_watcher_settle(request_rec *r)
{
    if (sse_callbacks_find(r)) {
        sse_watcher_arm(r, SSE_WATCH_OFF);
    }
}

static void forget(request_rec *r, sse_callbacks_t *callbacks,
                   sse_watcher_t *watcher)
{
    sse_callbacks_set_watcher(callbacks, NULL);
    apr_pool_cleanup_kill(r->pool, r, on_request_gone);
    sse_watcher_release(watcher);
}

int sse_watcher_disarm(request_rec *r, int *is_open)
{
    request_rec *first = sse_callbacks_first(r);
    sse_callbacks_t *callbacks = sse_callbacks_find(first);
    sse_watcher_t *watcher = sse_callbacks_watcher(callbacks);

    *is_open = 0;
    if (!watcher) {
        return 1;
    }
    sse_watcher_take_back(watcher);
    *is_open = watcher->mode != SSE_WATCH_OFF;
    if (sse_atomic_load(&watcher->reason) != SSE_CLOSE_NONE) {
        return 0; /* sse_watcher_log() goes on from here */
    }
    sse_leave_count_down();
    forget(first, callbacks, watcher);
    return 1;
}

/* Nothing may be opened whose end could not be told. */
static int may_watch(request_rec *r)
{
    static sse_complaint_t complaint;
    apr_status_t rv = sse_notify_reserve();

    if (rv != APR_SUCCESS && sse_complain_is_due(&complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      "cannot create a thread for callbacks; a request is "
                      "served without SSEWatch: see the limits on threads "
                      "(TasksMax of systemd's unit, RLIMIT_NPROC of the user, "
                      "the cgroup's pids.max). Not logged again for a minute");
    }
    return rv == APR_SUCCESS;
}

int sse_watcher_fixups(request_rec *r)
{
    int mode = sse_conf_watch(r);

    if (mode != SSE_WATCH_OFF && !r->main && sse_watcher_is_ready() &&
        !sse_conn_is_draft(r->connection) && may_watch(r)) {
        sse_watcher_arm(r, (sse_watch_mode_e)mode);
    }
    return DECLINED;
}

int sse_watcher_is_taken(const sse_watcher_t *watcher)
{
    return watcher->taken && sse_atomic_load(watcher->taken);
}

/* How a response that was produced has ended. */
static sse_close_reason_e outcome(sse_watcher_t *watcher)
{
    sse_close_reason_e reason = (sse_close_reason_e)watcher->late;

    if (!sse_conn_is_aborted(watcher->r->connection) ||
        sse_watcher_is_taken(watcher)) {
        return SSE_CLOSE_COMPLETE;
    }
    if (sse_leave_how() == SSE_LEAVE_AT_ONCE) {
        return SSE_CLOSE_STOP; /* the MPM has closed its threads' sockets */
    }
    if (reason == SSE_CLOSE_NONE) { /* the loop had no turn since */
        reason = watcher->fd >= 0
                     ? sse_peer_look(watcher->fd, watcher->half_keep)
                     : SSE_CLOSE_RESET;
    }
    return reason == SSE_CLOSE_NONE ? SSE_CLOSE_WRITE_ERROR : reason;
}

/* After an internal redirect httpd logs the notes of the last request. */
static void pass_notes_on(request_rec *r)
{
    request_rec *last = r;

    while (last->next) {
        last = last->next;
    }
    if (last != r && !apr_table_get(last->notes, "sse-stream")) {
        apr_table_overlap(last->notes, r->notes, APR_OVERLAP_TABLES_SET);
    }
}

int sse_watcher_log(request_rec *r)
{
    sse_callbacks_t *callbacks = sse_callbacks_find(r);
    sse_watcher_t *watcher = sse_callbacks_watcher(callbacks);

    if (!watcher || watcher->r != r || sse_loop_is_gone(loop)) {
        return DECLINED;
    }
    sse_signals_hold();
    sse_watcher_take_back(watcher);
    sse_watcher_end(watcher, outcome(watcher), APR_SUCCESS);
    if (watcher->notes) {
        sse_notes_end(watcher->notes, sse_atomic_load(&watcher->reason), 0);
        pass_notes_on(r);
    }
    sse_leave_hold();
    wait_until_told(watcher);
    sse_callbacks_finish_wait(callbacks);
    sse_leave_let_go();
    forget(r, callbacks, watcher);
    sse_signals_let_go_at_end(r->connection);
    return DECLINED;
}
