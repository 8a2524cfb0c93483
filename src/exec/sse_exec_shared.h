/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_shared.h
 * Programs that all subscribers of a channel share (SSECommandShare).
 *
 * A child joins a channel's program while it has a request of that channel.
 * The supervisor runs one program, however many children have joined, and gives
 * its output to one of them, the owner.  That one reads it and publishes each
 * event to the channel; subscribers get it as they get any other event, in
 * whatever child they are.  An owner that leaves, or has no such request any
 * more, returns what it has read and not published, and another child goes on
 * from there.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_EXEC_SHARED_H
#define SSE_EXEC_SHARED_H

#include <httpd.h>

#include "exec/sse_exec_parser.h"
#include "exec/sse_exec_wire.h"
#include "loop/sse_loop.h"
#include "store/sse_store.h"

/** What to run, and for whom.  Copied, but for history. */
typedef struct {
    const sse_exec_order_t *order; /**< its key is the channel's */
    const char *name;              /**< the channel's, for log lines */
    sse_exec_format_e format;
    apr_size_t max_event;
    const sse_history_t *history; /**< lives as long as the child */
} sse_exec_shared_plan_t;

/** child_init, after sse_exec_client_init(). */
void sse_exec_shared_init(sse_loop_t *loop);

/**
 * Have the program run until the request's pool is destroyed.  Blocks until it
 * does, if it does not yet.  Where this child has joined the channel already,
 * with whatever command, that one stays.  Request thread.
 * @param answer out: why it does not run; type is 0 if nobody could be asked
 * @return APR_SUCCESS, or why it does not run
 */
apr_status_t sse_exec_shared_join(request_rec *r,
                                  const sse_exec_shared_plan_t *plan,
                                  sse_exec_message_t *answer);

/** Whether this child owns a program's output: before it ends, that is to be
 *  returned.  Any thread, signal handlers. */
int sse_exec_shared_is_busy(void);

#endif /* SSE_EXEC_SHARED_H */
