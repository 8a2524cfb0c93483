/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_counters.h
 * Numbers that all children of a server share: open streams and counters.
 *
 * One slot per child in anonymous shared memory, which lives as long as the
 * server, over graceful restarts (see sse_shared.h).  A child takes a free slot
 * when it starts; the parent empties it when the child has ended, however it
 * ended, so that sums never drift.
 *
 * Threads: sse_counters_add() and sse_counters_sum() any, atomically; the
 * rest as tagged.
 */

#ifndef SSE_COUNTERS_H
#define SSE_COUNTERS_H

#include <apr_pools.h>
#include <apr_time.h>
#include <unistd.h>

typedef enum {
    SSE_COUNTER_STREAMS, /**< open now */
    SSE_COUNTER_OPENED,  /**< since the child began */
    SSE_COUNTER_EVENTS,  /**< published */
    SSE_COUNTER_REFUSED, /**< streams beyond a limit */
    SSE_COUNTER_STALLED, /**< publishers now that wait for a store which takes
                            nothing */
    SSE_COUNTER_THREADS, /**< that streams hold now */
    SSE_COUNTER_POLLED,  /**< streams beyond SSEMaxThreads that were sent what
                            was due, and ended */
    SSE_COUNTERS
} sse_counter_e;

/** Children of two generations. */
#define SSE_COUNTERS_SLOTS 2048

/** Parent: make it, or find it again after a restart.
 *  @param slots for so many children */
apr_status_t sse_counters_prepare(apr_pool_t *process_pool, apr_uint32_t slots);

/**
 * child_init: take a slot.
 * @param born when it began: with the pid, which child it is
 * @return whether there was one; a child without goes uncounted, and is dead
 *         for the others
 */
int sse_counters_enter(pid_t pid, apr_time_t born);

/** A child without a slot: whether it is the first one since the start or
 *  restart, who has to say so. */
int sse_counters_may_complain(void);

/** Whether this child has entered and not ended.  Children that are older than
 *  the counters, which replaced theirs, are looked for as processes.  Any
 *  thread. */
int sse_counters_is_alive(pid_t pid, apr_time_t born);

/** Parent: this child has ended. */
void sse_counters_leave(pid_t pid);

void sse_counters_add(sse_counter_e number, int by);

/** Over all children.  Counters of ended children are kept, gauges are not. */
apr_uint64_t sse_counters_sum(sse_counter_e number);

/** Of one child. */
typedef void sse_counters_fn(void *baton, pid_t pid, apr_uint64_t streams);

/** Call fn for each child that has entered and not ended, also of the
 *  generations before that are leaving.  Any thread. */
void sse_counters_each(sse_counters_fn *fn, void *baton);

#endif /* SSE_COUNTERS_H */
