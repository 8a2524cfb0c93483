/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_watcher.h"

#include <apr_strings.h>
#include <http_log.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "config/sse_config.h"
#include "loop/sse_complain.h"
#include "loop/sse_peer.h"
#include "notify/sse_close.h"
#include "notify/sse_notify.h"
#include "sse_atomic.h"
#include "process/sse_leave.h"
#include "process/sse_signals.h"
#include "conn/sse_conn.h"
#include "notify/sse_notes.h"

APLOG_USE_MODULE(sse);

/* How often the loop looks whether an HTTP/2 stream was reset. */
#define ABORT_POLL_MSEC 50

typedef struct sse_watcher_t {
    apr_uint32_t refs;          /* atomic */
    int reason;                 /* atomic; sse_close_reason_e; set once */
    request_rec *r;             /* const; valid until disarmed */
    sse_callbacks_t *callbacks; /* const; holds a reference */
    int fd;                     /* const; -1: HTTP/2 */
    int half_keep;              /* const */
    apr_time_t opened;          /* const */
    apr_time_t closed;          /* who set the reason */
    apr_status_t status;        /* likewise */
    sse_notes_t *notes;         /* request */

    pthread_mutex_t lock; /* a leaf but for the loop's queue */
    pthread_cond_t cond;
    sse_watch_mode_e mode; /* lock */
    int is_opening;        /* lock: stream_open runs */
    int is_telling;        /* lock: which hooks are run is decided */
    int tell_waits;        /* lock: for stream_open */
    int is_over;           /* lock: the request's thread wants it back */
    int is_idle;           /* lock: the loop does not touch it any more */
    int is_told;           /* lock */
    int late;    /* lock: the client left when all had been produced */
    int is_cut;  /* lock: the handler's reads and writes are to fail */
    int read_fd; /* lock: what the handler's thread waits for, or -1 */

    sse_peer_t peer;                    /* loop */
    int peer_open;                      /* loop */
    int is_listed;                      /* loop */
    struct sse_watcher_t *next, **prev; /* loop */
    sse_task_t arm_task, disarm_task, tell_task, told_task;
} sse_watcher_t;

static struct {
    sse_loop_t *loop;      /* const */
    sse_watcher_t *first;  /* loop: all that are watched */
    uv_timer_t abort_poll; /* loop */
    int without_socket;    /* loop: of them, HTTP/2 streams */
} all;

static void release(sse_watcher_t *watcher)
{
    if (sse_atomic_sub(&watcher->refs, 1) == 0) {
        sse_callbacks_release(watcher->callbacks);
        pthread_cond_destroy(&watcher->cond);
        pthread_mutex_destroy(&watcher->lock);
        free(watcher);
    }
}

/* -- The end --------------------------------------------------------------- */

static void post(sse_watcher_t *watcher, sse_task_t *task)
{
    sse_atomic_add(&watcher->refs, 1);
    if (!sse_loop_post(all.loop, task)) {
        release(watcher);
    }
}

static void on_told(sse_task_t *task)
{
    sse_watcher_t *watcher = sse_owner_of(task, sse_watcher_t, told_task);

    pthread_mutex_lock(&watcher->lock);
    watcher->is_told = 1;
    pthread_cond_broadcast(&watcher->cond);
    pthread_mutex_unlock(&watcher->lock);
    sse_leave_count_down();
    release(watcher); /* tell_task's, which waited for this */
}

/* Those who hear of an end have heard of the opening, before. */
static int may_tell(sse_watcher_t *watcher, int *was_opened)
{
    int ok;

    pthread_mutex_lock(&watcher->lock);
    ok = !watcher->is_opening;
    watcher->is_telling = ok;
    watcher->tell_waits = !ok;
    *was_opened = watcher->mode != SSE_WATCH_OFF;
    pthread_mutex_unlock(&watcher->lock);
    return ok;
}

