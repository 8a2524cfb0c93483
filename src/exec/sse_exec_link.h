/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_link.h
 * The socket between this child and the supervisor of programs: made when there
 * is something to send, and again when it has broken.  What cannot be sent yet
 * waits in its order.
 *
 * Threads: the loop's, but for sse_exec_link_init().
 */

#ifndef SSE_EXEC_LINK_H
#define SSE_EXEC_LINK_H

#include "exec/sse_exec_wire.h"
#include "loop/sse_loop.h"

/** What its user is told. */
typedef struct {
    /** @param fds n of them, its user's to close; 0, whatever was sent: this
     *         process can have no more */
    void (*on_message)(const sse_exec_message_t *message, int *fds, int n);
    /** The supervisor has died; nothing waits any more. */
    void (*on_broken)(void);
    /** There is none to connect to; nothing waits any more. */
    void (*on_unreachable)(apr_status_t rv);
} sse_exec_link_events_t;

/** child_init, before the loop is started.
 *  @param events static */
void sse_exec_link_init(sse_loop_t *loop, const sse_exec_link_events_t *events);

/** Add a message to those that wait; sse_exec_link_flush() sends it.
 *  @param fd -1: none
 *  @param is_ours whether to close it when it was sent, or cannot be */
void sse_exec_link_add(apr_uint32_t type, apr_uint64_t id, int fd, int is_ours);

/** Connect if need be, and send what can be sent now. */
void sse_exec_link_flush(void);

/** Take messages that have come, before the loop looks for them itself. */
void sse_exec_link_read(void);

/** Do not send that program's message, whose descriptor is about to be closed;
 *  nothing if it was sent. */
void sse_exec_link_withdraw(apr_uint64_t id);

/** Whether there is a connection. */
int sse_exec_link_is_up(void);

#endif /* SSE_EXEC_LINK_H */
