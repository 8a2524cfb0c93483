/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "store/lmdb/sse_lmdb.h"

/* Looks at a lock that is not free before the thread waits for it. */
#define SPINS 20
/* If no job was taken or finished for so long, nothing moves. */
#define STALL apr_time_from_msec(500)

struct sse_lmdb_writer_t {
    sse_lmdb_writer_fn *fn;           /* const */
    sse_lmdb_writer_free_fn *is_free; /* const */
    void *baton;                      /* const */
    pthread_mutex_t lock;
    pthread_cond_t work;          /* there is a job, or the thread shall end */
    pthread_cond_t over;          /* a thread has ended */
    sse_lmdb_writer_jobs_t queue; /* under lock */
    int waiting;                  /* under lock: jobs in the queue */
    int limit;                    /* under lock */
    sse_store_stay_fn *may_stay;  /* under lock; or NULL */
    apr_time_t moved;             /* under lock: when something did, steady */
    int is_writing;               /* under lock: a thread is in the function */
    int has_thread; /* under lock: the thread was made, and has not ended */
    int is_wanted;  /* under lock: the thread shall write */
    int stop;       /* under lock */
};

static apr_time_t steady_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

static struct timespec at_time(apr_time_t time)
{
    return (struct timespec){(time_t)apr_time_sec(time),
                             (long)apr_time_usec(time) * 1000};
}

sse_lmdb_writer_t *sse_lmdb_writer_create(sse_lmdb_writer_fn *fn,
                                          sse_lmdb_writer_free_fn *is_free,
                                          void *baton)
{
    sse_lmdb_writer_t *writer = calloc(1, sizeof(*writer));

    if (!writer) {
        return NULL;
    }
    writer->fn = fn;
    writer->is_free = is_free;
    writer->baton = baton;
    TAILQ_INIT(&writer->queue);
    writer->limit = INT_MAX;
    pthread_mutex_init(&writer->lock, NULL);
    sse_lmdb_cond_init(&writer->work);
    sse_lmdb_cond_init(&writer->over);
    return writer;
}

int sse_lmdb_writer_destroy(sse_lmdb_writer_t *writer,
                            apr_interval_time_t patience)
{
    struct timespec until = at_time(steady_now() + patience);
    int rc = 0, is_over;

    pthread_mutex_lock(&writer->lock);
    writer->stop = 1;
    pthread_cond_broadcast(&writer->work);
    while ((writer->has_thread || writer->is_writing) && !rc) {
        rc = pthread_cond_timedwait(&writer->over, &writer->lock, &until);
    }
    is_over = !writer->has_thread && !writer->is_writing;
    pthread_mutex_unlock(&writer->lock);
    if (is_over) {
        pthread_cond_destroy(&writer->over);
        pthread_cond_destroy(&writer->work);
        pthread_mutex_destroy(&writer->lock);
        free(writer);
    }
    return is_over;
}

void sse_lmdb_writer_limit(sse_lmdb_writer_t *writer, int limit,
                           sse_store_stay_fn *may_stay)
{
    pthread_mutex_lock(&writer->lock);
    writer->limit = limit;
    writer->may_stay = may_stay;
    pthread_mutex_unlock(&writer->lock);
}

/* -- A job's states -------------------------------------------------------- */

/* The states that may follow each one, a bit each. */
static const unsigned char following[] = {
    1 << SSE_JOB_WAITING,                     /* IDLE: submitted */
    1 << SSE_JOB_TAKEN | 1 << SSE_JOB_IDLE,   /* WAITING: or withdrawn */
    1 << SSE_JOB_DONE | 1 << SSE_JOB_WAITING, /* TAKEN: or returned */
    0,                                        /* DONE */
};

/* With the lock. */
static void transit(sse_lmdb_writer_t *writer, sse_lmdb_writer_job_t *job,
                    sse_job_state_e state)
{
    assert(following[job->state] & 1 << state);
    writer->waiting +=
        (state == SSE_JOB_WAITING) - (job->state == SSE_JOB_WAITING);
    if (job->state == SSE_JOB_TAKEN) {
        pthread_cond_signal(&job->moved);
    }
    job->state = state;
}

/* -- Writing --------------------------------------------------------------- */

/* Another child mostly releases the lock within some microseconds, sooner than
 * the thread could be woken. */
