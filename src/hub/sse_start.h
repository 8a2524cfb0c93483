/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_start.h
 * The only way to subscribe: where a subscription begins, by the last id that
 * its client has seen, or by how much of the history it asks for.
 *
 * Threads: a request's, in a child that has a hub, see sse_hub().
 */

#ifndef SSE_START_H
#define SSE_START_H

#include "hub/sse_hub.h"
#include "stream/sse_stream.h"

/**
 * Make a subscription the source of a stream to be opened.  Waits up to one
 * second while another process is opening the store.
 * @param plan out: keys, now, source and baton
 * @param keys of the channels, copied by the subscription; none: the stream
 *        stays open without one
 * @param last_id NULL, or what the client gave as the last id: any text, copied
 * @param replay without last_id: how many events of the history to send, or
 *        SSE_REPLAY_NONE or SSE_REPLAY_ALL
 * @return APR_SUCCESS: the stream must be run, which takes the subscription
 *         over; else why the store cannot be read, which is logged
 */
apr_status_t sse_start_plan(sse_stream_plan_t *plan, const sse_slice_t *keys,
                            int n, const char *last_id, int replay);

/** Have the stream's client be a member of its channels, where its location
 *  wants that (sse_presence.h).  After sse_start_plan(). */
void sse_start_join(const sse_stream_plan_t *plan, request_rec *r);

/**
 * Follow the comings and goings on these channels instead of their events:
 * first who is there, an event "presence" for each, then "join" and "leave".  A
 * client that comes back gets what it has missed; one whose id is lost is told
 * of a gap, and of who is there.
 * @param plan in: format; out: source and baton
 * @return as sse_start_plan(); APR_ENOTIMPL: the store knows no presence
 */
apr_status_t sse_start_presence(sse_stream_plan_t *plan,
                                const sse_slice_t *keys, int n,
                                const char *last_id);

/** Log, once a minute, that the store cannot be read; unless rv is APR_SUCCESS.
 *  @return rv */
apr_status_t sse_start_complain(sse_hub_t *hub, apr_status_t rv);

#endif /* SSE_START_H */
