/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_notice.h"

#include <http_config.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "loop/sse_workers.h"
#include "sse_atomic.h"

extern module AP_MODULE_DECLARE_DATA sse_module;

typedef enum {
    SSE_WATCH_WAITING,
    SSE_WATCH_OVER /**< ran, is running, was cancelled, or did not match */
} sse_watch_state_e;

/** One registration. */
struct sse_watch_t {
    sse_notice_t *notice;    /* const */
    request_rec *r;          /* const */
    apr_uint32_t reasons;    /* const */
    sse_close_fn *fn;        /* const */
    void *baton;             /* const */
    sse_watch_state_e state; /* lock */
    sse_watch_t *next;       /* lock */
};

struct sse_notice_t {
    apr_uint32_t refs;             /* atomic */
    sse_loop_t *loop;              /* const */
    struct sse_watcher_t *watcher; /* request thread */
    int is_stream;                 /* const once a stream is open */

    pthread_mutex_t lock;
    pthread_cond_t cond;
    sse_watch_t *first;    /* lock: all, in order */
    sse_watch_t **last;    /* lock */
    sse_watch_t *todo;     /* lock: the first that has not had its turn */
    int is_closed;         /* lock: the end is known, in close */
    int is_running;        /* lock: a worker goes through todo, or will */
    int is_gone;           /* lock: no pin any more */
    int pins;              /* lock */
    sse_close_t close;     /* lock; const once closed */
    sse_task_t *when_free; /* lock: to be posted when the last pin goes */
    sse_task_t late_task;
    sse_job_t late_job;
};

request_rec *sse_notice_first(request_rec *r)
{
    while (r->main) {
        r = r->main;
    }
    while (r->prev) {
        r = r->prev;
    }
    return r;
}

sse_notice_t *sse_notice_find(request_rec *r)
{
    return ap_get_module_config(sse_notice_first(r)->request_config,
                                &sse_module);
}

struct sse_watcher_t *sse_notice_watcher(const sse_notice_t *notice)
{
    return notice->watcher;
}

void sse_notice_set_watcher(sse_notice_t *notice, struct sse_watcher_t *watcher)
{
    notice->watcher = watcher;
}

void sse_notice_set_stream(sse_notice_t *notice) { notice->is_stream = 1; }

int sse_notice_is_stream(const sse_notice_t *notice)
{
    return notice->is_stream;
}

void sse_notice_acquire(sse_notice_t *notice)
{
    sse_atomic_add(&notice->refs, 1);
}

void sse_notice_release(sse_notice_t *notice)
{
    sse_watch_t *watch;

    if (sse_atomic_sub(&notice->refs, 1) > 0) {
        return;
    }
    while ((watch = notice->first) != NULL) {
        notice->first = watch->next;
        free(watch);
    }
    free((void *)notice->close.last_event_id);
    pthread_cond_destroy(&notice->cond);
    pthread_mutex_destroy(&notice->lock);
    free(notice);
}

static apr_status_t on_request_gone(void *notice)
{
    sse_notice_release(notice);
    return APR_SUCCESS;
}

static void on_late(sse_task_t *task);
static void run_late(sse_job_t *job);

sse_notice_t *sse_notice_of(request_rec *r, sse_loop_t *loop)
{
    request_rec *first = sse_notice_first(r);
    sse_notice_t *notice = sse_notice_find(first);

    if (!notice) {
        notice = calloc(1, sizeof(*notice));
        if (!notice) {
            abort();
        }
        notice->refs = 1;
        notice->loop = loop;
        notice->last = &notice->first;
        notice->late_task.run = on_late;
        notice->late_job.run = run_late;
        pthread_mutex_init(&notice->lock, NULL);
        pthread_cond_init(&notice->cond, NULL);
        apr_pool_cleanup_register(first->pool, notice, on_request_gone,
                                  apr_pool_cleanup_null);
        ap_set_module_config(first->request_config, &sse_module, notice);
    }
    return notice;
}

/* -- Pins ------------------------------------------------------------------ */

/* Under the lock. */
static void unpin(sse_notice_t *notice)
{
    if (--notice->pins == 0) {
        pthread_cond_broadcast(&notice->cond);
        if (notice->when_free) {
            notice->is_gone = 1;
            sse_loop_post(notice->loop, notice->when_free);
            notice->when_free = NULL;
        }
    }
}

int sse_notice_pin(sse_notice_t *notice)
{
    int ok;

    pthread_mutex_lock(&notice->lock);
    ok = !notice->is_gone;
    notice->pins += ok;
    pthread_mutex_unlock(&notice->lock);
    return ok;
}

void sse_notice_unpin(sse_notice_t *notice)
{
    pthread_mutex_lock(&notice->lock);
    unpin(notice);
    pthread_mutex_unlock(&notice->lock);
}

void sse_notice_finish(sse_notice_t *notice, sse_task_t *task)
{
    pthread_mutex_lock(&notice->lock);
    if (notice->pins) {
        notice->when_free = task;
    }
    else {
        notice->is_gone = 1;
        sse_loop_post(notice->loop, task);
    }
    pthread_mutex_unlock(&notice->lock);
}

