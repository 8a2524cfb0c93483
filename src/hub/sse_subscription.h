/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_subscription.h
 * A subscription: what feeds a stream the events of its channels.
 *
 * It begins where its client left off: it reads its channels' histories up to
 * the newest id as the request came, then the log up to the hub's position, a
 * piece whenever its stream has drained.  Then it is live: the hub's turns feed
 * it.  Nothing comes twice, nothing is missing.
 *
 * When its stream has no room for a turn's event, it is no longer live, and
 * reads on from that event as above: slow clients wait in the store, not in
 * memory.
 *
 * When one of its channels is deleted, a live subscription leaves the channel,
 * and with its last one the stream ends.  Where it is not live, its stream ends
 * at once, as the channel's history is gone: the client comes again, and is
 * told of a gap if something is missing.
 *
 * malloc'ed; freed when its stream ends.
 *
 * Threads: the loop's, unless tagged otherwise.
 */

#ifndef SSE_SUBSCRIPTION_H
#define SSE_SUBSCRIPTION_H

#include "hub/sse_channels.h"
#include "hub/sse_hub.h"
#include "hub/sse_presence.h"
#include "stream/sse_stream.h"

typedef struct sse_subscription_t sse_subscription_t;

/** Where a subscription begins. */
typedef struct {
    const sse_slice_t *keys; /**< see sse_start_plan() */
    int n;
    sse_id_t after;   /**< the last id that the client has seen */
    sse_id_t upto;    /**< the newest id as the request came */
    const char *lost; /**< NULL, or if events after that are gone: the id as the
                           client gave it, for the gap to be told */
    const sse_id_t *since; /**< NULL, or for each key the id up to which its
                                events are not for this client */
    sse_buf_t *first;      /**< NULL, or what it is sent before all others; a
                                reference that is taken over */
    int is_whole;          /**< its client must miss nothing: instead of telling
                                a gap, end the stream, for it to begin anew */
    sse_id_t known; /**< what the histories have lost up to here is no gap:
                                the client has not been here before */
} sse_start_t;

/** Request thread: a subscription, for sse_subscription_source to own.  Copies
 *  what start points to. */
sse_subscription_t *sse_subscription_create(sse_hub_t *hub,
                                            const sse_start_t *start);

/** Request thread: whose it is, for sse_presence.h.  Takes a reference over. */
void sse_subscription_set_who(sse_subscription_t *sub, sse_presence_who_t *who);

/** The source of streams whose baton is a subscription. */
extern const sse_source_t sse_subscription_source;

/** Any thread: add a channel to a stream, or remove it, soon.  Delivers what is
 *  published to a new channel after this has returned.
 *  @param stream one that sse_start_plan() has given a subscription
 *  @return APR_SUCCESS, or why the store could not be read */
apr_status_t sse_subscription_change(sse_stream_t *stream, sse_slice_t key,
                                     int add);

/* -- For the hub's turns --------------------------------------------------- */

/** The format in which the link's subscription gets this event of the channel
 *  from a turn; NULL: it does not. */
const sse_format_t *sse_subscription_wants(const sse_link_t *link, sse_id_t id);

/** Push a turn's event, of this id, or fall behind. */
void sse_subscription_push(sse_subscription_t *sub, sse_buf_t *buf,
                           sse_id_t id);

/** The log has a hole from the hub's position up to that id: read the channels'
 *  histories.  Or, with an id below the position, the store has gone back: owe
 *  the client a gap. */
void sse_subscription_skip(sse_subscription_t *sub, sse_id_t upto);

/** A turn that skipped something is over: if live, tell a gap that is owed. */
void sse_subscription_end_turn(sse_subscription_t *sub);

/** The link's channel was deleted by the record of this id.  Makes no call to
 *  the store, being called from within one. */
void sse_subscription_forget(sse_link_t *link, sse_id_t id);

#endif /* SSE_SUBSCRIPTION_H */
