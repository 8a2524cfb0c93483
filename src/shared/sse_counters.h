/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_counters.h
 * Counters and gauges that all children of a server share, such as the number
 * of open streams.
 *
 * Each child has a slot in shared memory, which is kept over graceful restarts
 * (see sse_shared.h).  A child takes a free slot when it starts; the parent
 * empties it when the child has ended, for whatever reason, so that sums never
 * drift.
 *
 * Threads: sse_counters_add() and sse_counters_sum() any; the rest as stated.
 */

#ifndef SSE_COUNTERS_H
#define SSE_COUNTERS_H

#include <apr_pools.h>
#include <apr_time.h>
#include <unistd.h>

typedef enum {
    SSE_COUNTER_STREAMS, /**< gauge: open streams */
    SSE_COUNTER_OPENED,  /**< streams opened */
    SSE_COUNTER_EVENTS,  /**< events published */
    SSE_COUNTER_REFUSED, /**< streams refused by a limit */
    SSE_COUNTER_STALLED, /**< gauge: publishers waiting for a store that does
                            not respond */
    SSE_COUNTER_THREADS, /**< gauge: threads held by streams */
    SSE_COUNTER_POLLED,  /**< streams beyond SSEMaxThreads, which were sent what
                            was due and ended */
    SSE_COUNTER_ASKED,   /**< questions to applications (SSEAuthorize) */
    SSE_COUNTER_ASK_DENIED,    /**< of them, answered by a refusal */
    SSE_COUNTER_ASK_FAILED,    /**< of them, without a valid answer */
    SSE_COUNTER_HOOKS_WAITING, /**< gauge: calls of webhooks that wait */
    SSE_COUNTER_HOOKS_SENT,    /**< of them, taken by their targets */
    SSE_COUNTER_HOOKS_FAILED,  /**< given up: refused, or not taken in time */
    SSE_COUNTER_HOOKS_DROPPED, /**< not sent: no room to wait, or no target */
    SSE_COUNTER_POLLS,         /**< long polls that were answered */
    SSE_COUNTER_COMMANDS,      /**< gauge: programs of sse-exec that run */
    SSE_COUNTERS
} sse_counter_e;

/** Enough for the children of two generations. */
#define SSE_COUNTERS_SLOTS 2048

/** Parent: make the counters, or find them again after a restart.
 *  @param slots one for each child
 *  @return an error: there is no memory */
apr_status_t sse_counters_prepare(apr_pool_t *process_pool, apr_uint32_t slots);

/** child_init: take a slot.
 *  @param born when the child began: identifies it, with the pid
 *  @return whether there was a free slot; a child without one is not counted,
 *          and seems dead to the others */
int sse_counters_enter(pid_t pid, apr_time_t born);

/** For a child without a slot: whether it is the first since the last start or
 *  restart, and so is to log that. */
int sse_counters_may_complain(void);

/** Whether this child is alive.  If the counters have been replaced since it
 *  began, whether there is a process of that pid.  Any thread. */
int sse_counters_is_alive(pid_t pid, apr_time_t born);

/** Parent: this child has ended. */
void sse_counters_leave(pid_t pid);

void sse_counters_add(sse_counter_e number, int by);

/** Set this child's part of a gauge.  One thread for each gauge. */
void sse_counters_set(sse_counter_e number, apr_uint64_t value);

/** The sum over all children; counters include those that have ended. */
apr_uint64_t sse_counters_sum(sse_counter_e number);

/** Told of one child. */
typedef void sse_counters_fn(void *baton, pid_t pid, apr_uint64_t streams);

/** Call fn for each child with a slot, also of older generations that are
 *  leaving.  Any thread. */
void sse_counters_each(sse_counters_fn *fn, void *baton);

#endif /* SSE_COUNTERS_H */