void sse_notice_finish_wait(sse_notice_t *notice)
{
    pthread_mutex_lock(&notice->lock);
    while (notice->pins) {
        pthread_cond_wait(&notice->cond, &notice->lock);
    }
    notice->is_gone = 1;
    pthread_mutex_unlock(&notice->lock);
}

/* -- Running --------------------------------------------------------------- */

/* Under the lock, which is let go for the call. */
static void call(sse_notice_t *notice, sse_watch_t *watch)
{
    sse_close_t close = notice->close;

    if (watch->state != SSE_WATCH_WAITING) {
        return;
    }
    watch->state = SSE_WATCH_OVER;
    if (!(watch->reasons & (1u << close.reason))) {
        return;
    }
    pthread_mutex_unlock(&notice->lock);
    apr_pool_create(&close.pool, NULL);
    apr_pool_tag(close.pool, "sse_close");
    watch->fn(watch->r, &close, watch->baton);
    apr_pool_destroy(close.pool);
    pthread_mutex_lock(&notice->lock);
}

/* Under the lock: until nothing waits, also what comes meanwhile. */
static void run_todo(sse_notice_t *notice)
{
    sse_watch_t *watch;

    while ((watch = notice->todo) != NULL) {
        notice->todo = watch->next;
        call(notice, watch);
    }
    notice->is_running = 0;
}

/* Under the lock. */
static void store(sse_notice_t *notice, const sse_close_t *close,
                  const char *last_event_id)
{
    notice->close = *close;
    notice->close.last_event_id = last_event_id ? strdup(last_event_id) : NULL;
    notice->is_closed = 1;
}

int sse_notice_close_unheard(sse_notice_t *notice, const sse_close_t *close,
                             const char *last_event_id)
{
    int unheard;

    pthread_mutex_lock(&notice->lock);
    unheard = !notice->todo;
    if (unheard) {
        store(notice, close, last_event_id);
    }
    pthread_mutex_unlock(&notice->lock);
    return unheard;
}

void sse_notice_run(sse_notice_t *notice, const sse_close_t *close,
                    const char *last_event_id)
{
    pthread_mutex_lock(&notice->lock);
    store(notice, close, last_event_id);
    notice->is_running = 1;
    run_todo(notice);
    pthread_mutex_unlock(&notice->lock);
}

/* Worker: with a pin and a reference, both taken by who posted it. */
static void run_late(sse_job_t *job)
{
    sse_notice_t *notice = sse_owner_of(job, sse_notice_t, late_job);

    pthread_mutex_lock(&notice->lock);
    run_todo(notice);
    unpin(notice);
    pthread_mutex_unlock(&notice->lock);
    sse_notice_release(notice);
}

static void on_late(sse_task_t *task)
{
    sse_notice_t *notice = sse_owner_of(task, sse_notice_t, late_task);

    sse_workers_do(SSE_WORKERS_CLOSE, &notice->late_job);
}

/* -- Registering ----------------------------------------------------------- */

static sse_watch_t *create(sse_notice_t *notice, request_rec *r,
                           apr_uint32_t reasons, sse_close_fn *fn, void *baton)
{
    sse_watch_t *watch = calloc(1, sizeof(*watch));

    if (!watch) {
        abort();
    }
    watch->notice = notice;
    /* A subrequest's pool goes before the request's end. */
    watch->r = r->main ? sse_notice_first(r) : r;
    watch->reasons = reasons;
    watch->fn = fn;
    watch->baton = baton;
    return watch;
}

/* Under the lock. */
static void start_late(sse_notice_t *notice)
{
    notice->is_running = 1;
    ++notice->pins;
    sse_notice_acquire(notice);
    sse_loop_post(notice->loop, &notice->late_task);
}

apr_status_t sse_notice_add(sse_notice_t *notice, request_rec *r,
                            apr_uint32_t reasons, sse_close_fn *fn, void *baton,
                            sse_watch_t **out)
{
    apr_status_t rv = sse_workers_reserve(SSE_WORKERS_CLOSE);
    sse_watch_t *watch;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = APR_EOF;
    watch = create(notice, r, reasons, fn, baton);
    pthread_mutex_lock(&notice->lock);
    if (!notice->is_gone) {
        *notice->last = watch;
        notice->last = &watch->next;
        if (!notice->todo) {
            notice->todo = watch;
        }
        if (notice->is_closed && !notice->is_running) {
            start_late(notice);
        }
        if (out) {
            *out = watch;
        }
        rv = APR_SUCCESS;
    }
    pthread_mutex_unlock(&notice->lock);
    if (rv != APR_SUCCESS) {
        free(watch);
    }
    return rv;
}

apr_status_t sse_notice_cancel(sse_watch_t *watch)
{
    sse_notice_t *notice = watch->notice;
    apr_status_t rv = APR_EOF;

    pthread_mutex_lock(&notice->lock);
    if (watch->state == SSE_WATCH_WAITING) {
        watch->state = SSE_WATCH_OVER;
        rv = APR_SUCCESS;
    }
    pthread_mutex_unlock(&notice->lock);
    return rv;
}
