/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hub_private.h
 * What the hub's files share.  Threads: the loop's, unless tagged otherwise.
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
    sse_id_t position;         /* loop: the last id that a turn has read; stale
                                  while nobody is subscribed */
    int has_skipped;           /* loop: subscriptions may have a gap to tell */
    sse_formats_t formats;     /* loop */
    apr_uint64_t timed_at;     /* loop: when they were told the store's time */
    apr_size_t turn_bytes;     /* loop: pushed in this turn */
    sse_complaint_t complaint; /* of a store that cannot be read */
    sse_broadcast_t broadcast; /* loop: listens while anybody subscribes */
    uv_timer_t tidy;           /* loop */
    int is_tidying;            /* atomic: tidy_job is queued or runs */
    sse_job_t tidy_job;
    sse_task_t turn_task;
};

/** A status of the store's for the log: its own ones have no text of the
 *  system's. */
#define SSE_HUB_LOGGED(rv) ((rv) >= APR_OS_START_USERERR ? APR_SUCCESS : (rv))

/** Log, once a minute, that the store cannot be read. */
void sse_hub_complain(sse_hub_t *hub, apr_status_t rv, const char *what);

/** What is formatted from now on is to know when it was appended.  Not while
 *  the store is being read. */
void sse_hub_know_time(sse_hub_t *hub);

/** An id that was read from the store before, or the store's newest if that is
 *  lower: the store has gone back (lost its newest events, or an earlier copy
 *  was put back). */
sse_id_t sse_hub_known(sse_hub_t *hub, sse_id_t id);

/** Add a link to a channel.  With this child's first link, the hub begins to
 *  follow the log, from now. */
void sse_hub_join(sse_hub_t *hub, sse_slice_t key, sse_link_t *link);

/** Remove a link, if it was added.  After the last one the hub rests. */
void sse_hub_leave(sse_hub_t *hub, sse_link_t *link);

#endif /* SSE_HUB_PRIVATE_H */
