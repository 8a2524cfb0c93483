/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_channels.h
 * The table of channels that somebody in this child listens to.
 *
 * A channel is there as long as it has a listener; of its first and last one
 * those are told who want that (sse_listeners.h).
 *
 * Threads: the loop's.
 */

#ifndef SSE_CHANNELS_H
#define SSE_CHANNELS_H

#include <apr_pools.h>

#include "event/sse_event.h"

typedef struct sse_channels_t sse_channels_t;
typedef struct sse_link_t sse_link_t;

/** One subscription's place on one channel.  Part of its subscription. */
struct sse_link_t {
    void *subscription;
    struct sse_node_t *node; /* NULL: on no channel */
    sse_link_t *next, **prev;
};

sse_channels_t *sse_channels_create(apr_pool_t *pool);

/** Put a listener on a channel, which is made at need. The key is copied. */
void sse_channels_add(sse_channels_t *channels, sse_slice_t key,
                      sse_link_t *listener);

/** Take it off; a channel without listeners goes. */
void sse_channels_remove(sse_channels_t *channels, sse_link_t *listener);

/** The first listener of a channel, or NULL. */
sse_link_t *sse_channels_find(sse_channels_t *channels, sse_slice_t key);

int sse_channels_is_empty(const sse_channels_t *channels);

/** Call fn for the subscription of every listener; one that listens to several
 *  channels comes once for each. */
void sse_channels_each(sse_channels_t *channels,
                       void (*fn)(void *subscription, void *baton),
                       void *baton);

#endif /* SSE_CHANNELS_H */
