/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hub.h
 * This child's channels: who listens to which, and getting the store's events
 * to them.
 *
 * Woken by any child's publishing, the hub reads all that is new in the log,
 * in order, formats each event that has a listener here once, and pushes it to
 * the listeners' streams.  The publisher's own child gets its events the same
 * way.  A child in which nobody listens is not woken.
 *
 * A subscription joins where its client left off: it reads its channels'
 * history up to what was the newest id when the request came, then the log up
 * to where the hub is, a piece at a time as its stream drains, and is live from
 * then on.  So nothing comes twice and nothing is missing.
 *
 * One whose stream has no room for an event that a turn gives it falls behind:
 * it is live no more, and reads on from that event in the same way, until it
 * has caught up.  So a client that reads slowly waits in the store, not in
 * memory, whenever that begins; a burst costs each stream no more than its
 * queue's bytes.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_HUB_H
#define SSE_HUB_H

#include <httpd.h>

#include "loop/sse_loop.h"
#include "store/sse_store.h"
#include "stream/sse_stream.h"

typedef struct sse_hub_t sse_hub_t;
typedef struct sse_subscription_t sse_subscription_t;

/** child_init, before the loop is started.
 *  @param fd the broadcast that every publisher sends */
apr_status_t sse_hub_create(sse_hub_t **hub, sse_loop_t *loop,
                            sse_store_t *store, int fd, server_rec *s,
                            apr_pool_t *pool);

/** This child's hub, with its store; NULL: they could not be opened, or the
 *  loop could not be started, see the log.  Any thread. */
sse_hub_t *sse_hub(void);

/** child_init, when the loop has been started: sse_hub() gives it. */
void sse_hub_use(sse_hub_t *hub);

/**
 * Have a live stream listen to one more channel, or no longer to one.  Any
 * thread.  Takes effect soon; what is published to a new channel after this has
 * returned is delivered.
 * @param stream one that sse_start_plan() has given a subscription
 * @return APR_SUCCESS, or why the store could not be read
 */
apr_status_t sse_subscription_change(sse_stream_t *stream, sse_slice_t key,
                                     int add);

#endif /* SSE_HUB_H */
