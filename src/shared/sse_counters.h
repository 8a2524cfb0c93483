/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_counters.h
 * Counters, gauges and histograms that all children of a server share, such as
 * the number of open streams.
 *
 * Each child has a slot in shared memory, which is kept over graceful restarts
 * (see sse_shared.h).  A child takes a free slot when it starts; when it has
 * ended, for whatever reason, the parent frees the slot: its gauges become 0,
 * and streams that it left open count as closed by a crash.  What it counted
 * stays in its slot, on which the next child goes on counting.  So sums never
 * drift, and no counter ever goes back.
 *
 * Threads: as stated.
 */

#ifndef SSE_COUNTERS_H
#define SSE_COUNTERS_H

#include <apr_pools.h>
#include <apr_time.h>
#include <unistd.h>

#include "shared/sse_histogram.h"

/** How many reasons there are to close a stream: sse_close_reason_e. */
#define SSE_COUNTER_REASONS 14
/** SSE_CLOSE_CRASH */
#define SSE_COUNTER_CRASH 11

typedef enum {
    /* Gauges: what goes with its child. */
    SSE_COUNTER_STREAMS_ASYNC,      /**< open streams that the loop writes:
                                         HTTP/1.x */
    SSE_COUNTER_STREAMS_ASYNC_H2,   /**< likewise: HTTP/2 */
    SSE_COUNTER_STREAMS_WAITING_H1, /**< that a thread writes: HTTP/1.x */
    SSE_COUNTER_STREAMS_WAITING_H2, /**< likewise: HTTP/2 */
    SSE_COUNTER_QUEUE_BYTES,   /**< what waits in the queues of all streams */
    SSE_COUNTER_THREADS,       /**< threads held by streams */
    SSE_COUNTER_STALLED,       /**< publishers waiting for a store that does
                                    not respond */
    SSE_COUNTER_HOOKS_WAITING, /**< calls of webhooks that wait */
    SSE_COUNTER_GAUGES,

    /* Counters: they only grow. */
    SSE_COUNTER_OPENED = SSE_COUNTER_GAUGES, /**< streams opened */
    SSE_COUNTER_CLOSED, /**< and those closed: a counter for each reason */
    SSE_COUNTER_CLOSED_END = SSE_COUNTER_CLOSED + SSE_COUNTER_REASONS - 1,
    SSE_COUNTER_EVENTS,          /**< events published */
    SSE_COUNTER_PUBLISHED_BYTES, /**< bytes of their data */
    SSE_COUNTER_DELIVERED,       /**< events that clients' sockets have taken */
    SSE_COUNTER_DELIVERED_BYTES, /**< and all that streams have sent */
    SSE_COUNTER_DROPPED,         /**< events left out for a client that is too
                                      slow (SSEQueue drop) */
    SSE_COUNTER_GAPS,            /**< gaps that clients were told of */
    SSE_COUNTER_REFUSED_SERVER,  /**< streams refused: SSEMaxStreams of the
                                      server */
    SSE_COUNTER_REFUSED_HOST,    /**< of a virtual host */
    SSE_COUNTER_REFUSED_CLIENT,  /**< SSEMaxStreamsPerClient */
    SSE_COUNTER_REFUSED_THREADS, /**< SSEMaxThreads */
    SSE_COUNTER_REFUSED_CALLBACKS, /**< no thread for callbacks */
    SSE_COUNTER_REFUSED_COMMANDS,  /**< SSECommandMax */
    SSE_COUNTER_REFUSED_HTTP2,     /**< SSEHTTP2 Off */
    SSE_COUNTER_POLLED, /**< streams beyond SSEMaxThreads, which were sent what
                           was due and ended */
    SSE_COUNTER_POLLS,  /**< long polls that were answered */
    SSE_COUNTER_ASKED,  /**< questions to applications (SSEAuthorize) */
    SSE_COUNTER_ASK_DENIED,    /**< of them, answered by a refusal */
    SSE_COUNTER_ASK_FAILED,    /**< of them, without a valid answer */
    SSE_COUNTER_HOOKS_SENT,    /**< webhooks' calls, taken by their targets */
    SSE_COUNTER_HOOKS_FAILED,  /**< given up: refused, or not taken in time */
    SSE_COUNTER_HOOKS_DROPPED, /**< not sent: no room to wait, or no target */
    SSE_COUNTER_KINDS,

    /* Only in what is read, from those above. */
    SSE_COUNTER_STREAMS = SSE_COUNTER_KINDS, /**< opened and not closed */
    SSE_COUNTER_REFUSED,                     /**< by any limit */
    /* No child's: programs outlive their children. */
    SSE_COUNTER_COMMANDS, /**< programs of sse-exec that run */
    SSE_COUNTERS
} sse_counter_e;

/** All numbers of all children. */
typedef struct {
    apr_uint64_t numbers[SSE_COUNTERS];
    sse_histogram_t histograms[SSE_HISTOGRAMS];
} sse_board_t;

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

/** Add to this child's part of a gauge or counter.  Any thread. */
void sse_counters_add(sse_counter_e number, apr_int64_t by);

/** Set this child's part of a gauge.  One thread for each gauge. */
void sse_counters_set(sse_counter_e number, apr_uint64_t value);

/** The process that has the programs, and the parent when that has ended: so
 *  many run. */
void sse_counters_set_commands(apr_uint32_t n);

/** Count a time.  Any thread. */
void sse_counters_observe(sse_histogram_e which, apr_uint64_t nsec);

/** The same for many that took as long. */
void sse_counters_observe_many(sse_histogram_e which, apr_uint64_t nsec,
                               apr_uint64_t many);

/** Read everything in one pass; counters and histograms include children that
 *  have ended.  Streams that open and close meanwhile may be in some numbers
 *  and not in others, but open ones and closed ones are always as many as were
 *  opened.  Any thread. */
void sse_counters_read(sse_board_t *board);

/** One gauge or counter of the children's alone, where somebody waits for it to
 *  be read.  Any thread. */
apr_uint64_t sse_counters_sum(sse_counter_e number);

/** Told of one child. */
typedef void sse_counters_fn(void *baton, pid_t pid, apr_uint64_t streams);

/** Call fn for each child with a slot, also of older generations that are
 *  leaving.  Any thread. */
void sse_counters_each(sse_counters_fn *fn, void *baton);

#endif /* SSE_COUNTERS_H */
