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
#include "loop/sse_broadcast.h"
#include "loop/sse_complain.h"
#include "loop/sse_workers.h"

struct sse_hub_t {
    sse_loop_t *loop;          /* const */
    sse_store_t *store;        /* const */
    server_rec *server;        /* const */
    sse_channels_t *channels;  /* loop */
    sse_id_t position;         /* loop: the last id that a turn has read; stale
                                  where nobody is subscribed */
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

/** Log, once a minute, that the store cannot be read. */
void sse_hub_complain(struct sse_hub_t *hub, apr_status_t rv, const char *what);

/** An id that was read from the store before; where the store has gone back
 *  since, its newest. */
sse_id_t sse_hub_known(struct sse_hub_t *hub, sse_id_t id);

/** Add a link to a channel of this child.  With the first one of all the hub
 *  begins to follow the log, from now. */
void sse_hub_join(struct sse_hub_t *hub, sse_slice_t key, sse_link_t *link);

/** Remove it, if it was added.  After the last one the hub rests. */
void sse_hub_leave(struct sse_hub_t *hub, sse_link_t *link);

#endif /* SSE_HUB_PRIVATE_H */
