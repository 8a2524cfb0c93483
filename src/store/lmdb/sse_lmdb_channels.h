/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb_channels.h
 * Which channels there are and what each has, for sse-status and sse-store: a
 * walk through the two databases that have channels, "channels" and "presence",
 * in the order of their keys.
 *
 * Threads: as sse_lmdb.h says.
 */

#ifndef SSE_LMDB_CHANNELS_H
#define SSE_LMDB_CHANNELS_H

#include "store/lmdb/sse_lmdb.h"

/** Where a walk begins, and how much it may cost. */
typedef struct {
    sse_slice_t from;    /**< the first key; empty: of all */
    int is_after;        /**< but not that key itself */
    apr_uint64_t budget; /**< entries of histories that it may look at, beyond
                              a few for each channel: events over their age,
                              which were not removed yet, do not count as long
                              as it lasts */
} sse_lmdb_walk_t;

/** In one snapshot, with no lock held.
 *  @param stopped out: what fn returned, if that ended the walk
 *  @return 0, or an error */
int sse_lmdb_channels_walk(sse_lmdb_t *store, const sse_lmdb_walk_t *walk,
                           sse_store_channel_fn *fn, void *baton,
                           apr_status_t *stopped);

/* The provider's. */
apr_status_t sse_lmdb_channels(sse_store_t *store, sse_slice_t prefix,
                               sse_slice_t after, int max,
                               sse_store_channel_fn *fn, void *baton,
                               int *more);
apr_status_t sse_lmdb_channel(sse_store_t *store, sse_slice_t key,
                              sse_store_channel_t *channel);
apr_status_t sse_lmdb_sizes(sse_store_t *store, sse_store_sizes_t *sizes);

#endif /* SSE_LMDB_CHANNELS_H */
