/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_workers.h
 * Small pools of threads for what may block, one for each kind of work, so that
 * none can delay another kind.
 *
 * Nothing is ever run by whoever asks for it: foreign code on the loop would
 * stop every stream of the child.  So whoever will need a kind reserves it
 * first, where a failure can still be answered or logged: the first thread of a
 * reserved kind stays for the child's life, and work that comes later waits for
 * it at worst.  Further threads are made while all are busy, up to the kind's
 * number, and end when they have been idle for a second.
 *
 * libapr's pool would do but for this: while a thread is idle it makes no other
 * one, even where that has been given something already, and the second of two
 * pieces of work waits for the first one's end.
 *
 * Threads: any, and for all signals are blocked in the new ones.  For
 * sse_workers_finish() see there.
 */

#ifndef SSE_WORKERS_H
#define SSE_WORKERS_H

#include <apr_errno.h>
#include <apr_time.h>

/** The kinds. */
typedef enum {
    SSE_WORKERS_NONE,
    SSE_WORKERS_READY, /**< applications' ready functions: may run for long */
    SSE_WORKERS_CLOSE, /**< listeners to the end of a stream or request */
    SSE_WORKERS_CRASH, /**< listeners to the ends in children that died */
    SSE_WORKERS_OWN,   /**< what httpd and other modules do when a request or a
                            connection ends, the store's housekeeping */
    SSE_WORKERS_LOG,   /**< log lines of the loop */
    SSE_WORKERS_KINDS
} sse_workers_e;

/** A piece of work, part of the object that it is about: no memory is needed to
 *  have it done.  The object must live until it runs. */
typedef struct sse_job_t sse_job_t;
struct sse_job_t {
    void (*run)(sse_job_t *job);
    sse_job_t *next; /**< under the workers' lock */
};

/** child_init. @param most threads for ready functions, and as many for
 *  listeners to an end, at the same time */
void sse_workers_init(int most);

/** Have a thread of this kind from now on.  Costs next to nothing where there
 *  is one.
 *  @return an error: none can be made now */
apr_status_t sse_workers_reserve(sse_workers_e kind);

/** Have this done by a thread of a kind that was reserved, in order. */
void sse_workers_do(sse_workers_e kind, sse_job_t *job);

/** The same, reserved or not.
 *  @return an error: there is no thread, and it will not be done */
apr_status_t sse_workers_try(sse_workers_e kind, sse_job_t *job);

/** Wait until nothing runs, at most so long.  Not on the loop, nor in a worker.
 *  Also in a signal handler: no signal comes to a thread that has the lock.
 *  @return a kind that is still at it, or SSE_WORKERS_NONE */
sse_workers_e sse_workers_finish(apr_interval_time_t wait);

#endif /* SSE_WORKERS_H */
