/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_calls.h
 * This child's queue of webhooks at work: calls are added, the sender is woken,
 * the queues of dead children are claimed; what could not be queued is counted,
 * and the log says what to do, once a minute.
 *
 * Where no location has webhooks there is neither a queue nor a sender, unless
 * other children, or an earlier server, have left calls.
 *
 * Threads: sse_hook_calls_add() any; the rest as stated.
 */

#ifndef SSE_HOOK_CALLS_H
#define SSE_HOOK_CALLS_H

#include <httpd.h>

#include "notify/webhook/sse_hook_spool.h"

/** child_init.  All ends with the pool, when nothing is added any more.
 *  @param dir where the queues are
 *  @param is_wanted whether anything may be added
 *  @param on_orphan see sse_spool_claim() */
void sse_hook_calls_init(server_rec *s, const char *dir, int is_wanted,
                         sse_spool_orphan_fn *on_orphan, apr_pool_t *pool);

/** Queue a call, to be sent soon. */
void sse_hook_calls_add(const sse_call_t *call);

#endif /* SSE_HOOK_CALLS_H */
