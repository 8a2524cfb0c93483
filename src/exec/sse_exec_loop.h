/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_loop.h
 * What the supervisor of programs does all its life: it takes connections at
 * its door, orders and signals, and waits for processes and times.
 *
 * Threads: the supervisor's one thread, which has nothing else to do.
 */

#ifndef SSE_EXEC_LOOP_H
#define SSE_EXEC_LOOP_H

#include <apr.h>
#include <sys/types.h>

/** Milliseconds. */
typedef struct {
    int kill;  /**< from SIGTERM to SIGKILL */
    int leave; /**< the same when the supervisor ends */
    int rest;  /**< what others of a group get whose program has ended,
                       before SIGTERM */
    int again; /**< the first pause before a restart, doubled each time */
    int again_most;
    int steady; /**< who ran for that long begins with the first pause */
    int scan;   /**< between two looks at all processes, at least */
} sse_exec_times_t;

/** As they are documented; tests have others. */
extern const sse_exec_times_t sse_exec_times;

/** Told how many programs run, when that changes. */
typedef void sse_exec_count_fn(apr_uint32_t n);

/** Until SIGTERM, or the parent's end, and until no program is left then.
 *  All signals are blocked.
 *  @param door the supervisor's end, closed at last
 *  @param parent who has made it; 0: do not look
 *  @param tell or NULL */
void sse_exec_loop_run(int door, pid_t parent, const sse_exec_times_t *times,
                       sse_exec_count_fn *tell);

#endif /* SSE_EXEC_LOOP_H */