static void on_tell(sse_task_t *task)
{
    sse_watcher_t *watcher = sse_owner_of(task, sse_watcher_t, tell_task);
    sse_ending_t ending = {0};
    sse_ended_t *ended = &ending.ended;

    if (!may_tell(watcher, &ended->was_opened)) {
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
    ending.loop = all.loop;
    if (!sse_notify_end(&ending)) {
        on_told(&watcher->told_task);
    }
}

static int end(sse_watcher_t *watcher, sse_close_reason_e reason,
               apr_status_t status)
{
    if (!sse_atomic_cas(&watcher->reason, SSE_CLOSE_NONE, (int)reason)) {
        return 0;
    }
    watcher->status = status;
    watcher->closed = apr_time_now();
    post(watcher, &watcher->tell_task);
    return 1;
}

/* -- On the loop ----------------------------------------------------------- */

/* Once all has been produced, the client may have all it wanted. */
static int is_produced(const sse_watcher_t *watcher)
{
    return __atomic_load_n(&watcher->r->eos_sent, __ATOMIC_RELAXED);
}

/* The lock is held over shutdown(), which blocks nowhere, as the descriptor is
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

static void gone(sse_watcher_t *watcher, sse_close_reason_e reason,
                 apr_status_t status)
{
    int produced = is_produced(watcher), cuts;

    pthread_mutex_lock(&watcher->lock);
    if (produced) {
        watcher->late = (int)reason;
    }
    cuts = watcher->mode == SSE_WATCH_ABORT;
    pthread_mutex_unlock(&watcher->lock);
    if (!produced) {
        end(watcher, reason, status);
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
    release(sse_owner_of(peer, sse_watcher_t, peer)); /* the loop's */
}

static const sse_peer_events_t peer_events = {on_gone, on_ready, on_ready,
                                              on_closed};

static void on_abort_poll(uv_timer_t *timer)
{
    sse_watcher_t *watcher;

    for (watcher = all.first; watcher; watcher = watcher->next) {
        if (watcher->fd < 0 && watcher->r->connection->aborted) {
            gone(watcher, SSE_CLOSE_RESET, APR_ECONNRESET);
        }
    }
}

static void list(sse_watcher_t *watcher)
{
    watcher->next = all.first;
    watcher->prev = &all.first;
    if (all.first) {
        all.first->prev = &watcher->next;
    }
    all.first = watcher;
    watcher->is_listed = 1;
    if (watcher->fd < 0 && !all.without_socket++) {
        uv_timer_start(&all.abort_poll, on_abort_poll, ABORT_POLL_MSEC,
                       ABORT_POLL_MSEC);
    }
}

static void unlist(sse_watcher_t *watcher)
{
    *watcher->prev = watcher->next;
    if (watcher->next) {
        watcher->next->prev = watcher->prev;
    }
    watcher->is_listed = 0;
    if (watcher->fd < 0 && !--all.without_socket) {
        uv_timer_stop(&all.abort_poll);
    }
}

static int is_over(sse_watcher_t *watcher)
{
    int over;

    pthread_mutex_lock(&watcher->lock);
    over = watcher->is_over;
    watcher->is_idle = over;
    pthread_mutex_unlock(&watcher->lock);
    return over;
}

static void on_arm(sse_task_t *task)
{
    sse_watcher_t *watcher = sse_owner_of(task, sse_watcher_t, arm_task);

    if (!is_over(watcher)) {
        list(watcher);
        if (watcher->fd >= 0 &&
            sse_peer_open_shared(&watcher->peer, all.loop, watcher->fd,
                                 watcher->half_keep,
                                 &peer_events) == APR_SUCCESS) {
            watcher->peer_open = 1;
            sse_atomic_add(&watcher->refs, 1); /* the loop's */
        }
        if (sse_leave_how() == SSE_LEAVE_AT_ONCE) {
            end(watcher, SSE_CLOSE_STOP, APR_SUCCESS);
        }
    }
    release(watcher);
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
    pthread_mutex_lock(&watcher->lock);
    watcher->is_idle = 1;
    pthread_cond_broadcast(&watcher->cond);
    pthread_mutex_unlock(&watcher->lock);
    release(watcher);
}

static void on_leave(sse_leave_e how)
{
    sse_watcher_t *watcher = how == SSE_LEAVE_AT_ONCE ? all.first : NULL;

    for (; watcher; watcher = watcher->next) {
        end(watcher, SSE_CLOSE_STOP, APR_SUCCESS);
    }
}

