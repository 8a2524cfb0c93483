/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_registry.h
 * What is open in which child, so that another child can tell of it when that
 * child has died.  It needs APR only, no httpd.
 *
 * Each child has a file of its own in the store's directory, "open.OWNER", and
 * appends a line when a stream opens and another when it closes: no child waits
 * for another one, nor for the disk, since the entries matter only while the
 * machine runs.  A file that is large, or no longer at its path as the
 * directory was moved or removed, is written anew with what is open.
 *
 * When its owner is dead, a file is claimed by renaming it to
 * "open.OWNER~CLAIMER": of all claimers one succeeds, and where the claimer
 * dies as well, the file is claimed again.  Each entry is struck out before
 * anybody is told of it.  A line without its end is what a killed child has
 * left, and does not count.
 *
 * Threads: sse_registry_open() in child_init; sse_registry_add() and
 * sse_registry_remove() any, a lock is held over one write();
 * sse_registry_claim() one at a time.
 */

#ifndef SSE_REGISTRY_H
#define SSE_REGISTRY_H

#include <apr_pools.h>

typedef struct sse_registry_t sse_registry_t;

/** Make this owner's file.  Closed with the pool, and removed if all is closed.
 *  @param dir the store's directory
 *  @param owner its name, without '~', '+' and '/'
 *  @return APR_SUCCESS; or why there can be no file */
apr_status_t sse_registry_open(sse_registry_t **registry, const char *dir,
                               const char *owner, apr_pool_t *pool);

#define SSE_REGISTRY_NAME_MAX 100

/** @param name of at most so many bytes, without spaces and line breaks
 *  @param value a line
 *  @return APR_SUCCESS; APR_ENOSPC: the disk is full; or the cause */
apr_status_t sse_registry_add(sse_registry_t *registry, const char *name,
                              const char *value, apr_pool_t *pool);

/** An entry that is not there is no error.
 *  @return APR_SUCCESS, also on a full disk; or the cause */
apr_status_t sse_registry_remove(sse_registry_t *registry, const char *name);

/** @return whether this owner still lives, or is none */
typedef int sse_registry_alive_fn(void *baton, const char *owner);
typedef void sse_registry_fn(void *baton, const char *name, const char *value);

/**
 * Claim the files of dead owners, and call fn for each entry that is open in
 * them: of all processes one gets it, once.
 * @return APR_SUCCESS; or why the directory or one of the files cannot be read
 */
apr_status_t sse_registry_claim(sse_registry_t *registry,
                                sse_registry_alive_fn *is_alive,
                                sse_registry_fn *fn, void *baton,
                                apr_pool_t *pool);

#endif /* SSE_REGISTRY_H */
