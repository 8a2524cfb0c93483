/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_registry.h
 * What is open in which child, so that somebody else can tell of it when the
 * child has died.
 *
 * Entries are kept beside the store, in an LMDB file of their own: opening a
 * stream does not wait for publishers, nor for the disk, since what they say
 * matters only while the machine runs.  A damaged file is begun anew.  Where
 * another file, or none, is at its path, an owner takes his entries there as
 * soon as there can be one, and goes on in the old file until then.
 *
 * A key is "owner/name"; the owner is the child.
 *
 * A library of its own: APR and LMDB only, no httpd.
 *
 * Threads: sse_registry_open() in child_init; the rest any, also at the same
 * time.  Only sse_registry_alive_fn runs inside a transaction.
 */

#ifndef SSE_REGISTRY_H
#define SSE_REGISTRY_H

#include <apr_pools.h>

#include "event/sse_event.h"

typedef struct sse_registry_t sse_registry_t;

/** Closed with the pool.
 *  @param dir the store's directory
 *  @param owner who opens it */
apr_status_t sse_registry_open(sse_registry_t **registry, const char *dir,
                               const char *owner, apr_pool_t *pool);

/** @return APR_SUCCESS; APR_ENOSPC: there is no room for more; or the cause */
apr_status_t sse_registry_add(sse_registry_t *registry, sse_slice_t key,
                              sse_slice_t value);

/** That it is not there is no error. */
apr_status_t sse_registry_remove(sse_registry_t *registry, sse_slice_t key);

/** Quick, and not calling the registry. @return whether this owner still lives
 */
typedef int sse_registry_alive_fn(void *baton, sse_slice_t owner);
typedef void sse_registry_fn(void *baton, sse_slice_t key, sse_slice_t value);

/**
 * Take away all entries whose owner is dead, and call fn for each of them: of
 * all processes that claim at the same time one gets it.  Where there are none,
 * it waits for no writer.
 * Waits no longer than 5 s for another process, then SSE_STORE_EBUSY.
 */
apr_status_t sse_registry_claim(sse_registry_t *registry,
                                sse_registry_alive_fn *is_alive,
                                sse_registry_fn *fn, void *baton,
                                apr_pool_t *pool);

#endif /* SSE_REGISTRY_H */
