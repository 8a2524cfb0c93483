/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_workers.h"

#include <apr_errno.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define IDLE_SEC 1
/* Two, so that one that waits for its disk holds up nobody. */
#define OWN_THREADS 2

typedef struct {
    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t cond;  /* there is something to do */
    int most;             /* const after child_init: threads */
    sse_job_t *first;     /* lock: all below */
    sse_job_t **last;
    int queued;
    int threads; /* that there are, or are about to be */
    int idle;    /* of these: that wait */
} workers_t;

static workers_t listeners, own;

static void init(workers_t *workers, int most)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&workers->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&workers->lock, NULL);
    workers->last = &workers->first;
    workers->most = most;
}

void sse_workers_init(int most)
{
    init(&listeners, most);
    init(&own, OWN_THREADS);
}

/* -- A worker -------------------------------------------------------------- */

/* Under the lock.  @return 0: nothing came for so long */
static int await(workers_t *workers)
{
    struct timespec until;
    int err = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SEC;
    ++workers->idle;
    while (!workers->first && err != ETIMEDOUT) {
        err = pthread_cond_timedwait(&workers->cond, &workers->lock, &until);
    }
    --workers->idle;
    return workers->first != NULL;
}

/* Under the lock. */
static sse_job_t *take(workers_t *workers)
{
    sse_job_t *job = workers->first;

    workers->first = job->next;
    if (!workers->first) {
        workers->last = &workers->first;
    }
    --workers->queued;
    return job;
}

static void *run(void *baton)
{
    workers_t *workers = baton;
    sse_job_t *job;

    pthread_mutex_lock(&workers->lock);
    while (workers->first || await(workers)) {
        job = take(workers);
        pthread_mutex_unlock(&workers->lock);
        job->run(job);
        pthread_mutex_lock(&workers->lock);
    }
    --workers->threads;
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* -- Giving them something to do ------------------------------------------- */

/* Under the lock. */
static int start(workers_t *workers)
{
    pthread_attr_t attr;
    pthread_t thread;
    int err;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    err = pthread_create(&thread, &attr, run, workers);
    pthread_attr_destroy(&attr);
    workers->threads += !err;
    return err;
}

/* One that waits counts once only, though it may have been woken and not run
 * yet.  Where no more can be made, those that there are will come to it. */
static apr_status_t add(workers_t *workers, sse_job_t *job)
{
    int err = 0;

    pthread_mutex_lock(&workers->lock);
    if (workers->queued >= workers->idle && workers->threads < workers->most) {
        err = start(workers);
    }
    if (workers->threads) {
        job->next = NULL;
        *workers->last = job;
        workers->last = &job->next;
        ++workers->queued;
        pthread_cond_signal(&workers->cond);
        err = 0;
    }
    pthread_mutex_unlock(&workers->lock);
    return err;
}

void sse_workers_do(sse_job_t *job)
{
    if (add(&own, job)) {
        job->run(job);
    }
}

typedef struct {
    sse_job_t job;
    void (*fn)(void *);
    void *baton;
} work_t;

static void run_work(sse_job_t *job)
{
    work_t work = *(work_t *)job; /* its first member */

    free(job);
    work.fn(work.baton);
}

apr_status_t sse_workers_push(void (*fn)(void *), void *baton)
{
    work_t *work = malloc(sizeof(*work));
    apr_status_t rv = APR_ENOMEM;

    if (work) {
        work->job.run = run_work;
        work->fn = fn;
        work->baton = baton;
        rv = add(&listeners, &work->job);
        if (rv != APR_SUCCESS) {
            free(work);
        }
    }
    return rv;
}

/* -- The end --------------------------------------------------------------- */

static int is_busy(workers_t *workers)
{
    int busy;

    pthread_mutex_lock(&workers->lock);
    busy = workers->queued || workers->threads > workers->idle;
    pthread_mutex_unlock(&workers->lock);
    return busy;
}

sse_workers_e sse_workers_finish(apr_interval_time_t wait)
{
    while (is_busy(&listeners) || is_busy(&own)) {
        if (wait <= 0) {
            return is_busy(&listeners) ? SSE_WORKERS_LISTENERS
                                       : SSE_WORKERS_OWN;
        }
        apr_sleep(1000);
        wait -= 1000;
    }
    return SSE_WORKERS_NONE;
}