static int is_free_soon(sse_lmdb_writer_t *writer)
{
    int i;

    for (i = 0; i < SPINS && !writer->is_free(writer->baton); ++i) {
        sched_yield();
    }
    return i < SPINS;
}

/* With the lock, which is released meanwhile.
 * @param may_wait for LMDB's lock, as the thread may
 * @return whether the function was called */
static int write_now(sse_lmdb_writer_t *writer, int may_wait)
{
    int is_called;

    writer->is_writing = 1;
    pthread_mutex_unlock(&writer->lock);
    is_called = may_wait || is_free_soon(writer);
    if (is_called) {
        writer->fn(writer->baton);
    }
    pthread_mutex_lock(&writer->lock);
    writer->is_writing = 0;
    if (writer->stop) {
        pthread_cond_broadcast(&writer->over);
    }
    return is_called;
}

/* With the lock.  If no thread writes, the first job's is to. */
static void hand_on(sse_lmdb_writer_t *writer)
{
    sse_lmdb_writer_job_t *first = TAILQ_FIRST(&writer->queue);

    if (first && !writer->is_writing) {
        pthread_cond_signal(&first->moved);
    }
}

/* -- The thread ------------------------------------------------------------ */

static void *run(void *baton)
{
    sse_lmdb_writer_t *writer = baton;

    pthread_mutex_lock(&writer->lock);
    while (!writer->stop ||
           (!TAILQ_EMPTY(&writer->queue) && writer->is_wanted)) {
        if (writer->is_wanted && !TAILQ_EMPTY(&writer->queue) &&
            !writer->is_writing) {
            write_now(writer, 1);
        }
        else {
            writer->is_wanted = 0;
            hand_on(writer);
            if (!writer->is_wanted) {
                pthread_cond_wait(&writer->work, &writer->lock);
            }
        }
    }
    writer->has_thread = 0;
    pthread_cond_broadcast(&writer->over);
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

/* With the lock.  The thread handles no signals: these are httpd's. */
static int make_thread(sse_lmdb_writer_t *writer)
{
    pthread_attr_t attr;
    pthread_t id;
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&id, &attr, run, writer);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    writer->has_thread = !rc;
    return rc;
}

/* With the lock.  Have the thread write.  @return 0, or EAGAIN */
static int want_thread(sse_lmdb_writer_t *writer)
{
    int rc = writer->has_thread ? 0 : make_thread(writer);

    if (!rc && !writer->is_wanted) {
        writer->is_wanted = 1;
        pthread_cond_signal(&writer->work);
    }
    return rc;
}

/* -- Waiting --------------------------------------------------------------- */

/* With the lock. @return how many threads wait before this job's */
static int place_of(const sse_lmdb_writer_t *writer,
                    const sse_lmdb_writer_job_t *job)
{
    const sse_lmdb_writer_job_t *other = TAILQ_FIRST(&writer->queue);
    int place = 0;

    for (; other && other != job; other = TAILQ_NEXT(other, next)) {
        ++place;
    }
    return place;
}

static void withdraw(sse_lmdb_writer_t *writer, sse_lmdb_writer_job_t *job)
{
    TAILQ_REMOVE(&writer->queue, job, next);
    transit(writer, job, SSE_JOB_IDLE);
    hand_on(writer);
}

/* With the lock, which is released meanwhile; no thread writes.
 * @return whether this thread has written; else the writer's thread has to */
static int write_here(sse_lmdb_writer_t *writer)
{
    if (writer->is_wanted || !write_now(writer, 0)) {
        return 0;
    }
    hand_on(writer);
    return 1;
}

/* Nothing has moved for a while.  @return whether this job may wait on */
static int stay(sse_lmdb_writer_t *writer, sse_lmdb_writer_job_t *job,
                int place)
{
    if (place < writer->limit && writer->may_stay && !job->stays) {
        job->stays = writer->may_stay(1);
        return job->stays;
    }
    return place < writer->limit;
}

/* Wait until something moves, or the job has to be withdrawn.
 * @return 0; EBUSY: it has to be */
static int wait_some(sse_lmdb_writer_t *writer, sse_lmdb_writer_job_t *job,
                     int *place, apr_time_t deadline)
{
    int has_to_ask = writer->may_stay && !job->stays;
    apr_time_t stalled = writer->moved + STALL, until = deadline;
    struct timespec at;

    if ((*place >= writer->limit || has_to_ask) && stalled < deadline) {
        until = stalled;
    }
    at = at_time(until);
    if (!pthread_cond_timedwait(&job->moved, &writer->lock, &at) ||
        job->state != SSE_JOB_WAITING) {
        return 0;
    }
    *place = place_of(writer, job);
    if (until == deadline) {
        return EBUSY;
    }
    return until == writer->moved + STALL && !stay(writer, job, *place) ? EBUSY
                                                                        : 0;
}

