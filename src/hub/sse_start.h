/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_start.h
 * The one door by which streams subscribe: where a subscription begins, by the
 * id that its client has seen, or by how much of the history it is to be given.
 *
 * Threads: a request's, in a child that has a hub, see sse_hub().
 */

#ifndef SSE_START_H
#define SSE_START_H

#include "stream/sse_stream.h"

/**
 * Make a subscription the source of a stream that is about to be opened.  Waits
 * for another process that opens the store just now, one second at most.
 * @param plan out: now, source and baton
 * @param keys of the channels, copied; none: the stream stays open when it has
 *        no channel
 * @param last_id the id that the client has seen, as it was given: text that
 *        nobody has checked, copied; or NULL
 * @param replay without last_id: how many events of the history it is given, or
 *        SSE_REPLAY_NONE or SSE_REPLAY_ALL
 * @return APR_SUCCESS: the stream must be run, which takes the subscription
 *         over; else why the store cannot be read, which is logged
 */
apr_status_t sse_start_plan(sse_stream_plan_t *plan, const sse_slice_t *keys,
                            int n, const char *last_id, int replay);

#endif /* SSE_START_H */