void sse_watcher_init(sse_loop_t *loop)
{
    all.loop = loop;
    uv_timer_init(sse_loop_uv(loop), &all.abort_poll);
    sse_leave_add(on_leave);
}

/* -- On the request's thread ----------------------------------------------- */

/* The descriptor may be closed as soon as this returns. */
static void take_back(sse_watcher_t *watcher)
{
    pthread_mutex_lock(&watcher->lock);
    watcher->is_over = 1;
    pthread_mutex_unlock(&watcher->lock);
    post(watcher, &watcher->disarm_task);
    pthread_mutex_lock(&watcher->lock);
    while (!watcher->is_idle) {
        pthread_cond_wait(&watcher->cond, &watcher->lock);
    }
    pthread_mutex_unlock(&watcher->lock);
}

static void wait_until_told(sse_watcher_t *watcher)
{
    pthread_mutex_lock(&watcher->lock);
    while (!watcher->is_told) {
        pthread_cond_wait(&watcher->cond, &watcher->lock);
    }
    pthread_mutex_unlock(&watcher->lock);
}

static sse_watcher_t *create(request_rec *r, sse_callbacks_t *callbacks,
                             sse_watch_mode_e mode)
{
    sse_watcher_t *watcher = calloc(1, sizeof(*watcher));

    if (!watcher) {
        abort();
    }
    watcher->refs = 1;
    watcher->r = r;
    watcher->callbacks = callbacks;
    sse_callbacks_acquire(callbacks);
    watcher->mode = mode;
    watcher->fd = sse_conn_fd(r->connection);
    watcher->read_fd = -1;
    watcher->half_keep =
        sse_conf_half_close_keep(r) && sse_conn_may_half_close(r);
    watcher->opened = apr_time_now();
    pthread_mutex_init(&watcher->lock, NULL);
    pthread_cond_init(&watcher->cond, NULL);
    watcher->arm_task.run = on_arm;
    watcher->disarm_task.run = on_disarm;
    watcher->tell_task.run = on_tell;
    watcher->told_task.run = on_told;
    return watcher;
}

/* The request's pool goes without its having been logged: a backstop. */
static apr_status_t on_request_gone(void *baton)
{
    sse_watcher_log(baton);
    return APR_SUCCESS;
}

/* Whether the hooks are to be told of it from now on. */
static int begin_opening(sse_watcher_t *watcher, sse_watch_mode_e mode)
{
    int opens;

    pthread_mutex_lock(&watcher->lock);
    opens = mode > watcher->mode && watcher->mode == SSE_WATCH_OFF &&
            !watcher->is_telling;
    watcher->is_opening = opens;
    if (mode > watcher->mode && watcher->mode != SSE_WATCH_OFF) {
        watcher->mode = mode;
    }
    pthread_mutex_unlock(&watcher->lock);
    return opens;
}

static void end_opening(sse_watcher_t *watcher, sse_watch_mode_e mode)
{
    int waits;

    pthread_mutex_lock(&watcher->lock);
    watcher->mode = mode;
    watcher->is_opening = 0;
    waits = watcher->tell_waits;
    pthread_mutex_unlock(&watcher->lock);
    if (waits) {
        sse_loop_post(all.loop, &watcher->tell_task); /* has its reference */
    }
}

static void watch_more(request_rec *r, sse_watcher_t *watcher,
                       sse_watch_mode_e mode)
{
    if (begin_opening(watcher, mode)) {
        watcher->notes = sse_notes_create(r, "-");
        sse_listeners_opened(NULL, r);
        end_opening(watcher, mode);
    }
}

int sse_watcher_is_ready(void)
{
    return all.loop && !sse_loop_is_gone(all.loop);
}

void sse_watcher_arm(request_rec *r, sse_watch_mode_e mode)
{
    request_rec *first = sse_callbacks_first(r);
    sse_callbacks_t *callbacks = sse_callbacks_of(r, all.loop);
    sse_watcher_t *watcher = sse_callbacks_watcher(callbacks);
    int is_new = !watcher;

    if (sse_callbacks_is_stream(callbacks)) {
        return;
    }
    sse_signals_hold();
    if (is_new) {
        watcher = create(first, callbacks, SSE_WATCH_OFF);
        sse_callbacks_set_watcher(callbacks, watcher);
        sse_leave_count_up();
        apr_pool_pre_cleanup_register(first->pool, first, on_request_gone);
    }
    watch_more(first, watcher, mode);
    if (is_new) {
        post(watcher, &watcher->arm_task);
    }
    sse_signals_let_go();
}