/* @param place how many threads wait before it, at most */
static int wait_for(sse_lmdb_writer_t *writer, sse_lmdb_writer_job_t *job,
                    int place, apr_time_t deadline)
{
    int rc = 0;

    while (job->state != SSE_JOB_DONE) {
        if (job->state == SSE_JOB_TAKEN) {
            pthread_cond_wait(&job->moved, &writer->lock);
            continue;
        }
        if (!writer->is_writing) {
            if (write_here(writer) || job->state != SSE_JOB_WAITING) {
                continue;
            }
            rc = want_thread(writer);
        }
        if (!rc) {
            rc = wait_some(writer, job, &place, deadline);
        }
        if (rc) {
            withdraw(writer, job);
            return rc;
        }
    }
    return 0;
}

/* With the lock.  @return 0; EBUSY: it may not even wait */
static int admit(sse_lmdb_writer_t *writer, apr_time_t now)
{
    if (TAILQ_EMPTY(&writer->queue)) {
        writer->moved = now;
    }
    return writer->waiting >= writer->limit && now - writer->moved >= STALL
               ? EBUSY
               : 0;
}

int sse_lmdb_writer_submit(sse_lmdb_writer_t *writer,
                           sse_lmdb_writer_job_t *job,
                           apr_interval_time_t patience)
{
    apr_time_t now = steady_now();
    int rc;

    pthread_mutex_lock(&writer->lock);
    if (!(rc = admit(writer, now))) {
        sse_lmdb_cond_init(&job->moved);
        job->rc = job->stays = 0;
        job->state = SSE_JOB_IDLE;
        transit(writer, job, SSE_JOB_WAITING);
        TAILQ_INSERT_TAIL(&writer->queue, job, next);
        rc = wait_for(writer, job, writer->waiting - 1, now + patience);
        if (job->stays) {
            writer->may_stay(-1);
        }
        pthread_cond_destroy(&job->moved);
    }
    pthread_mutex_unlock(&writer->lock);
    return rc;
}

/* -- For the function ------------------------------------------------------ */

int sse_lmdb_writer_take(sse_lmdb_writer_t *writer,
                         sse_lmdb_writer_want_fn *want, void *baton,
                         sse_lmdb_writer_jobs_t *jobs)
{
    sse_lmdb_writer_job_t *job;

    TAILQ_INIT(jobs);
    pthread_mutex_lock(&writer->lock);
    while ((job = TAILQ_FIRST(&writer->queue)) && want(baton, job)) {
        TAILQ_REMOVE(&writer->queue, job, next);
        TAILQ_INSERT_TAIL(jobs, job, next);
        transit(writer, job, SSE_JOB_TAKEN);
        writer->moved = 0;
    }
    if (!writer->moved) {
        writer->moved = steady_now();
    }
    pthread_mutex_unlock(&writer->lock);
    return !TAILQ_EMPTY(jobs);
}

void sse_lmdb_writer_return(sse_lmdb_writer_t *writer,
                            sse_lmdb_writer_jobs_t *jobs)
{
    sse_lmdb_writer_job_t *job;

    pthread_mutex_lock(&writer->lock);
    TAILQ_FOREACH(job, jobs, next)
    {
        transit(writer, job, SSE_JOB_WAITING); /* its time runs again */
    }
    TAILQ_CONCAT(jobs, &writer->queue, next);
    TAILQ_CONCAT(&writer->queue, jobs, next);
    pthread_mutex_unlock(&writer->lock);
}

void sse_lmdb_writer_finish(sse_lmdb_writer_t *writer,
                            sse_lmdb_writer_jobs_t *jobs)
{
    sse_lmdb_writer_job_t *job;

    pthread_mutex_lock(&writer->lock);
    writer->moved = steady_now();
    while ((job = TAILQ_FIRST(jobs))) {
        TAILQ_REMOVE(jobs, job, next);
        transit(writer, job, SSE_JOB_DONE);
    }
    pthread_mutex_unlock(&writer->lock);
}
