/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_callbacks.h"

#include <http_config.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "loop/sse_workers.h"
#include "sse_atomic.h"

extern module AP_MODULE_DECLARE_DATA sse_module;

/** One registration. */
struct sse_watch_t {
    sse_callbacks_t *callbacks; /* const */
    request_rec *r;             /* const */
    apr_uint32_t reasons;       /* const */
    sse_close_fn *fn;           /* const */
    void *baton;                /* const */
    sse_watch_t *next;          /* lock */
    int is_over; /* lock: ran, is running, was cancelled, or did not match */
};

struct sse_callbacks_t {
    apr_uint32_t refs;             /* atomic */
    sse_loop_t *loop;              /* const */
    struct sse_watcher_t *watcher; /* request thread */
    int is_stream;                 /* const once a stream is open */
    const sse_slice_t *channels;   /* likewise: their keys */
    int n_channels;                /* likewise */
    void *kept;                    /* const once the opening was told */

    pthread_mutex_t lock;
    pthread_cond_t cond;
    sse_watch_t *first;    /* lock: all, in order */
    sse_watch_t **last;    /* lock */
    sse_watch_t *todo;     /* lock: the first that has not run */
    int is_closed;         /* lock: the end is known, in close */
    int is_running;        /* lock: a worker runs what is to do, or will */
    int is_gone;           /* lock: it cannot be pinned any more */
    int pins;              /* lock */
    sse_close_t close;     /* lock; const once closed */
    sse_task_t *when_free; /* lock: posted when the last pin goes */
    sse_task_t late_task;
    sse_job_t late_job;
};

request_rec *sse_callbacks_first(request_rec *r)
{
    while (r->main) {
        r = r->main;
    }
    while (r->prev) {
        r = r->prev;
    }
    return r;
}

sse_callbacks_t *sse_callbacks_find(request_rec *r)
{
    return ap_get_module_config(sse_callbacks_first(r)->request_config,
                                &sse_module);
}

struct sse_watcher_t *sse_callbacks_watcher(const sse_callbacks_t *callbacks)
{
    return callbacks ? callbacks->watcher : NULL;
}

void sse_callbacks_set_watcher(sse_callbacks_t *callbacks,
                               struct sse_watcher_t *watcher)
{
    callbacks->watcher = watcher;
}

void sse_callbacks_set_stream(sse_callbacks_t *callbacks,
                              const sse_slice_t *channels, int n_channels)
{
    callbacks->is_stream = 1;
    callbacks->channels = channels;
    callbacks->n_channels = n_channels;
}

int sse_callbacks_channels(const sse_callbacks_t *callbacks,
                           const sse_slice_t **channels)
{
    *channels = callbacks->channels;
    return callbacks->n_channels;
}

void *sse_callbacks_kept(const sse_callbacks_t *callbacks)
{
    return callbacks->kept;
}

void sse_callbacks_keep(sse_callbacks_t *callbacks, void *kept)
{
    callbacks->kept = kept;
}

int sse_callbacks_is_stream(const sse_callbacks_t *callbacks)
{
    return callbacks->is_stream;
}

void sse_callbacks_acquire(sse_callbacks_t *callbacks)
{
    sse_atomic_add(&callbacks->refs, 1);
}

void sse_callbacks_release(sse_callbacks_t *callbacks)
{
    sse_watch_t *watch;

    if (sse_atomic_sub(&callbacks->refs, 1) > 0) {
        return;
    }
    while ((watch = callbacks->first) != NULL) {
        callbacks->first = watch->next;
        free(watch);
    }
    free((void *)callbacks->close.last_event_id);
    pthread_cond_destroy(&callbacks->cond);
    pthread_mutex_destroy(&callbacks->lock);
    free(callbacks);
}

/* -- Pins ------------------------------------------------------------------ */

/* Under the lock. */
static void unpin(sse_callbacks_t *callbacks)
{
    if (--callbacks->pins == 0) {
        pthread_cond_broadcast(&callbacks->cond);
        if (callbacks->when_free) {
            callbacks->is_gone = 1;
            sse_loop_post(callbacks->loop, callbacks->when_free);
            callbacks->when_free = NULL;
        }
    }
}

int sse_callbacks_pin(sse_callbacks_t *callbacks)
{
    int ok;

    pthread_mutex_lock(&callbacks->lock);
    ok = !callbacks->is_gone;
    callbacks->pins += ok;
    pthread_mutex_unlock(&callbacks->lock);
    return ok;
}

void sse_callbacks_unpin(sse_callbacks_t *callbacks)
{
    pthread_mutex_lock(&callbacks->lock);
    unpin(callbacks);
    pthread_mutex_unlock(&callbacks->lock);
}

void sse_callbacks_finish(sse_callbacks_t *callbacks, sse_task_t *task)
{
    pthread_mutex_lock(&callbacks->lock);
    ++callbacks->pins;
    callbacks->when_free = task;
    unpin(callbacks);
    pthread_mutex_unlock(&callbacks->lock);
}

void sse_callbacks_finish_wait(sse_callbacks_t *callbacks)
{
    pthread_mutex_lock(&callbacks->lock);
    while (callbacks->pins) {
        pthread_cond_wait(&callbacks->cond, &callbacks->lock);
    }
    callbacks->is_gone = 1;
    pthread_mutex_unlock(&callbacks->lock);
}

/* -- Running --------------------------------------------------------------- */

/* Under the lock, which is released during the call. */
static void call(sse_callbacks_t *callbacks, sse_watch_t *watch)
{
    sse_close_t close = callbacks->close;
    int runs = !watch->is_over && watch->reasons & (1u << close.reason);

    watch->is_over = 1;
    if (runs) {
        pthread_mutex_unlock(&callbacks->lock);
        apr_pool_create(&close.pool, NULL);
        apr_pool_tag(close.pool, "sse_close");
        watch->fn(watch->r, &close, watch->baton);
        apr_pool_destroy(close.pool);
        pthread_mutex_lock(&callbacks->lock);
    }
}

