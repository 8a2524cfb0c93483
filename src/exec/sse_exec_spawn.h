/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_spawn.h
 * Starts a program as a stranger to httpd: a process group of its own, the null
 * device to read from, a pipe each for output and errors, no other descriptor,
 * signals as at a login, killed by the kernel when its supervisor dies.
 *
 * Whether the program could be executed is known a moment later, and told by a
 * pipe, so that nobody waits for a slow file system.
 *
 * Threads: the supervisor's one thread.
 */

#ifndef SSE_EXEC_SPAWN_H
#define SSE_EXEC_SPAWN_H

#include <sys/types.h>

#include "exec/sse_exec_wire.h"

/** Descriptors are the caller's to close; -1: closed. */
typedef struct {
    pid_t pid;  /**< also its process group's number */
    int out;    /**< what it writes; does not block */
    int err;    /**< its errors; likewise */
    int result; /**< readable: see sse_exec_spawn_result() */
} sse_exec_spawn_t;

/** @param mark one more variable of its environment, "NAME=value", instead of
 *         those of that name in the order
 *  @return an error: there is no process */
apr_status_t sse_exec_spawn(const sse_exec_order_t *order, const char *mark,
                            sse_exec_spawn_t *spawn);

/** @param why out: for an error, SSE_EXEC_WHY_EXEC or SSE_EXEC_WHY_DIR
 *  @return APR_SUCCESS: the program runs; APR_EAGAIN: not known yet; an errno:
 *          it does not, and its process ends */
apr_status_t sse_exec_spawn_result(const sse_exec_spawn_t *spawn,
                                   sse_exec_why_e *why);

/** Close all descriptors from this one on. */
void sse_exec_spawn_close_from(int fd);

#endif /* SSE_EXEC_SPAWN_H */
