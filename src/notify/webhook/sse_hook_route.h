/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_route.h
 * Who is to be told that a channel got its first subscriber or lost its last
 * one: the targets of the subscription's location, as text.
 *
 * The text is kept with the members of the channel, as the last one may leave
 * when its child is dead, or after a restart of the server.  It has a line for
 * the host, then one for each target: its events, a blank, the target's own
 * line (sse_hook_target.h).
 *
 * Threads: any.
 */

#ifndef SSE_HOOK_ROUTE_H
#define SSE_HOOK_ROUTE_H

#include "notify/webhook/sse_hook_request.h"

/** @return NULL: this location has no target for first or last; or in r->pool
 */
const char *sse_hook_route_text(request_rec *r, const sse_dir_conf_t *conf);

/** Read such a text, into the pool.
 *  @return 0: it is none */
int sse_hook_route_read(sse_hook_request_t *request, sse_slice_t text,
                        apr_pool_t *pool);

#endif /* SSE_HOOK_ROUTE_H */
