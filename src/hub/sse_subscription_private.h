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
#include "stream/sse_queue.h"

/** More keys than these are not put on the stack. */
#define SSE_FEW_KEYS 4

static inline sse_id_t sse_id_earlier(sse_id_t a, sse_id_t b)
{
    return a < b ? a : b;
}

static inline sse_id_t sse_id_later(sse_id_t a, sse_id_t b)
{
    return a > b ? a : b;
}

/** A channel that is listened to.  The first ones are part of the
 *  subscription's own memory: a stream's small pieces would keep the C library
 *  from giving memory back.  Those that come later are malloc'ed. */
typedef struct sse_subscribed_t {
    sse_link_t listener;
    sse_id_t since; /* events up to this one are not for it */
    sse_id_t lost;  /* some of its history up to here is missing, as is known */
    sse_id_t again; /* it was added once more, with that as since; or 0 */
    struct sse_subscribed_t *next;
    int is_inner; /* part of the subscription's memory */
    apr_size_t len;
    char key[];
} sse_subscribed_t;

/** Who listens: a stream and its channels.  malloc'ed; freed when its stream's
 *  source ends. */
struct sse_subscription_t {
    sse_hub_t *hub;       /* const */
    sse_stream_t *stream; /* loop; NULL before it is attached */
    sse_id_t after;       /* loop: the last id it was given while catching up */
    sse_id_t began;       /* const, but for stores that go back: the newest id
                             as its request came */
    sse_id_t upto;        /* loop: history up to here, then the log */
    int by_log;           /* loop: the log, all the same: it has more */
    sse_id_t gap;         /* loop: after it a gap is yet to be told; 0: none */
    char *lost;           /* loop: instead, malloc'ed: the client's own words */
    int is_live;          /* loop: fed by the hub's turns */
    int has_been_live;    /* loop */
    int is_skipping;      /* loop: it leaves out what has waited too long */
    int is_free;          /* const: it stays open without a channel */
    int n;                /* loop: places */
    sse_subscribed_t *places; /* loop, once attached */
};

/** One that it listens to, or NULL. */
sse_subscribed_t *sse_subscribed_find(const sse_subscription_t *sub,
                                      sse_slice_t key);

/** One more, which has yet to join the hub. */
sse_subscribed_t *sse_subscribed_create(sse_subscription_t *sub,
                                        sse_slice_t key, sse_id_t since);

void sse_subscribed_destroy(sse_subscription_t *sub, sse_subscribed_t *place);

/** Its key, whose bytes stay in it. */
sse_slice_t sse_subscribed_key(const sse_subscribed_t *place);

/** Its channels as the store wants them; the keys' bytes stay in the places. */
typedef struct {
    int n;
    sse_slice_t *keys;
    sse_id_t *lost;
    sse_slice_t few_keys[SSE_FEW_KEYS];
    sse_id_t few_lost[SSE_FEW_KEYS];
} sse_keys_t;

/** Those that have something for it up to that id. */
void sse_keys_init(sse_keys_t *keys, const sse_subscription_t *sub,
                   sse_id_t upto);
void sse_keys_done(sse_keys_t *keys);

/** What was missing of them is known from now on. */
void sse_keys_learn(const sse_keys_t *keys, const sse_subscription_t *sub,
                    sse_id_t upto);

/** Whether an earlier copy of the store was put back since its request came, or
 *  since it read last: then it goes back as well, and owes a gap. */
void sse_subscription_look_back(sse_subscription_t *sub);

/** A gap has to be told before the next event, or by
 *  sse_subscription_tell_gap().
 *  @param after the last id that the client had before it */
void sse_subscription_owe_gap(sse_subscription_t *sub, sse_id_t after);

/** Tell the gap that is owed, before the event of that id.
 *  @param id up to which all was given, or is missing */
void sse_subscription_push_gap(sse_subscription_t *sub, sse_id_t oldest,
                               sse_id_t id);

/** Tell the gap that is owed, if one is: no event follows as yet. */
void sse_subscription_tell_gap(sse_subscription_t *sub);

/** Whether this event of its channel is for it. */
int sse_subscribed_takes(const sse_subscribed_t *place, sse_id_t id);

/** All up to the record of that id, which deleted its channel, has been given:
 *  it leaves the channel, unless that was added again since.  With the last one
 *  the stream ends.  May be called from within the store. */
void sse_subscription_leave(sse_subscription_t *sub, sse_subscribed_t *place,
                            sse_id_t id);

/** Look for deletions of its channels after that id, which the hub's turns had
 *  passed when it joined the channel. */
void sse_subscription_find_ends(sse_subscription_t *sub, sse_id_t after);

/** Send an id alone, which is no event: its client is to come back to that. */
void sse_subscription_push_id(sse_subscription_t *sub, sse_id_t id);

/** What one reading found, held back until it is known whether a gap has to be
 *  told before it. */
typedef struct {
    sse_subscription_t *sub;
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
