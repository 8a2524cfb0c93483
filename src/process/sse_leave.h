/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_leave.h
 * How this child leaves, gracefully or at once, and what it waits for.
 *
 * Whatever is open has its end told to callbacks before the child exits.  A
 * callback that hangs does not keep the child for ever: one that stops at once
 * exits after three seconds; one that leaves gracefully when no other request
 * is left and GracefulShutdownTimeout, or half a minute, has passed.
 *
 * Threads: tagged.
 */

#ifndef SSE_LEAVE_H
#define SSE_LEAVE_H

#include <httpd.h>

#include "loop/sse_loop.h"

typedef enum {
    SSE_STAY = 0,
    SSE_LEAVE_GRACEFUL,
    SSE_LEAVE_AT_ONCE
} sse_leave_e;

/** child_init, before the loop is started.
 *  @param is_forked whether each process serves one connection (prefork) */
void sse_leave_init(sse_loop_t *loop, int is_forked);

/** child_init: have fn called on the loop when the child leaves, and again if
 *  something was opened since, or if it is to leave at once after all. */
void sse_leave_add(void (*fn)(sse_leave_e how));

/** The child leaves.  Any thread, and signal handlers. */
void sse_leave_begin(sse_leave_e how);

/** How the child leaves, or SSE_STAY.  Any thread. */
sse_leave_e sse_leave_how(void);

/** What a child that stops waits for: streams until their request is released,
 *  watched requests until their end was told.  Any thread, signal handlers. */
apr_uint32_t sse_leave_count(void);

/** Count one of these, or no longer.  Any thread. */
void sse_leave_count_up(void);
void sse_leave_count_down(void);

/** A request is finished but for module callbacks; or these have returned.  Any
 *  thread. */
void sse_leave_hold(void);
void sse_leave_let_go(void);

/** post_read_request hook: count a request of any handler until its pool is
 *  destroyed, when its response has been written. */
int sse_leave_count_request(request_rec *r);
/** Count it no longer: another request stands for it. */
void sse_leave_uncount_request(request_rec *r);

/** loop: with prefork a request's thread holds signals back from now on: the
 *  loop looks for them. */
void sse_leave_watch_signals(void);

#endif /* SSE_LEAVE_H */
