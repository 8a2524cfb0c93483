/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb_writer.h
 * The queue of what a child wants written, so that no publisher waits for ever
 * for a lock that another process may never release.
 *
 * LMDB waits for its writer lock without a time-out.  So a publisher queues a
 * job and waits for that, with a time-out: a job that was not begun is
 * withdrawn.  While nothing moves, a few may wait; others are refused at once.
 *
 * One thread at a time is the writer: the publisher of the first job as long as
 * the lock looks free, since changing threads costs more than all else; where
 * the lock does not look free, a thread that is there to wait for it.
 *
 * A job is WAITING until the writer takes it, which it does when its
 * transaction has begun; TAKEN while the outcome is open; then DONE, or WAITING
 * again if nothing came of it.  For a job that is TAKEN there is no time-out,
 * as neither "written" nor "not written" would be true.
 *
 * Threads: the function that was given to create() runs on one thread at a
 * time, and it alone may call take(), return() and finish(); all else is for
 * any thread.  The thread that waits for the lock is made at need, and stays.
 */

#ifndef SSE_LMDB_WRITER_H
#define SSE_LMDB_WRITER_H

#include <pthread.h>
#include <sys/queue.h>

#include "store/sse_store.h"

typedef struct sse_lmdb_writer_t sse_lmdb_writer_t;
typedef struct sse_lmdb_writer_job_t sse_lmdb_writer_job_t;
typedef TAILQ_HEAD(sse_lmdb_writer_jobs_t,
                   sse_lmdb_writer_job_t) sse_lmdb_writer_jobs_t;

typedef enum {
    SSE_JOB_IDLE,    /**< not in the queue */
    SSE_JOB_WAITING, /**< in the queue: it may be withdrawn */
    SSE_JOB_TAKEN,   /**< the writer's: in a transaction */
    SSE_JOB_DONE     /**< see rc */
} sse_job_state_e;

/** The beginning of a job; on the stack of the thread that waits for it. */
struct sse_lmdb_writer_job_t {
    int rc;                /**< the result, when it is DONE */
    sse_job_state_e state; /**< under lock */
    int stays;             /**< under lock: may_stay() allowed it */
    TAILQ_ENTRY(sse_lmdb_writer_job_t)
    next; /**< under lock; the writer's while it is TAKEN */
    pthread_cond_t moved;
};

/** Begin a transaction, take jobs, do them, finish or return them. */
typedef void sse_lmdb_writer_fn(void *baton);
/** @return whether the function would not have to wait, by all appearances */
typedef int sse_lmdb_writer_free_fn(void *baton);

/** @return NULL: no memory */
sse_lmdb_writer_t *sse_lmdb_writer_create(sse_lmdb_writer_fn *fn,
                                          sse_lmdb_writer_free_fn *is_free,
                                          void *baton);
/** @return 1; 0: a thread is still in the function after that time: the writer,
 *          and all that the function uses, must be left as they are */
int sse_lmdb_writer_destroy(sse_lmdb_writer_t *writer,
                            apr_interval_time_t patience);

/** How many threads may wait while nothing moves; others are refused.
 *  @param may_stay NULL, or called with 1 to ask for one of those who would
 *         wait, with -1 when it has left; quick, and never calls the writer */
void sse_lmdb_writer_limit(sse_lmdb_writer_t *writer, int limit,
                           sse_store_stay_fn *may_stay);

/** Have a job done, and wait for it.
 *  @param patience how long to wait before it is TAKEN
 *  @return 0: it is DONE, see job->rc; EBUSY: it was not begun, and will not
 *          be; EAGAIN: likewise, as no thread can be made */
int sse_lmdb_writer_submit(sse_lmdb_writer_t *writer,
                           sse_lmdb_writer_job_t *job,
                           apr_interval_time_t patience);

/* For the function. */

/** @return whether to take this job as well as those before it */
typedef int sse_lmdb_writer_want_fn(void *baton,
                                    const sse_lmdb_writer_job_t *job);
/** Take jobs from the head of the queue, for as long as they are wanted.
 *  @param jobs out: these, in order
 *  @return whether there is one */
int sse_lmdb_writer_take(sse_lmdb_writer_t *writer,
                         sse_lmdb_writer_want_fn *want, void *baton,
                         sse_lmdb_writer_jobs_t *jobs);
/** Nothing came of them: they are the first of the queue again. */
void sse_lmdb_writer_return(sse_lmdb_writer_t *writer,
                            sse_lmdb_writer_jobs_t *jobs);
/** They are done; each one's rc is set. */
void sse_lmdb_writer_finish(sse_lmdb_writer_t *writer,
                            sse_lmdb_writer_jobs_t *jobs);

#endif /* SSE_LMDB_WRITER_H */
