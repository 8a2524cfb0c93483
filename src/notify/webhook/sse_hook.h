/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook.h
 * Webhooks: applications are told by HTTP of what listeners are told of, as
 * SSEHook says.
 *
 * A listener (sse_listeners.h) that makes a call for each target, with all that
 * is to be said (sse_hook_json.h), and adds it to this child's queue on disk
 * (sse_hook_spool.h), from where another thread sends it (sse_hook_sender.h).
 * An opening is in the queue before its client can see that the stream is
 * closed, so that it comes before the end, and before the death of the child.
 * Where a target wants ends only, the opening is there all the same, silent,
 * for the child that will tell of the end if this one dies.
 *
 * What a request's end needs (its targets, its fields, who it was) is made when
 * it opens, in the request's pool.  A request of a location without SSEHook
 * costs one look at the location's settings.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_HOOK_H
#define SSE_HOOK_H

#include <httpd.h>

/** register_hooks: add the listener. */
void sse_hook_register(void);

/** check_config: read the keys and certificates, and know the targets.
 *  @return OK, or HTTP_INTERNAL_SERVER_ERROR: logged, with what to change */
int sse_hook_check(apr_pool_t *pconf, const server_rec *main_server);

/** child_init, behind sse_ended_init(): open the queue, claim those of dead
 *  children, start the sender; where there are targets, or calls that an
 *  earlier server has left.  The sender ends with the pool, before anything in
 *  it goes; what it has not sent by then is left to other children.
 *  @param dir where the store has its own files */
void sse_hook_init(server_rec *s, const char *dir, apr_pool_t *pool);

/** child_init: a thread that tells of ends, if any target wants them.
 *  @return an error: there is none, and nothing may be opened */
apr_status_t sse_hook_reserve(void);

#endif /* SSE_HOOK_H */
