/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_outbox.h
 * The calls to one target that are in memory: which is sent next, and when.
 *
 * Calls become letters (sse_hook_letter.h).  A letter that failed is sent again
 * as it was, with the same id.  Letters leave in the order of their calls,
 * several at a time, but for this: the CLOSE of a stream is not sent while its
 * OPEN is not finished, unless both are in one letter.
 *
 * A failure of one letter makes that letter wait.  A target that cannot be
 * reached, or has answered nothing but failures for a while, waits as a whole:
 * one letter at a time is tried, a different one each time where there is one,
 * so that a call that a target cannot stand does not hold up the others for
 * ever.  When one gets through, all are sent at once.
 *
 * A call is given up 15 minutes after it happened, but not before it was tried
 * for a minute or its target has failed for 15 minutes: it may have waited for
 * a server that was stopped.
 *
 * Nothing is sent here; all times are of a clock that only goes forward.
 *
 * Threads: one, the sender's.
 */

#ifndef SSE_HOOK_OUTBOX_H
#define SSE_HOOK_OUTBOX_H

#include <apr_time.h>

#include "notify/webhook/sse_hook_letter.h"
#include "notify/webhook/sse_hook_retry.h"

typedef struct sse_outbox_t sse_outbox_t;

/** How a call is finished. */
typedef enum {
    SSE_OUTBOX_SENT,
    SSE_OUTBOX_REFUSED, /**< by its target */
    SSE_OUTBOX_EXPIRED  /**< given up */
} sse_outbox_end_e;

/** A call is finished. */
typedef void sse_outbox_fn(void *baton, sse_spool_at_t at,
                           sse_outbox_end_e how);

/** @param count calls in a letter at most; 1: no batches
 *  @param wait how long a call waits for others
 *  @param most letters that are sent at a time
 *  @param fn called by add and finish; must not call the outbox
 *  @return NULL: there is no memory */
sse_outbox_t *sse_outbox_create(int count, apr_interval_time_t wait, int most,
                                sse_outbox_fn *fn, void *baton);

/** Free it, with its letters; its calls are not finished. */
void sse_outbox_destroy(sse_outbox_t *box);

/** Whether one more call may be added. */
int sse_outbox_has_room(const sse_outbox_t *box);

/** Add a call, which is copied, in the spool's order.
 *  @param age how long ago it happened
 *  @return 0: there is no memory */
int sse_outbox_add(sse_outbox_t *box, sse_spool_at_t at, const sse_call_t *call,
                   apr_interval_time_t age, apr_time_t now);

/** The letter to send now, or NULL.  It remains the box's. */
sse_letter_t *sse_outbox_take(sse_outbox_t *box, apr_time_t now);

/** A letter that was taken has an answer.  It is freed, or waits.
 *  @param after how long its target wants to be left alone; 0: it does not
 *         say */
void sse_outbox_finish(sse_outbox_t *box, sse_letter_t *letter,
                       sse_hook_verdict_e verdict, apr_interval_time_t after,
                       apr_time_t now);

/** A letter that was taken could not be sent, by no fault of its target: it
 *  waits for a moment. */
void sse_outbox_return(sse_outbox_t *box, sse_letter_t *letter, apr_time_t now);

/** When sse_outbox_take() may have a letter, if nothing happens before: now, at
 *  once; 0: never. */
apr_time_t sse_outbox_due(const sse_outbox_t *box, apr_time_t now);

/** Whether the last letter was answered, and none waits to be sent again. */
int sse_outbox_is_well(const sse_outbox_t *box);

#endif /* SSE_HOOK_OUTBOX_H */
