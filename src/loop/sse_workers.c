/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_workers.h"

#include <apr_allocator.h>
#include <apr_thread_mutex.h>
#include <apr_thread_pool.h>
#include <pthread.h>
#include <stdlib.h>

#include "sse_atomic.h"

#define IDLE_WAIT apr_time_from_sec(1)

/* Two, so that one that waits for its disk holds up nobody. */
#define OWN_THREADS 2

/* const after child_init */
static apr_thread_pool_t *listeners, *own;

static struct {
    pthread_mutex_t lock; /* a leaf */
    sse_job_t *first;     /* lock */
    sse_job_t **last;     /* lock */
    int threads;          /* lock: that are at it */
} jobs = {PTHREAD_MUTEX_INITIALIZER, NULL, &jobs.first, 0};

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

static apr_status_t create_threads(apr_thread_pool_t **made, int most,
                                   apr_pool_t *pool)
{
    apr_status_t rv = apr_thread_pool_create(made, 0, most, pool);

    if (rv == APR_SUCCESS) {
        apr_thread_pool_idle_wait_set(*made, IDLE_WAIT);
        apr_thread_pool_threshold_set(*made, 0);
    }
    return rv;
}

apr_status_t sse_workers_init(apr_pool_t *parent, int most)
{
    apr_pool_t *pool;
    apr_status_t rv = create_pool(&pool, parent);

    if (rv == APR_SUCCESS) {
        rv = create_threads(&listeners, most, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = create_threads(&own, OWN_THREADS, pool);
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

static apr_status_t push(apr_thread_pool_t *pool, void (*fn)(void *),
                         void *baton)
{
    work_t *work = calloc(1, sizeof(*work));
    apr_status_t rv;

    if (!work) {
        return APR_ENOMEM;
    }
    work->fn = fn;
    work->baton = baton;
    work->refs = 2;
    rv = apr_thread_pool_push(pool, run, work, APR_THREAD_TASK_PRIORITY_NORMAL,
                              NULL);
    if (rv != APR_SUCCESS && !decide(work)) {
        rv = APR_SUCCESS; /* a thread that there was has it */
    }
    release(work);
    return rv;
}

apr_status_t sse_workers_push(void (*fn)(void *), void *baton)
{
    return push(listeners, fn, baton);
}

/* Under the lock: the next one, or this thread is no longer at it. */
static sse_job_t *take_job(void)
{
    sse_job_t *job = jobs.first;

    if (!job) {
        --jobs.threads;
        return NULL;
    }
    jobs.first = job->next;
    if (!jobs.first) {
        jobs.last = &jobs.first;
    }
    return job;
}

static void run_jobs(void *baton)
{
    sse_job_t *job;

    pthread_mutex_lock(&jobs.lock);
    while ((job = take_job()) != NULL) {
        pthread_mutex_unlock(&jobs.lock);
        job->run(job);
        pthread_mutex_lock(&jobs.lock);
    }
    pthread_mutex_unlock(&jobs.lock);
}

void sse_workers_do(sse_job_t *job)
{
    int is_more;

    pthread_mutex_lock(&jobs.lock);
    job->next = NULL;
    *jobs.last = job;
    jobs.last = &job->next;
    is_more = jobs.threads < OWN_THREADS;
    jobs.threads += is_more;
    pthread_mutex_unlock(&jobs.lock);
    if (is_more && push(own, run_jobs, NULL) != APR_SUCCESS) {
        run_jobs(NULL);
    }
}

static int are_busy(void)
{
    return (listeners && apr_thread_pool_busy_count(listeners)) ||
           (own && apr_thread_pool_busy_count(own));
}

int sse_workers_finish(apr_interval_time_t wait)
{
    while (are_busy()) {
        if (wait <= 0) {
            return 0;
        }
        apr_sleep(1000);
        wait -= 1000;
    }
    return 1;
}
