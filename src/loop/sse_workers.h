/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_workers.h
 * Two small pools of threads for what may block: one for listeners to a
 * stream's end; one for what httpd and other modules do when a request or a
 * connection ends, and the store's housekeeping, which no listener can hold up.
 *
 * No thread is made before there is work, and an idle one goes after a while.
 * libapr's pool would do but for this: while a thread is idle it makes no other
 * one, even where that has been given something already, and the second of two
 * pieces of work waits for the first one's end.
 *
 * Threads: sse_workers_push() and sse_workers_do() the loop's, where all
 * signals are blocked: new threads inherit that.  For the rest see each.
 */

#ifndef SSE_WORKERS_H
#define SSE_WORKERS_H

#include <apr_time.h>

/** A piece of our own work, part of the object that it is about: no memory is
 *  needed to have it done.  The object must live until it runs. */
typedef struct sse_job_t sse_job_t;
struct sse_job_t {
    void (*run)(sse_job_t *job);
    sse_job_t *next; /**< under the workers' lock */
};

/** child_init. @param most listeners' threads at the same time */
void sse_workers_init(int most);

/** Have fn run on one of the listeners' threads.
 *  @return an error: it will not run */
apr_status_t sse_workers_push(void (*fn)(void *baton), void *baton);

/** Have this done by one of the others, in order, but two at a time.  Where
 *  there can be no thread it is done at once. */
void sse_workers_do(sse_job_t *job);

/** Who is still at it. */
typedef enum {
    SSE_WORKERS_NONE,
    SSE_WORKERS_LISTENERS,
    SSE_WORKERS_OWN
} sse_workers_e;

/** Wait until nothing runs, at most so long.  Not on the loop, nor in a worker;
 *  in a signal handler on any other thread, none of which takes the lock. */
sse_workers_e sse_workers_finish(apr_interval_time_t wait);

#endif /* SSE_WORKERS_H */
