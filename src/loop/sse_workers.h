/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_workers.h
 * A small pool of threads for what may block: listeners to a stream's end, the
 * store's housekeeping.
 *
 * No thread is made before there is work, and an idle one goes after a while.
 *
 * Threads: sse_workers_push() the loop's, where all signals are blocked: new
 * threads inherit that.  For the rest see each.
 */

#ifndef SSE_WORKERS_H
#define SSE_WORKERS_H

#include <apr_pools.h>

/** child_init. @param most threads at the same time */
apr_status_t sse_workers_init(apr_pool_t *pool, int most);

/** Have fn run on one of the threads.
 *  @return an error: it will not run */
apr_status_t sse_workers_push(void (*fn)(void *baton), void *baton);

/** Wait until nothing runs, at most so long. Any thread, and signal handlers.
 *  @return 0: something still does */
int sse_workers_finish(apr_interval_time_t wait);

#endif /* SSE_WORKERS_H */