/* Under the lock: run all callbacks, including those added meanwhile. */
static void run_todo(sse_callbacks_t *callbacks)
{
    sse_watch_t *watch;

    while ((watch = callbacks->todo) != NULL) {
        callbacks->todo = watch->next;
        call(callbacks, watch);
    }
    callbacks->is_running = 0;
}

/* Under the lock. */
static void store(sse_callbacks_t *callbacks, const sse_close_t *close)
{
    callbacks->close = *close;
    if (close->last_event_id) {
        callbacks->close.last_event_id = strdup(close->last_event_id);
    }
    callbacks->is_closed = 1;
}

/* If there is no callback, the end counts as told: later ones run at once. */
static int wants_end(const sse_ended_t *ended)
{
    sse_callbacks_t *callbacks = sse_callbacks_find(ended->r);
    int waits;

    pthread_mutex_lock(&callbacks->lock);
    waits = callbacks->todo != NULL;
    if (!waits) {
        store(callbacks, &ended->close);
    }
    pthread_mutex_unlock(&callbacks->lock);
    return waits;
}

static void closed(const sse_ended_t *ended)
{
    sse_callbacks_t *callbacks = sse_callbacks_find(ended->r);

    pthread_mutex_lock(&callbacks->lock);
    if (!callbacks->is_closed) { /* else wants_end() found nobody waiting */
        store(callbacks, &ended->close);
        callbacks->is_running = 1;
        run_todo(callbacks);
    }
    pthread_mutex_unlock(&callbacks->lock);
}

const sse_listener_t sse_callbacks_listener = {
    .wants_end = wants_end,
    .closed = closed,
};

/* Worker: with a pin and a reference, taken by append(). */
static void run_late(sse_job_t *job)
{
    sse_callbacks_t *callbacks = sse_owner_of(job, sse_callbacks_t, late_job);

    pthread_mutex_lock(&callbacks->lock);
    run_todo(callbacks);
    unpin(callbacks);
    pthread_mutex_unlock(&callbacks->lock);
    sse_callbacks_release(callbacks);
}

static void on_late(sse_task_t *task)
{
    sse_callbacks_t *callbacks = sse_owner_of(task, sse_callbacks_t, late_task);

    sse_workers_do(SSE_WORKERS_CLOSE, &callbacks->late_job);
}

/* -- Registering ----------------------------------------------------------- */

static apr_status_t on_request_gone(void *callbacks)
{
    sse_callbacks_release(callbacks);
    return APR_SUCCESS;
}

sse_callbacks_t *sse_callbacks_of(request_rec *r, sse_loop_t *loop)
{
    request_rec *first = sse_callbacks_first(r);
    sse_callbacks_t *callbacks = sse_callbacks_find(first);

    if (!callbacks) {
        callbacks = calloc(1, sizeof(*callbacks));
        if (!callbacks) {
            abort();
        }
        callbacks->refs = 1;
        callbacks->loop = loop;
        callbacks->last = &callbacks->first;
        callbacks->late_task.run = on_late;
        callbacks->late_job.run = run_late;
        pthread_mutex_init(&callbacks->lock, NULL);
        pthread_cond_init(&callbacks->cond, NULL);
        apr_pool_cleanup_register(first->pool, callbacks, on_request_gone,
                                  apr_pool_cleanup_null);
        ap_set_module_config(first->request_config, &sse_module, callbacks);
    }
    return callbacks;
}

static sse_watch_t *create(sse_callbacks_t *callbacks, request_rec *r,
                           apr_uint32_t reasons, sse_close_fn *fn, void *baton)
{
    sse_watch_t *watch = calloc(1, sizeof(*watch));

    if (!watch) {
        abort();
    }
    watch->callbacks = callbacks;
    /* A subrequest's pool is destroyed before the request's end. */
    watch->r = r->main ? sse_callbacks_first(r) : r;
    watch->reasons = reasons;
    watch->fn = fn;
    watch->baton = baton;
    return watch;
}

/* Under the lock. */
static void append(sse_callbacks_t *callbacks, sse_watch_t *watch)
{
    *callbacks->last = watch;
    callbacks->last = &watch->next;
    if (!callbacks->todo) {
        callbacks->todo = watch;
    }
    if (callbacks->is_closed && !callbacks->is_running) {
        callbacks->is_running = 1;
        ++callbacks->pins;
        sse_callbacks_acquire(callbacks);
        sse_loop_post(callbacks->loop, &callbacks->late_task);
    }
}

apr_status_t sse_callbacks_add(sse_callbacks_t *callbacks, request_rec *r,
                               apr_uint32_t reasons, sse_close_fn *fn,
                               void *baton, sse_watch_t **out)
{
    apr_status_t rv = sse_workers_reserve(SSE_WORKERS_CLOSE);
    sse_watch_t *watch;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    watch = create(callbacks, r, reasons, fn, baton);
    pthread_mutex_lock(&callbacks->lock);
    if (callbacks->is_gone) {
        free(watch);
        rv = APR_EOF;
    }
    else {
        append(callbacks, watch);
        if (out) {
            *out = watch;
        }
    }
    pthread_mutex_unlock(&callbacks->lock);
    return rv;
}

apr_status_t sse_callbacks_cancel(sse_watch_t *watch)
{
    int was_over;

    pthread_mutex_lock(&watch->callbacks->lock);
    was_over = watch->is_over;
    watch->is_over = 1;
    pthread_mutex_unlock(&watch->callbacks->lock);
    return was_over ? APR_EOF : APR_SUCCESS;
}
