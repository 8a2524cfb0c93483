/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_subscription.h
 * A subscription: what feeds a stream the events of its channels.
 *
 * It joins where its client left off: it reads its channels' history up to what
 * was the newest id when the request came, then the log up to where the hub is,
 * a piece at a time as its stream drains, and is live from then on: the hub's
 * turns feed it.  So nothing comes twice and nothing is missing.
 *
 * When its stream has no room for an event that a turn gives it, the
 * subscription falls behind: it is live no more, and reads on from that event
 * in the same way until it has caught up.  So a client that reads slowly waits
 * in the store, not in memory, and a burst costs each stream no more than its
 * queue's bytes.
 *
 * When one of its channels is deleted, a live subscription leaves the channel,
 * and with its last one the stream ends.  The stream of a subscription that is
 * not live ends at once, as the channel's history is gone: its client comes
 * again, and is told of a gap where something is missing.
 *
 * malloc'ed; owned by its stream's source, which frees it when the stream ends.
 *
 * Threads: the loop's, but for what is tagged.
 */

#ifndef SSE_SUBSCRIPTION_H
#define SSE_SUBSCRIPTION_H

#include "hub/sse_channels.h"
#include "store/sse_store.h"
#include "stream/sse_stream.h"

struct sse_hub_t;
typedef struct sse_subscription_t sse_subscription_t;

/** Where a subscription begins. */
typedef struct {
    const sse_slice_t *keys; /**< of its channels; none: the stream stays open
                                  without a channel */
    int n;
    sse_id_t after;   /**< the id that the client has seen */
    sse_id_t upto;    /**< the newest id as the request came: what lies between
                           the two comes from the history */
    const char *lost; /**< NULL, or where something after that is gone, the
                           client's own words for it: a gap is told before the
                           first event */
} sse_start_t;

/** Request thread: a subscription, owned by sse_subscription_source once its
 *  stream is run.  Copies what start points to. */
sse_subscription_t *sse_subscription_create(struct sse_hub_t *hub,
                                            const sse_start_t *start);

/** The source of streams whose baton is a subscription. */
extern const sse_source_t sse_subscription_source;

/**
 * Have a stream get the events of one more channel, or no longer of this one.
 * Any thread.  Takes effect soon; what is published to a new channel after this
 * has returned is delivered.
 * @param stream one that sse_start_plan() has given a subscription
 * @return APR_SUCCESS, or why the store could not be read
 */
apr_status_t sse_subscription_change(sse_stream_t *stream, sse_slice_t key,
                                     int add);

/* -- For the hub's turns --------------------------------------------------- */

/** In which format a turn is to give the link's subscription this event of the
 *  channel; NULL: not at all. */
const sse_format_t *sse_subscription_wants(const sse_link_t *link, sse_id_t id);

/** Give it an event of a turn, of this id.  If its stream's queue has no room,
 *  it is live no more, and reads that event from the store. */
void sse_subscription_push(sse_subscription_t *sub, sse_buf_t *buf,
                           sse_id_t id);

/** What came after the hub's position is missing in the log, up to that id: it
 *  looks into its channels' histories for it.  An id below the position: the
 *  store has lost its newest events, and the subscription owes its client a
 *  gap, which it tells before the next event. */
void sse_subscription_skip(sse_subscription_t *sub, sse_id_t upto);

/** A turn that skipped something is over: if live, tell a gap that no event has
 *  followed. */
void sse_subscription_end_turn(sse_subscription_t *sub);

/** The link's channel was deleted, by the record of this id.  Inside the
 *  reading of the log, so the store is asked nothing. */
void sse_subscription_forget(sse_link_t *link, sse_id_t id);

#endif /* SSE_SUBSCRIPTION_H */
