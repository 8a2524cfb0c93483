/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_lane.h
 * The sender's way to one target: its outbox, its transfers, what the log says
 * of it.
 *
 * The sender reads the spool from its beginning to its end, and offers each
 * call to the lane of its target.  A lane whose outbox is full is behind from
 * then on: it reads the spool by itself, its own calls only, as room comes,
 * until it has got to where the sender is.  So a target that is down has a
 * bounded number of calls in memory, and holds up nobody.
 *
 * Threads: one, the sender's.
 */

#ifndef SSE_HOOK_LANE_H
#define SSE_HOOK_LANE_H

#include <curl/curl.h>
#include <httpd.h>

#include "notify/webhook/sse_hook_spool.h"

typedef struct sse_lane_t sse_lane_t;

/** What lanes share. */
typedef struct {
    CURLM *multi;
    sse_spool_t *spool;
    server_rec *server;
} sse_lane_env_t;

/** A lane lives in its pool.
 *  @param line the target's (sse_hook_target.h)
 *  @return NULL: there is no memory */
sse_lane_t *sse_lane_create(const sse_lane_env_t *env, sse_slice_t line,
                            apr_pool_t *pool);

/** End what it is sending, and free what is not in its pool. */
void sse_lane_destroy(sse_lane_t *lane);

/** The sender has read a call of this target.
 *  @param before where the sender was */
void sse_lane_offer(sse_lane_t *lane, sse_spool_at_t before, sse_spool_at_t at,
                    const sse_call_t *call, apr_time_t now);

/** Read what there is room for, if it is behind, and send what is due.
 *  @param end how far the sender has read */
void sse_lane_run(sse_lane_t *lane, sse_spool_at_t end, sse_room_t *room,
                  apr_time_t now);

/** Log that calls in the spool cannot be read, once a minute. */
void sse_lane_log_unread(const sse_lane_env_t *env, apr_status_t rv);

/** A transfer is done; its lane is to be run after that. */
void sse_lane_on_done(CURL *easy, CURLcode code, apr_time_t now);

/** When it is to be run again, if nothing happens before; 0: never. */
apr_time_t sse_lane_due(const sse_lane_t *lane, apr_time_t now);

#endif /* SSE_HOOK_LANE_H */
