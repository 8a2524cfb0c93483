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
 *
 * Threads: sse_workers_push() the loop's, where all signals are blocked: new
 * threads inherit that.  For the rest see each.
 */

#ifndef SSE_WORKERS_H
#define SSE_WORKERS_H

#include <apr_pools.h>

typedef enum {
    SSE_WORKERS_USER, /**< who listens to streams: may take its time */
    SSE_WORKERS_OWN,  /**< the ends of requests and connections, housekeeping */
    SSE_WORKERS_KINDS
} sse_workers_e;

/** child_init. @param most listeners' threads at the same time */
apr_status_t sse_workers_init(apr_pool_t *pool, int most);

/** Have fn run on one of the threads of this kind. */
apr_status_t sse_workers_push(sse_workers_e kind, void (*fn)(void *baton),
                              void *baton);

/** Wait until nothing runs, at most so long. Any thread, and signal handlers.
 *  @return 0: something still does */
int sse_workers_finish(apr_interval_time_t wait);

#endif /* SSE_WORKERS_H */
