/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb_writer.h
 * Who writes in a child, so that nobody waits without an end for a lock that
 * another process may hold for ever.
 *
 * LMDB waits for its writer lock without a time-out.  So who wants something
 * written queues a job and waits for that, as long as he likes; a job that
 * nobody has begun with is taken back in time.  What waits behind a writer that
 * does not get on is bounded: beyond the first few it is refused at once.
 *
 * Somebody is the writer at a time: who waits with the first job, as long as
 * the lock looks free, since a change of threads costs more than all else;
 * and where it does not, a thread that is there to wait for it.
 *
 * A job is WAITING in the queue until the writer takes it, which it does when
 * its transaction has begun; TAKEN while that may end either way; then DONE, or
 * WAITING again where nothing came of it.  One that is taken is waited for
 * without a limit, since nobody knows yet what becomes of it.
 *
 * A library of its own: APR's types only, no httpd.
 *
 * Threads: the writer runs the function given to it, which alone may call
 * sse_lmdb_writer_take() and its like; all else is any thread's.  The thread is
 * made when it is needed first, and stays.
 */

#ifndef SSE_LMDB_WRITER_H
#define SSE_LMDB_WRITER_H

#include <pthread.h>

#include "store/sse_store.h"

typedef struct sse_lmdb_writer_t sse_lmdb_writer_t;
typedef struct sse_lmdb_writer_job_t sse_lmdb_writer_job_t;

typedef enum { SSE_JOB_WAITING, SSE_JOB_TAKEN, SSE_JOB_DONE } sse_job_state_e;

/** The beginning of a job; on the stack of who waits for it, or posted. */
struct sse_lmdb_writer_job_t {
    int rc; /**< what came of it, when it is DONE */
    /** NULL, or who is called when it is done, instead of waited for: quick,
     *  and not calling the writer. */
    void (*on_done)(sse_lmdb_writer_job_t *job);
    sse_job_state_e state; /**< under lock */
    int stays;             /**< under lock: may_stay() allowed it */
    sse_lmdb_writer_job_t
        *next; /**< under lock; the writer's while it is taken */
    pthread_cond_t moved;
};

/** Begin, take jobs, do them, finish them or give them back. */
typedef void sse_lmdb_writer_fn(void *baton);
/** @return whether the function would not have to wait, by all appearances */
typedef int sse_lmdb_writer_free_fn(void *baton);

/** @return NULL: no memory */
sse_lmdb_writer_t *sse_lmdb_writer_create(sse_lmdb_writer_fn *fn,
                                          sse_lmdb_writer_free_fn *is_free,
                                          void *baton);
/** What was posted is done first.
 *  @return whether no thread is in the function any more, within that time; if
 *          one is, all that
 *          it uses must be left as it is, and so is the writer */
int sse_lmdb_writer_destroy(sse_lmdb_writer_t *writer,
                            apr_interval_time_t patience);

/** How many may wait while nothing gets on; the others do not.
 *  @param may_stay NULL, or asked with 1 for one of those who would stay, and
 *         told with -1 that he has left: quick, and not calling the writer */
void sse_lmdb_writer_limit(sse_lmdb_writer_t *writer, int limit,
                           sse_store_stay_fn *may_stay);

/** Have it done.  @return 0: it is, see job->rc; EBUSY: it is not, and will
 *          not be; the same, EAGAIN: no thread can be made */
int sse_lmdb_writer_submit(sse_lmdb_writer_t *writer,
                           sse_lmdb_writer_job_t *job,
                           apr_interval_time_t patience);

/** Have it done some time; job->on_done is set, and the job its own until then.
 *  Waits for nobody. */
void sse_lmdb_writer_post(sse_lmdb_writer_t *writer,
                          sse_lmdb_writer_job_t *job);

/* For the function. */

/** @return whether this job should be taken as well as those before it */
typedef int sse_lmdb_writer_want_fn(void *baton,
                                    const sse_lmdb_writer_job_t *job);
/** Take jobs from the queue's head, as many in a row as are wanted.
 *  @return a list, in order; or NULL */
sse_lmdb_writer_job_t *sse_lmdb_writer_take(sse_lmdb_writer_t *writer,
                                            sse_lmdb_writer_want_fn *want,
                                            void *baton);
/** Nothing came of them: they are the first again. */
void sse_lmdb_writer_return(sse_lmdb_writer_t *writer,
                            sse_lmdb_writer_job_t *jobs);
/** They are done; each rc is set. */
void sse_lmdb_writer_finish(sse_lmdb_writer_t *writer,
                            sse_lmdb_writer_job_t *jobs);

#endif /* SSE_LMDB_WRITER_H */
