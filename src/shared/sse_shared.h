/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_shared.h
 * Memory that all children of a server share, of all its generations: made once
 * by the parent, and found again after each restart.
 *
 * A restart may have loaded another version of this module, which lays its
 * memory out in another way.  So what is found is marked with its layout and
 * size, and where these are not those that are asked for there is new memory.
 * Children of the generation before keep the old one until they end.
 *
 * Threads: the parent's.
 */

#ifndef SSE_SHARED_H
#define SSE_SHARED_H

#include <apr_pools.h>

typedef enum {
    SSE_SHARED_FOUND,   /**< as it was left */
    SSE_SHARED_NEW,     /**< all zero: the server's first */
    SSE_SHARED_REPLACED /**< all zero: older children have another */
} sse_shared_e;

/**
 * @param name one for each use
 * @param layout a number that changes with what the memory's bytes mean
 * @param pool the process's
 * @param memory out: size bytes, which live as long as the server, or until
 *        another layout is asked for
 * @param how out: whether there is something in it
 */
apr_status_t sse_shared_get(const char *name, apr_uint32_t layout,
                            apr_size_t size, apr_pool_t *pool, void **memory,
                            sse_shared_e *how);

#endif /* SSE_SHARED_H */
