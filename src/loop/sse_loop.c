/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_loop.h"

#include <apr_portable.h>
#include <apr_thread_proc.h>
#include <pthread.h>
#include <stdlib.h>

#include "sse_atomic.h"

typedef STAILQ_HEAD(task_list_t, sse_task_t) task_list_t;

struct sse_loop_t {
    uv_loop_t uv;
    uv_async_t wakeup;
    uv_prepare_t before_wait;
    uv_check_t after_wait;
    void (*on_turn)(apr_uint64_t nsec); /* const once it runs */
    apr_uint64_t turn_began;            /* loop: uv_hrtime(); 0: it waits */
    apr_thread_t *thread;
    void (*urgent)(void *);
    void *urgent_baton;
    int urged;            /* atomic */
    int stop;             /* atomic */
    int gone;             /* atomic: the thread does not run */
    pthread_mutex_t lock; /* of the tasks; a leaf */
    task_list_t tasks;    /* any, under lock */
};

static void run_tasks(sse_loop_t *loop)
{
    task_list_t tasks = STAILQ_HEAD_INITIALIZER(tasks);
    sse_task_t *task;

    pthread_mutex_lock(&loop->lock);
    STAILQ_CONCAT(&tasks, &loop->tasks);
    pthread_mutex_unlock(&loop->lock);

    while ((task = STAILQ_FIRST(&tasks))) {
        pthread_mutex_lock(&loop->lock);
        STAILQ_REMOVE_HEAD(&tasks, link);
        task->queued = 0;
        pthread_mutex_unlock(&loop->lock);
        task->run(task);
    }
}

static void on_wakeup(uv_async_t *handle)
{
    sse_loop_t *loop = handle->data;

    sse_loop_begin_turn(loop);
    if (__atomic_exchange_n(&loop->urged, 0, __ATOMIC_ACQ_REL) &&
        loop->urgent) {
        loop->urgent(loop->urgent_baton);
    }
    run_tasks(loop);
    if (sse_atomic_load(&loop->stop)) {
        uv_stop(&loop->uv);
    }
}

static void *APR_THREAD_FUNC loop_main(apr_thread_t *thread, void *baton)
{
    sse_loop_t *loop = baton;

    uv_run(&loop->uv, UV_RUN_DEFAULT);
    sse_atomic_store(&loop->gone, 1);
    return NULL;
}

apr_status_t sse_loop_create(sse_loop_t **out)
{
    sse_loop_t *loop = calloc(1, sizeof(*loop));
    int err;

    if (!loop) {
        return APR_ENOMEM;
    }
    err = uv_loop_init(&loop->uv);
    if (!err && (err = uv_async_init(&loop->uv, &loop->wakeup, on_wakeup))) {
        uv_loop_close(&loop->uv);
    }
    if (err) {
        free(loop);
        return -err;
    }
    loop->wakeup.data = loop;
    STAILQ_INIT(&loop->tasks);
    loop->gone = 1;
    pthread_mutex_init(&loop->lock, NULL);
    *out = loop;
    return APR_SUCCESS;
}

apr_status_t sse_loop_start(sse_loop_t *loop, apr_pool_t *pool)
{
    apr_status_t rv;

    sse_atomic_store(&loop->gone, 0);
    rv = apr_thread_create(&loop->thread, NULL, loop_main, loop, pool);
    if (rv != APR_SUCCESS) {
        sse_atomic_store(&loop->gone, 1);
    }
    return rv;
}

int sse_loop_stop(sse_loop_t *loop, apr_interval_time_t wait)
{
    apr_status_t rv;

    sse_atomic_store(&loop->stop, 1);
    uv_async_send(&loop->wakeup);
    while (!sse_atomic_load(&loop->gone)) {
        if (wait <= 0) {
            return 0;
        }
        apr_sleep(1000);
        wait -= 1000;
    }
    apr_thread_join(&rv, loop->thread);
    return 1;
}

int sse_loop_post(sse_loop_t *loop, sse_task_t *task)
{
    int first = 0, added;

    pthread_mutex_lock(&loop->lock);
    added = !task->queued;
    if (added) {
        first = STAILQ_EMPTY(&loop->tasks);
        task->queued = 1;
        STAILQ_INSERT_TAIL(&loop->tasks, task, link);
    }
    pthread_mutex_unlock(&loop->lock);
    if (first) {
        uv_async_send(&loop->wakeup);
    }
    return added;
}

/* -- How long turns are ---------------------------------------------------- */

/* libuv tells nobody when its wait has ended but the callbacks of what it has
 * waited for.  (With UV_METRICS_IDLE_TIME it would, and make a system call more
 * in each turn.)  A turn ends when it is about to wait again; what has no
 * descriptor, the timers, runs in between. */

void sse_loop_begin_turn(sse_loop_t *loop)
{
    if (!loop->turn_began && loop->on_turn) {
        loop->turn_began = uv_hrtime();
    }
}

static void on_after_wait(uv_check_t *check)
{
    sse_loop_begin_turn(check->data);
}

static void on_before_wait(uv_prepare_t *prepare)
{
    sse_loop_t *loop = prepare->data;

    if (loop->turn_began) {
        loop->on_turn(uv_hrtime() - loop->turn_began);
        loop->turn_began = 0;
    }
}

void sse_loop_on_turn(sse_loop_t *loop, void (*fn)(apr_uint64_t nsec))
{
    loop->on_turn = fn;
    loop->before_wait.data = loop->after_wait.data = loop;
    uv_prepare_init(&loop->uv, &loop->before_wait);
    uv_check_init(&loop->uv, &loop->after_wait);
    uv_prepare_start(&loop->before_wait, on_before_wait);
    uv_check_start(&loop->after_wait, on_after_wait);
}

/* -- Other threads --------------------------------------------------------- */

void sse_loop_on_urgent(sse_loop_t *loop, void (*fn)(void *), void *baton)
{
    loop->urgent_baton = baton;
    loop->urgent = fn;
}

void sse_loop_urge(sse_loop_t *loop)
{
    sse_atomic_store(&loop->urged, 1);
    uv_async_send(&loop->wakeup);
}

int sse_loop_is_gone(const sse_loop_t *loop)
{
    return sse_atomic_load(&loop->gone);
}

apr_uint64_t sse_loop_now(sse_loop_t *loop) { return uv_now(&loop->uv); }

uv_loop_t *sse_loop_uv(sse_loop_t *loop) { return &loop->uv; }
