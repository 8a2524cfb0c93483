/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_client.h
 * A child's connection to the supervisor of programs: starts and joins programs
 * and is told what becomes of them.
 *
 * The connection is made when it is needed first.  When it breaks, as the
 * supervisor has died, each program of this child is told on_lost, and the next
 * that is started or joined makes a new one.
 *
 * Life: a sse_exec_program_t is part of its owner.  It is known to the
 * connection from sse_exec_client_start() until on_exited of a program of its
 * own, on_lost, on_unread, or sse_exec_client_stop() of a shared one; its owner
 * lives until then.
 *
 * Threads: as stated for each function; all events on the loop.
 */

#ifndef SSE_EXEC_CLIENT_H
#define SSE_EXEC_CLIENT_H

#include <httpd.h>

#include "exec/sse_exec_wire.h"
#include "loop/sse_loop.h"

typedef struct sse_exec_program_t sse_exec_program_t;

typedef struct {
    /** A shared program's output is this child's to read.  The descriptors are
     *  the owner's to close; rest: -1, or what the reader before had left.
     *  value: sse_exec_own_e */
    void (*on_own)(sse_exec_program_t *program, int out, int err, int value,
                   int rest);
    /** Its first process has ended.  status: as of waitpid().
     *  restart_msec: a shared one is started again after that.
     *  error: it had ended before, and could not be started again; or 0 */
    void (*on_exited)(sse_exec_program_t *program, int status,
                      apr_int64_t restart_msec, apr_status_t error);
    /** The supervisor has died, and with it the program. */
    void (*on_lost)(sse_exec_program_t *program);
    /** A shared program's output was to be this child's, which has had no
     *  descriptor for it.  Another child may have it now; this one has stopped
     *  the program, and may join it again. */
    void (*on_unread)(sse_exec_program_t *program);
} sse_exec_program_events_t;

struct sse_exec_program_t {
    const sse_exec_program_events_t *events; /**< const: its owner's */
    apr_uint64_t id; /**< loop: the connection's; 0: not known to it */
    int is_shared;   /**< loop */
    struct sse_exec_call_t *call; /**< loop: its start awaits an answer */
    LIST_ENTRY(sse_exec_program_t) link; /**< loop: those with an id */
};

/** child_init, before the loop is started. */
void sse_exec_client_init(sse_loop_t *loop, server_rec *s);

/** Request thread: blocks until it has been started or joined, 10 s at most.
 *  @param fds out: output and errors of a program of its own, the caller's to
 *         close; -1: it was not started
 *  @param answer out: STARTED, JOINED, or FAILED with why
 *  @return APR_SUCCESS: see answer; E2BIG: the order is too large; EMFILE: it
 *          was started and is ended, as this process has no descriptor for its
 *          output; APR_TIMEUP: the supervisor does not answer, now or lately,
 *          or that one program does not start; another error: there is no
 *          answer, as the supervisor is away, or this process lacks something.
 *          Unless it was started or joined, the program is not known to the
 *          connection */
apr_status_t sse_exec_client_start(sse_exec_program_t *program,
                                   const sse_exec_order_t *order, int is_shared,
                                   int fds[2], sse_exec_message_t *answer);

/** Loop: SSE_EXEC_STOP.  Nothing if the program is not known (any more). */
void sse_exec_client_stop(sse_exec_program_t *program);

/** Loop: SSE_EXEC_RETURN; without memory for the rest SSE_EXEC_STOP.
 *  @param rest len bytes; 0: none */
void sse_exec_client_return(sse_exec_program_t *program, const char *rest,
                            apr_size_t len);

/** Loop: SSE_EXEC_DECLINE: the same, where nothing was read, whether on_own has
 *  been called or not. */
void sse_exec_client_decline(sse_exec_program_t *program);

#endif /* SSE_EXEC_CLIENT_H */
