/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_presence_json.h
 * What subscribers to a channel's presence read: JSON, by jansson.
 *
 * Ids, users and channels are untrusted text; what is no UTF-8 in them is
 * replaced.
 *
 * Threads: any; no shared state.
 */

#ifndef SSE_PRESENCE_JSON_H
#define SSE_PRESENCE_JSON_H

#include <apr_pools.h>
#include <apr_time.h>

#include "event/sse_event.h"

/** {"channel","stream","user","time"}, and "reason" if there is one.
 *  @param user empty: null
 *  @param reason NULL, or why the stream ended
 *  @return in pool */
sse_slice_t sse_presence_json_change(sse_slice_t channel, sse_slice_t stream,
                                     sse_slice_t user, apr_time_t time,
                                     const char *reason, apr_pool_t *pool);

/** {"stream","user","since"}, and "away":true if he is.  @return in pool */
sse_slice_t sse_presence_json_member(sse_slice_t stream, sse_slice_t user,
                                     apr_time_t since, int is_away,
                                     apr_pool_t *pool);

/** The beginning of a document: {"channel","streams","users", without a
 *  closing brace.  @return in pool */
sse_slice_t sse_presence_json_head(sse_slice_t channel, apr_uint64_t streams,
                                   apr_uint64_t users, apr_pool_t *pool);

#endif /* SSE_PRESENCE_JSON_H */
