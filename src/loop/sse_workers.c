/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_workers.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "sse_atomic.h"

#define IDLE_SEC 1
/* Two, so that one may wait for its disk. */
#define OWN_THREADS 2
/* Likewise, for the store. */
#define PROGRAMS_THREADS 2
/* So many jobs wait for each other. */
#define SOON_MOST 32

typedef struct {
    pthread_mutex_t lock; /* a leaf; taken with all signals blocked */
    pthread_cond_t cond;  /* there is a job */
    int most;             /* const after child_init: threads */
    int is_reserved;      /* atomic, set under lock: the last thread stays */
    STAILQ_HEAD(, sse_job_t) jobs; /* lock: all below */
    int queued;
    int threads; /* running, or about to */
    int idle;    /* of these: waiting, or not yet running */
} workers_t;

static workers_t kinds[SSE_WORKERS_KINDS];

/* Posted soon; the loop's. */
static struct {
    STAILQ_HEAD(, sse_job_t) jobs;
    int n;
} soon = {STAILQ_HEAD_INITIALIZER(soon.jobs), 0};

static void init(workers_t *workers, int most)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&workers->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&workers->lock, NULL);
    STAILQ_INIT(&workers->jobs);
    workers->most = most;
}

void sse_workers_init(int most)
{
    init(&kinds[SSE_WORKERS_READY], most);
    init(&kinds[SSE_WORKERS_CLOSE], most);
    init(&kinds[SSE_WORKERS_CRASH], 1);
    init(&kinds[SSE_WORKERS_CLAIM], 1);
    init(&kinds[SSE_WORKERS_OWN], OWN_THREADS);
    init(&kinds[SSE_WORKERS_LOG], 1);
    init(&kinds[SSE_WORKERS_PRESENCE], 1);
    init(&kinds[SSE_WORKERS_PROGRAMS], PROGRAMS_THREADS);
    init(&kinds[SSE_WORKERS_REJOIN], 1);
    init(&kinds[SSE_WORKERS_HTTP2], 1);
}

void sse_workers_set_most(sse_workers_e kind, int most)
{
    kinds[kind].most = most;
}

/* The signal handler that stops a prefork child takes the lock, too; and new
 * threads inherit the mask. */
static void lock(workers_t *workers, sigset_t *before)
{
    sigset_t every;

    sigfillset(&every);
    pthread_sigmask(SIG_BLOCK, &every, before);
    pthread_mutex_lock(&workers->lock);
}

static void unlock(workers_t *workers, const sigset_t *before)
{
    pthread_mutex_unlock(&workers->lock);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* -- A worker -------------------------------------------------------------- */

/* Under the lock.  @return 0: no job within IDLE_SEC, and the thread is not the
 * last one of a reserved kind */
static int await(workers_t *workers)
{
    struct timespec until;
    int err = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SEC;
    ++workers->idle;
    while (STAILQ_EMPTY(&workers->jobs)) {
        if (workers->is_reserved && workers->threads == 1) {
            pthread_cond_wait(&workers->cond, &workers->lock);
        }
        else if (err == ETIMEDOUT) {
            break;
        }
        else {
            err =
                pthread_cond_timedwait(&workers->cond, &workers->lock, &until);
        }
    }
    --workers->idle;
    return !STAILQ_EMPTY(&workers->jobs);
}

static void *run(void *baton)
{
    workers_t *workers = baton;
    sse_job_t *job;

    pthread_mutex_lock(&workers->lock);
    --workers->idle;
    while (!STAILQ_EMPTY(&workers->jobs) || await(workers)) {
        job = STAILQ_FIRST(&workers->jobs);
        STAILQ_REMOVE_HEAD(&workers->jobs, link);
        --workers->queued;
        pthread_mutex_unlock(&workers->lock);
        job->run(job);
        pthread_mutex_lock(&workers->lock);
    }
    --workers->threads;
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

/* -- Posting --------------------------------------------------------------- */

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
    workers->idle += !err;
    return err;
}

apr_status_t sse_workers_reserve(sse_workers_e kind)
{
    workers_t *workers = &kinds[kind];
    sigset_t before;
    int err = 0;

    if (sse_atomic_load(&workers->is_reserved)) {
        return APR_SUCCESS;
    }
    lock(workers, &before);
    if (!workers->threads) {
        err = start(workers);
    }
    if (!err) {
        sse_atomic_store(&workers->is_reserved, 1);
    }
    unlock(workers, &before);
    return err;
}

/* An idle thread may have been signalled already and not run yet, so the queued
 * jobs are compared with the idle threads.  If no thread can be made, those
 * that there are will take the job. */
static apr_status_t add(workers_t *workers, sse_job_t *job, int always)
{
    sigset_t before;
    int err = 0;

    lock(workers, &before);
    if (workers->queued >= workers->idle && workers->threads < workers->most) {
        err = start(workers);
    }
    if (workers->threads || always) {
        STAILQ_INSERT_TAIL(&workers->jobs, job, link);
        ++workers->queued;
        pthread_cond_signal(&workers->cond);
        err = 0;
    }
    unlock(workers, &before);
    return err;
}

void sse_workers_do(sse_workers_e kind, sse_job_t *job)
{
    add(&kinds[kind], job, 1);
}

apr_status_t sse_workers_try(sse_workers_e kind, sse_job_t *job)
{
    return add(&kinds[kind], job, 0);
}

void sse_workers_do_soon(sse_job_t *job)
{
    STAILQ_INSERT_TAIL(&soon.jobs, job, link);
    if (++soon.n >= SOON_MOST) {
        sse_workers_flush();
    }
}

void sse_workers_flush(void)
{
    workers_t *workers = &kinds[SSE_WORKERS_OWN];
    int n = soon.n;
    sigset_t before;

    if (!n) {
        return;
    }
    lock(workers, &before);
    while (workers->queued + n > workers->idle &&
           workers->threads < workers->most && !start(workers)) {
    }
    STAILQ_CONCAT(&workers->jobs, &soon.jobs);
    workers->queued += n;
    soon.n = 0;
    n > 1 ? pthread_cond_broadcast(&workers->cond)
          : pthread_cond_signal(&workers->cond);
    unlock(workers, &before);
}

/* -- The end --------------------------------------------------------------- */

static sse_workers_e find_busy(void)
{
    sigset_t before;
    int busy = 0;
    int kind = SSE_WORKERS_NONE;

    while (!busy && ++kind < SSE_WORKERS_KINDS) {
        lock(&kinds[kind], &before);
        busy = kinds[kind].queued || kinds[kind].threads > kinds[kind].idle;
        unlock(&kinds[kind], &before);
    }
    return busy ? (sse_workers_e)kind : SSE_WORKERS_NONE;
}

sse_workers_e sse_workers_finish(apr_interval_time_t wait)
{
    sse_workers_e busy;

    sse_workers_flush(); /* the loop's last turn may have left some */
    while ((busy = find_busy()) != SSE_WORKERS_NONE && wait > 0) {
        apr_sleep(1000);
        wait -= 1000;
    }
    return busy;
}
