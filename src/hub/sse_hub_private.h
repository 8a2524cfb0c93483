/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hub_private.h
 * What the hub's turns (sse_hub.c) and its subscriptions (sse_subscription*.c)
 * share.
 *
 * Threads: the loop's, but for what is tagged.
 */

#ifndef SSE_HUB_PRIVATE_H
#define SSE_HUB_PRIVATE_H

#include "hub/sse_channels.h"
#include "hub/sse_formats.h"
#include "hub/sse_hub.h"
#include "loop/sse_broadcast.h"
#include "loop/sse_complain.h"
#include "loop/sse_workers.h"

struct sse_hub_t {
    sse_loop_t *loop;          /* const */
    sse_store_t *store;        /* const */
    server_rec *server;        /* const */
    sse_channels_t *channels;  /* loop */
    sse_id_t position;         /* loop: the last id fanned out, where somebody
                                listens; else any that was */
    int has_skipped;           /* loop: subscriptions may have a gap to tell */
    sse_formats_t formats;     /* loop */
    apr_size_t turn_bytes;     /* loop: pushed in this turn */
    sse_complaint_t complaint; /* of a store that cannot be read */
    sse_broadcast_t broadcast; /* loop: heard while somebody listens */
    uv_timer_t tidy;           /* loop */
    int is_tidying;            /* atomic: a worker is at it */
    sse_job_t tidy_job;
    sse_task_t turn_task;
};

/** Where a subscription begins. */
typedef struct {
    const sse_slice_t *keys;
    int n;
    sse_id_t after;   /**< the id that the client has seen */
    sse_id_t upto;    /**< the newest id as the request came: what lies between
                           the two comes from the history */
    const char *lost; /**< NULL, or where something after that is gone, the
                           client's own words for it: a gap is told before the
                           first event */
} sse_start_t;

/** Request thread: a subscription, owned by sse_hub_source once its stream is
 *  run.  Copies what start points to. */
sse_subscription_t *sse_subscription_create(sse_hub_t *hub,
                                            const sse_start_t *start);

/** The source of streams whose baton is a subscription. */
extern const sse_source_t sse_hub_source;

/** Log, once a minute, that the store fails. */
void sse_hub_complain(sse_hub_t *hub, apr_status_t rv, const char *what);

/** An id as the store has it: where an earlier copy was put back since it was
 *  read, that one's newest. */
sse_id_t sse_hub_known(sse_hub_t *hub, sse_id_t id);

/** Put a listener on a channel of this child.  The first one has the hub begin
 *  to follow the log, from now. */
void sse_hub_join(sse_hub_t *hub, sse_slice_t key, sse_link_t *listener);

/** Take it off, if it is on one.  After the last one the hub rests. */
void sse_hub_leave(sse_hub_t *hub, sse_link_t *listener);

/** In which format a turn is to give it this event of its channel; NULL: it is
 *  not to. */
const sse_format_t *sse_hub_wants(const sse_link_t *listener, sse_id_t id);

/** Give it an event of a turn, of this id.  If its stream's queue has no room,
 *  it is live no more, and reads that event from the store. */
void sse_hub_push(sse_subscription_t *sub, sse_buf_t *buf, sse_id_t id);

/** What came after the hub's position is missing in the log, up to that id: it
 *  looks into its channels' histories for it.  An id below the position: an
 *  earlier copy of the store was put back, and it owes its client a gap, which
 *  it tells before the next event. */
void sse_hub_gap(sse_subscription_t *sub, sse_id_t upto);

/** The turn is over: tell a gap that no event has followed. */
void sse_hub_tell_gap(sse_subscription_t *sub);

/** Its channel was deleted, by the record of this id: one that is live leaves
 *  the channel, and the stream of one that is not ends.  Inside the reading of
 *  the log, so the store is asked nothing. */
void sse_hub_forget(sse_link_t *listener, sse_id_t id);

#endif /* SSE_HUB_PRIVATE_H */
