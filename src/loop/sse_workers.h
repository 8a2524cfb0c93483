/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_workers.h
 * Small thread pools for what may block, one for each kind of work, so that no
 * kind delays another.
 *
 * A job never runs on the thread that posts it: foreign code on the loop would
 * stop every stream of the child.  So the poster reserves the kind first, when
 * a failure can still be answered or logged.  The first thread of a reserved
 * kind stays, and at worst later jobs wait for it.  Further threads are made
 * while all are busy, up to the kind's limit, and end when idle for a second.
 * (apr_thread_pool makes none while one is idle, even if that one has been
 * given a job already, so that the second of two jobs waits for the first.)
 *
 * Threads: any, but for what is marked.  The pools' threads have all
 * signals blocked.
 */

#ifndef SSE_WORKERS_H
#define SSE_WORKERS_H

#include <apr_errno.h>
#include <apr_time.h>
#include <sys/queue.h>

/** The kinds. */
typedef enum {
    SSE_WORKERS_NONE,
    SSE_WORKERS_READY, /**< ready functions of applications: may run for long */
    SSE_WORKERS_CLOSE, /**< callbacks of the end of a stream or request */
    SSE_WORKERS_CRASH, /**< callbacks of ends in children that died */
    SSE_WORKERS_CLAIM, /**< taking what such children have left */
    SSE_WORKERS_OWN,   /**< hooks and cleanups of requests and connections
                            that end, the store's housekeeping */
    SSE_WORKERS_LOG,   /**< the loop's log lines */
    SSE_WORKERS_PRESENCE, /**< who is on a channel, on its way to the store */
    SSE_WORKERS_PROGRAMS, /**< what shared programs write, on its way there */
    SSE_WORKERS_REJOIN,   /**< asking a new supervisor for them */
    SSE_WORKERS_HTTP2,    /**< closing connections whose mod_http2 may wait for
                               requests that still run */
    SSE_WORKERS_KINDS
} sse_workers_e;

/** A job, part of the object that it concerns: posting it needs no memory.  The
 *  object must live until the job runs. */
typedef struct sse_job_t sse_job_t;
struct sse_job_t {
    void (*run)(sse_job_t *job);
    STAILQ_ENTRY(sse_job_t) link; /**< under the workers' lock */
};

/** child_init. @param most threads for ready functions, and as many for the
 *  callbacks of ends */
void sse_workers_init(int most);

/** child_init, after that: so many threads for this kind. */
void sse_workers_set_most(sse_workers_e kind, int most);

/** Keep a thread of this kind from now on.  Cheap if there is one.
 *  @return an error: no thread can be made now */
apr_status_t sse_workers_reserve(sse_workers_e kind);

/** Run the job on a thread of a reserved kind, in the order of posting. */
void sse_workers_do(sse_workers_e kind, sse_job_t *job);

/** The same for SSE_WORKERS_OWN and from the loop, where many may come in one
 *  turn, as at the end of ten thousand long polls: to wake a thread for each
 *  costs more than the job.  So it waits for a few more, or for
 *  sse_workers_flush(). */
void sse_workers_do_soon(sse_job_t *job);
/** loop: before it waits. */
void sse_workers_flush(void);

/** As sse_workers_do(), reserved or not.
 *  @return an error: there is no thread, and the job will not run */
apr_status_t sse_workers_try(sse_workers_e kind, sse_job_t *job);

/** The loop has ended: wait until no job runs, with a time-out.  Safe in a
 *  signal handler, as no signal reaches a thread that has the lock.
 *  @return a kind that is still busy, or SSE_WORKERS_NONE */
sse_workers_e sse_workers_finish(apr_interval_time_t wait);

#endif /* SSE_WORKERS_H */
