/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_subscription_private.h
 * What a subscription (sse_subscription.c), its reading from the store
 * (sse_subscription_read.c) and the changing of its channels
 * (sse_subscription_change.c) share.
 *
 * Threads: the loop's, but for what is tagged.
 */

#ifndef SSE_SUBSCRIPTION_PRIVATE_H
#define SSE_SUBSCRIPTION_PRIVATE_H

#include "hub/sse_hub_private.h"
#include "hub/sse_members.h"
#include "stream/sse_queue.h"

/** Where its events come from.  Which state may follow which stands in
 *  sse_subscription.c. */
typedef enum {
    SSE_SUB_NEW,       /**< nowhere: its stream is not attached yet */
    SSE_SUB_HISTORY,   /**< it catches up, by its channels' histories up to
                            "upto" */
    SSE_SUB_LOG,       /**< it catches up, by the log up to the hub's
                            position; all up to "upto" was given */
    SSE_SUB_LINGERING, /**< it catches up, by the log although that is before
                            "upto": the log still has what the histories have
                            lost */
    SSE_SUB_LIVE,      /**< from the hub's turns: it was given all up to the
                            hub's position or "after", whichever is later */
    SSE_SUB_ENDED      /**< nowhere: its stream ends, on_ended() is to come */
} sse_sub_state_e;

struct sse_subscription_t {
    struct sse_hub_t *hub; /* const */
    sse_stream_t *stream;  /* loop; NULL before it is attached */
    sse_sub_state_e state; /* loop */
    sse_id_t after;    /* loop: the last id it was given while catching up */
    sse_id_t began;    /* const, but for stores that go back: the newest id
                              as its request came */
    sse_id_t upto;     /* loop: history up to here, then the log */
    sse_id_t gap;      /* loop: after it a gap is yet to be told; 0: none */
    char *lost;        /* loop: instead, malloc'ed: the client's own words */
    int has_been_live; /* loop */
    int is_skipping;   /* loop: it leaves out what has waited too long */
    int is_free;       /* const: it stays open without a channel */
    sse_members_t members; /* loop, once attached */
};

/** Enter a state. */
void sse_subscription_transit(struct sse_subscription_t *sub,
                              sse_sub_state_e state);

/** Leave a channel. */
void sse_subscription_remove(struct sse_subscription_t *sub,
                             sse_member_t *member);

/** If the store has gone back since the subscription's request came, or since
 *  it read last: it goes back as well, and owes a gap. */
void sse_subscription_look_back(struct sse_subscription_t *sub);

/** A gap has to be told before the next event, or by
 *  sse_subscription_tell_gap().
 *  @param after the last id that the client had before it */
void sse_subscription_owe_gap(struct sse_subscription_t *sub, sse_id_t after);

/** Tell the gap that is owed, before the event of that id.
 *  @param id up to which all was given, or is missing */
void sse_subscription_push_gap(struct sse_subscription_t *sub, sse_id_t oldest,
                               sse_id_t id);

/** Tell the gap that is owed, if one is: no event follows as yet. */
void sse_subscription_tell_gap(struct sse_subscription_t *sub);

/** The channel was deleted by the record of that id, and all before it was
 *  given: leave the channel, unless it was added again since.  With the last
 *  one the stream ends.  May be called from within the store. */
void sse_subscription_leave(struct sse_subscription_t *sub,
                            sse_member_t *member, sse_id_t id);

/** Look for deletions of its channels after that id, which the hub's turns had
 *  passed when the channel was joined. */
void sse_subscription_find_deletions(struct sse_subscription_t *sub,
                                     sse_id_t after);

/** Send an id alone, which is no event: its client is to come back to that. */
void sse_subscription_push_id(struct sse_subscription_t *sub, sse_id_t id);

/** What one reading found, held back until it is known whether a gap has to be
 *  told before it. */
typedef struct {
    struct sse_subscription_t *sub;
    sse_queue_t found;
    apr_time_t stale; /* events before that are left out until one is not */
    int has_skipped;  /* some were */
} sse_reading_t;

void sse_reading_keep(sse_reading_t *reading, const sse_record_t *record);

/** Push what was found, after a gap that is owed.
 *  @return the id of the last one; 0: there is none */
sse_id_t sse_reading_push(sse_reading_t *reading);

/** It failed, and so its stream ends. */
void sse_reading_fail(sse_reading_t *reading, apr_status_t rv);

#endif /* SSE_SUBSCRIPTION_PRIVATE_H */
