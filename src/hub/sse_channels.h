/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_channels.h
 * The table of channels that have a subscription in this child.
 *
 * A channel exists while it has a link.
 *
 * Threads: the loop's.
 */

#ifndef SSE_CHANNELS_H
#define SSE_CHANNELS_H

#include <apr_pools.h>
#include <sys/queue.h>

#include "event/sse_event.h"

typedef struct sse_channels_t sse_channels_t;

/** Links a channel to one of its subscriptions; part of the latter. */
typedef struct sse_link_t {
    void *subscription;
    struct sse_node_t *node; /* the channel; NULL: none */
    LIST_ENTRY(sse_link_t) next;
} sse_link_t;

sse_channels_t *sse_channels_create(apr_pool_t *pool);

/** Add a link to a channel, which is created if needed.  Copies the key. */
void sse_channels_add(sse_channels_t *channels, sse_slice_t key,
                      sse_link_t *link);

/** Remove a link, if it was added, and with its last link the channel. */
void sse_channels_remove(sse_channels_t *channels, sse_link_t *link);

/** A channel's first link, or NULL; LIST_NEXT(link, next) gives the others. */
sse_link_t *sse_channels_find(sse_channels_t *channels, sse_slice_t key);

int sse_channels_is_empty(const sse_channels_t *channels);

/** Call fn for the subscription of every link: once for each of its channels.
 */
void sse_channels_each(sse_channels_t *channels,
                       void (*fn)(void *subscription, void *baton),
                       void *baton);

#endif /* SSE_CHANNELS_H */
