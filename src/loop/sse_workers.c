/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_workers.h"

#include <apr_allocator.h>
#include <apr_thread_mutex.h>
#include <apr_thread_pool.h>
#include <stdlib.h>

#include "sse_atomic.h"

#define IDLE_WAIT apr_time_from_sec(1)

static apr_thread_pool_t *threads; /* const after child_init */

/* APR leaves a task in its queue for which it could make no thread, and says
 * that it failed: whoever is first decides whether it runs.  Freed by the last
 * of two, who pushes it and who finds it in the queue. */
typedef struct {
    void (*fn)(void *); /* const */
    void *baton;        /* const */
    int is_decided;     /* atomic */
    int refs;           /* atomic */
} work_t;

static int decide(work_t *work)
{
    return sse_atomic_cas(&work->is_decided, 0, 1);
}

static void release(work_t *work)
{
    if (sse_atomic_sub(&work->refs, 1) == 0) {
        free(work);
    }
}

/* The pool of a prefork child has an allocator without a lock, and one that is
 * made from it would share that: tasks and threads come from other threads than
 * the one that serves requests. */
static apr_status_t create_pool(apr_pool_t **pool, apr_pool_t *parent)
{
    apr_allocator_t *allocator;
    apr_thread_mutex_t *mutex;
    apr_status_t rv = apr_allocator_create(&allocator);

    if (rv == APR_SUCCESS) {
        rv = apr_pool_create_ex(pool, parent, NULL, allocator);
    }
    if (rv == APR_SUCCESS) {
        apr_allocator_owner_set(allocator, *pool);
        apr_pool_tag(*pool, "sse_workers");
        rv = apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, *pool);
    }
    if (rv == APR_SUCCESS) {
        apr_allocator_mutex_set(allocator, mutex);
    }
    return rv;
}

apr_status_t sse_workers_init(apr_pool_t *parent, int most)
{
    apr_pool_t *pool;
    apr_status_t rv = create_pool(&pool, parent);

    if (rv == APR_SUCCESS) {
        rv = apr_thread_pool_create(&threads, 0, most, pool);
    }
    if (rv == APR_SUCCESS) {
        apr_thread_pool_idle_wait_set(threads, IDLE_WAIT);
        apr_thread_pool_threshold_set(threads, 0);
    }
    return rv;
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *baton)
{
    work_t *work = baton;

    if (decide(work)) {
        work->fn(work->baton);
    }
    release(work);
    return NULL;
}

apr_status_t sse_workers_push(void (*fn)(void *), void *baton)
{
    work_t *work = calloc(1, sizeof(*work));
    apr_status_t rv;

    if (!work) {
        return APR_ENOMEM;
    }
    work->fn = fn;
    work->baton = baton;
    work->refs = 2;
    rv = apr_thread_pool_push(threads, run, work,
                              APR_THREAD_TASK_PRIORITY_NORMAL, NULL);
    if (rv != APR_SUCCESS && !decide(work)) {
        rv = APR_SUCCESS; /* a thread that there was has it */
    }
    release(work);
    return rv;
}

int sse_workers_finish(apr_interval_time_t wait)
{
    while (threads && apr_thread_pool_busy_count(threads)) {
        if (wait <= 0) {
            return 0;
        }
        apr_sleep(1000);
        wait -= 1000;
    }
    return 1;
}
