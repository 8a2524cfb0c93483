/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_shared.h
 * Memory that the children of all generations of a server share: made once by
 * the parent, and found again after each restart.
 *
 * A restart may load another version of this module with another layout.  So
 * the memory is marked with its layout and size, and replaced if these differ.
 * Children of the generation before keep the old memory until they end.
 *
 * Threads: the parent's.
 */

#ifndef SSE_SHARED_H
#define SSE_SHARED_H

#include <apr_pools.h>

typedef enum {
    SSE_SHARED_FOUND,   /**< as the generation before left it */
    SSE_SHARED_NEW,     /**< all zero: the first generation */
    SSE_SHARED_REPLACED /**< all zero: older children have other memory */
} sse_shared_e;

/** Get the memory of this name.
 *  @param layout a number that changes with the meaning of the bytes
 *  @param pool the process's
 *  @param memory out: size bytes, until the server ends or they are replaced
 *  @return an error: there is none */
apr_status_t sse_shared_get(const char *name, apr_uint32_t layout,
                            apr_size_t size, apr_pool_t *pool, void **memory,
                            sse_shared_e *how);

#endif /* SSE_SHARED_H */
