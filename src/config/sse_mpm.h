/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_mpm.h
 * How many processes and threads httpd has, and whether these numbers suit
 * streams.
 *
 * The MPM tells most of its numbers itself.  Those of mod_http2 are read from
 * the configuration's tree, as that module tells nothing.
 *
 * Threads: sse_mpm_read() and sse_mpm_warn() the parent's, in post_config;
 * what the first has read is const afterwards, and the children's too.
 */

#ifndef SSE_MPM_H
#define SSE_MPM_H

#include <httpd.h>

typedef struct {
    int is_async;    /**< event: connections need no thread while they wait */
    int is_threaded; /**< event, worker */
    int children;    /**< the most that serve at a time */
    int threads;     /**< of each child; prefork: 1 */
    int min_spare;   /**< MinSpareThreads */
    int max_spare;   /**< MaxSpareThreads, as the MPM takes it; not prefork's */
    int h2_threads;  /**< mod_http2's, of each child; 0: it is not loaded */
} sse_mpm_t;

/** post_config: read them, for sse_mpm(). */
void sse_mpm_read(void);

/** The numbers. */
const sse_mpm_t *sse_mpm(void);

/** post_config: log which numbers end streams or let few in, and what to set
 *  instead; only where a location has streams. */
void sse_mpm_warn(server_rec *main_server, apr_pool_t *ptemp);

#endif /* SSE_MPM_H */
