/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_mpm.h
 * How many processes and threads httpd has, and whether these numbers suit
 * streams.  mod_http2 cannot be queried, so its numbers are read from the
 * configuration.
 *
 * Threads: sse_mpm_read() and sse_mpm_warn() the parent's, in post_config; the
 * numbers are const afterwards, in the children as well.
 */

#ifndef SSE_MPM_H
#define SSE_MPM_H

#include "config/sse_hosts.h"

typedef struct {
    int is_async;    /**< event: an idle connection holds no thread */
    int is_threaded; /**< event, worker */
    int children;    /**< the most at a time */
    int threads;     /**< of each child; prefork: 1 */
    int min_spare;   /**< MinSpareThreads */
    int max_spare;   /**< MaxSpareThreads, as the MPM uses it; not prefork */
    int h2_threads;  /**< of mod_http2 in each child; 0: it is not loaded */
} sse_mpm_t;

/** post_config: read them, for sse_mpm(). */
void sse_mpm_read(void);

const sse_mpm_t *sse_mpm(void);

/** post_config: if a location has streams, log which numbers end streams or
 *  allow only few, and what to set instead. */
void sse_mpm_warn(server_rec *main_server, sse_hosts_is_hub_fn *is_hub,
                  apr_pool_t *ptemp);

#endif /* SSE_MPM_H */
