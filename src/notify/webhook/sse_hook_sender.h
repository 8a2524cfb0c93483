/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_sender.h
 * Sends the webhooks of this child: one thread takes what waits in the spool
 * (sse_hook_spool.h) to its targets, by libcurl.
 *
 * The spool is read in its order.  Of each target a bounded number of calls is
 * in memory (sse_hook_outbox.h); one whose number is reached reads on later by
 * itself, so that a target that is down holds up no other one.  What is sent,
 * or given up, is finished in the spool; everything else stays there, for this
 * thread or for another child.
 *
 * A call is sent at once: the wake-up leads from the adding thread straight to
 * the socket, without a timer.
 *
 * It logs, once a minute for each target, why calls wait, were refused or given
 * up; and that a target works again.
 *
 * Threads: sse_sender_start() in child_init; sse_sender_wake() any, also on the
 * loop; sse_sender_stop() any but the sender's, once.  Everything of libcurl is
 * on the sender's thread, which has all signals blocked.
 */

#ifndef SSE_HOOK_SENDER_H
#define SSE_HOOK_SENDER_H

#include <httpd.h>

#include "notify/webhook/sse_hook_spool.h"

/** Start this child's sender.
 *  @param spool lives until the sender has ended
 *  @param pool the child's
 *  @return an error: there is no thread or no memory, and nothing is sent */
apr_status_t sse_sender_start(sse_spool_t *spool, server_rec *s,
                              apr_pool_t *pool);

/** Calls were added to the spool.  Cheap if it knows already.  Without effect
 *  where no sender was started. */
void sse_sender_wake(void);

/** End the thread; what it was sending stays in the spool.  Until then it goes
 *  on sending, also when the child is leaving.
 *  @return whether it has ended within that time; 100 ms are plenty unless the
 *          log blocks */
int sse_sender_stop(apr_interval_time_t wait);

#endif /* SSE_HOOK_SENDER_H */
