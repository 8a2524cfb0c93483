/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_subscription_private.h
 * What sse_subscription*.c share.  Threads: the loop's,
 * once the stream is attached.
 */

#ifndef SSE_SUBSCRIPTION_PRIVATE_H
#define SSE_SUBSCRIPTION_PRIVATE_H

#include "hub/sse_hub_private.h"
#include "hub/sse_members.h"
#include "hub/sse_subscription.h"
#include "stream/sse_queue.h"

/** Where its events come from; see next_states[]. */
typedef enum {
    SSE_SUB_NEW,       /**< nowhere: its stream is not attached yet */
    SSE_SUB_HISTORY,   /**< its channels' histories, up to "upto" */
    SSE_SUB_LOG,       /**< the log, from "upto" to the hub's position */
    SSE_SUB_LINGERING, /**< the log before "upto", which still has what the
                            histories have lost */
    SSE_SUB_LIVE,      /**< the hub's turns: it was given all up to the hub's
                            position or "after", whichever is later */
    SSE_SUB_ENDED      /**< nowhere: its stream ends, on_ended() is to come */
} sse_sub_state_e;

struct sse_subscription_t {
    sse_hub_t *hub;       /* const */
    sse_stream_t *stream; /* NULL before it is attached */
    sse_sub_state_e state;
    sse_id_t after; /* all up to it was given while catching up */
    sse_id_t began; /* the newest id as its request came, or lower if the store
                       has gone back */
    sse_id_t upto;  /* history up to here, then the log */
    sse_id_t gap;   /* after it a gap is yet to be told; 0: none */
    char *lost;     /* that id as the client gave it; malloc'ed, or NULL */
    int has_been_live;
    int is_skipping;         /* it leaves out what has waited too long */
    int is_free;             /* const: it stays open without a channel */
    int is_whole;            /* const: it ends where it would tell a gap */
    sse_buf_t *first;        /* to be sent when it is attached, or NULL */
    sse_presence_who_t *who; /* const; NULL: no member of its channels */
    sse_members_t members;
};

void sse_subscription_transit(sse_subscription_t *sub, sse_sub_state_e state);

/** It has its stream now: join a channel that it has. */
void sse_subscription_join(sse_subscription_t *sub, sse_member_t *member);

/** Leave a channel. */
void sse_subscription_remove(sse_subscription_t *sub, sse_member_t *member);

/** If the store has gone back, go back as well, and owe a gap. */
void sse_subscription_look_back(sse_subscription_t *sub);

/** Note that a gap has to be told.
 *  @param after the last id that the client had before it */
void sse_subscription_owe_gap(sse_subscription_t *sub, sse_id_t after);

/** Tell the gap that is owed.
 *  @param id all up to it was given, or is missing */
void sse_subscription_push_gap(sse_subscription_t *sub, sse_id_t oldest,
                               sse_id_t id);

/** Tell the gap, if one is owed, and no event follows as yet. */
void sse_subscription_tell_gap(sse_subscription_t *sub);

/** The channel was deleted by the record of that id: leave it, unless it was
 *  added again since.  With the last one the stream ends. */
void sse_subscription_leave(sse_subscription_t *sub, sse_member_t *member,
                            sse_id_t id);

/** Look for deletions of its channels from that id to the hub's position: turns
 *  before a channel was joined have not told of them. */
void sse_subscription_find_deletions(sse_subscription_t *sub, sse_id_t after);

/** Send an id without an event, for the client to come back with. */
void sse_subscription_push_id(sse_subscription_t *sub, sse_id_t id);

/** Request thread: where a subscription to start->keys begins, see
 *  sse_start_plan().  Waits for a store that is just being opened. */
apr_status_t sse_start_find(sse_hub_t *hub, const char *last_id, int replay,
                            sse_start_t *start);

/** What one reading found, held back until it is known whether a gap has to be
 *  told first. */
typedef struct {
    sse_subscription_t *sub;
    sse_queue_t found;
    apr_time_t stale; /* events before that are left out until one is not */
    int skipped;      /* so many were left out */
} sse_reading_t;

void sse_reading_keep(sse_reading_t *reading, const sse_record_t *record);

/** Push what was found, after a gap that is owed.
 *  @return the id of the last one; 0: there is none */
sse_id_t sse_reading_push(sse_reading_t *reading);

/** The store cannot be read: log that, and end the stream. */
void sse_reading_fail(sse_reading_t *reading, apr_status_t rv);

#endif /* SSE_SUBSCRIPTION_PRIVATE_H */
