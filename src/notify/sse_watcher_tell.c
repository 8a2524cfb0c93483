/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_watcher_tell.c
 * The opening and the end of a watched request, as the listeners are told.
 *
 * Whoever is told of the end has been told of the opening before: an end that
 * comes while a listener is still being told of the opening waits for that.
 */

#include "notify/sse_watcher_private.h"

#include "notify/sse_close.h"
#include "notify/sse_notify.h"
#include "process/sse_leave.h"
#include "sse_atomic.h"

#define AFTER(state) (1u << SSE_TOLD_##state)

/* Behind which states each state comes. */
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

/* -- The opening ----------------------------------------------------------- */

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

void sse_watcher_open(sse_watcher_t *watcher, sse_watch_mode_e mode)
{
    if (begin_opening(watcher, mode)) {
        watcher->notes = sse_notes_create(watcher->r, "-");
        sse_listeners_opened(NULL, watcher->r);
        end_opening(watcher, mode);
    }
}

/* -- The end --------------------------------------------------------------- */

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

int sse_watcher_end(sse_watcher_t *watcher, sse_close_reason_e reason,
                    apr_status_t status)
{
    if (!sse_atomic_cas(&watcher->reason, SSE_CLOSE_NONE, (int)reason)) {
        return 0;
    }
    watcher->status = status;
    watcher->closed = apr_time_now();
    watcher->tell_task.run = on_tell;
    watcher->told_task.run = on_told;
    sse_watcher_post(watcher, &watcher->tell_task);
    return 1;
}

void sse_watcher_wait(sse_watcher_t *watcher)
{
    pthread_mutex_lock(&watcher->lock);
    while (watcher->told != SSE_TOLD_CLOSED) {
        pthread_cond_wait(&watcher->cond, &watcher->lock);
    }
    pthread_mutex_unlock(&watcher->lock);
}