struct sse_watcher_t *sse_watcher_of(request_rec *r)
{
    sse_callbacks_t *callbacks = sse_callbacks_find(r);
    sse_watcher_t *watcher =
        callbacks ? sse_callbacks_watcher(callbacks) : NULL;
    int aborts = 0;

    if (watcher) {
        sse_signals_hold();
        pthread_mutex_lock(&watcher->lock);
        aborts = watcher->mode == SSE_WATCH_ABORT;
        pthread_mutex_unlock(&watcher->lock);
        sse_signals_let_go();
    }
    return aborts ? watcher : NULL;
}

int sse_watcher_begin_read(sse_watcher_t *watcher, int fd)
{
    int is_cut;

    sse_signals_hold();
    pthread_mutex_lock(&watcher->lock);
    is_cut = watcher->is_cut;
    watcher->read_fd = is_cut ? -1 : fd;
    pthread_mutex_unlock(&watcher->lock);
    sse_signals_let_go();
    return !is_cut;
}

int sse_watcher_end_read(sse_watcher_t *watcher)
{
    int is_cut;

    sse_signals_hold();
    pthread_mutex_lock(&watcher->lock);
    is_cut = watcher->is_cut;
    watcher->read_fd = -1;
    pthread_mutex_unlock(&watcher->lock);
    sse_signals_let_go();
    return !is_cut;
}

static void forget(request_rec *r, sse_callbacks_t *callbacks,
                   sse_watcher_t *watcher)
{
    sse_callbacks_set_watcher(callbacks, NULL);
    apr_pool_cleanup_kill(r->pool, r, on_request_gone);
    release(watcher);
}

int sse_watcher_disarm(request_rec *r, int *is_open)
{
    request_rec *first = sse_callbacks_first(r);
    sse_callbacks_t *callbacks = sse_callbacks_find(first);
    sse_watcher_t *watcher =
        callbacks ? sse_callbacks_watcher(callbacks) : NULL;

    *is_open = 0;
    if (!watcher) {
        return 1;
    }
    take_back(watcher);
    *is_open = watcher->mode != SSE_WATCH_OFF;
    if (sse_atomic_load(&watcher->reason) != SSE_CLOSE_NONE) {
        return 0; /* it is told as it is, and ends when it is logged */
    }
    sse_leave_count_down();
    forget(first, callbacks, watcher);
    return 1;
}

/* What is opened, its end must be told. */
static int may_watch(request_rec *r)
{
    static sse_complaint_t complaint;
    apr_status_t rv = sse_notify_reserve();

    if (rv != APR_SUCCESS && sse_complain_is_due(&complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      "cannot create a thread for callbacks; a request is "
                      "served without SSEWatch: see the limits on threads "
                      "(TasksMax of systemd's unit, RLIMIT_NPROC of the user, "
                      "the cgroup's pids.max). Not told again for a minute");
    }
    return rv == APR_SUCCESS;
}

int sse_watcher_fixups(request_rec *r)
{
    int mode = sse_conf_watch(r);

    if (mode != SSE_WATCH_OFF && !r->main && sse_watcher_is_ready() &&
        may_watch(r)) {
        sse_watcher_arm(r, (sse_watch_mode_e)mode);
    }
    return DECLINED;
}

/* How a response that was produced has ended. */
static sse_close_reason_e outcome(sse_watcher_t *watcher)
{
    sse_close_reason_e reason = (sse_close_reason_e)watcher->late;

    if (!watcher->r->connection->aborted) {
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

/* httpd logs the last request's notes where one was redirected internally. */
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
    sse_watcher_t *watcher =
        callbacks ? sse_callbacks_watcher(callbacks) : NULL;

    if (!watcher || watcher->r != r || sse_loop_is_gone(all.loop)) {
        return DECLINED;
    }
    sse_signals_hold();
    take_back(watcher);
    end(watcher, outcome(watcher), APR_SUCCESS);
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
