/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_orphans.h
 * Finds what programs have started, wherever it has gone: into other groups and
 * sessions, to another parent.
 *
 * Each program has a variable in its environment, SSE_PROGRAM, which its
 * descendants inherit: it names the supervisor (by its pid, when it began, and
 * its namespace of pids, so that a container's processes are never ours) and
 * the program.
 *
 * Threads: the supervisor's one thread.
 */

#ifndef SSE_EXEC_ORPHANS_H
#define SSE_EXEC_ORPHANS_H

#include <apr.h>
#include <sys/types.h>

#define SSE_EXEC_MARK "SSE_PROGRAM"

/** Who a supervisor is. */
typedef struct {
    apr_uint64_t space; /**< the namespace's number */
    apr_uint64_t began; /**< in ticks since the machine's start */
    pid_t pid;
} sse_exec_self_t;

/** A process as /proc has it. */
typedef struct {
    pid_t pid, parent, group;
    char state; /**< Z: it has ended */
    apr_uint64_t began;
} sse_exec_process_t;

typedef void sse_exec_process_fn(void *baton,
                                 const sse_exec_process_t *process);

/** The calling process. */
void sse_exec_self_get(sse_exec_self_t *self);

/** "SSE_PROGRAM=..." of the program of that number. */
void sse_exec_mark_make(const sse_exec_self_t *self, apr_uint64_t number,
                        char *mark, apr_size_t size);

/** Call fn for each process but this one.
 *  @return 0: there may be others, which this one lacks descriptors to see */
int sse_exec_processes_each(sse_exec_process_fn *fn, void *baton);

/** @return the number of the program of this supervisor that has started the
 *          process, or 0: none, or it cannot be seen */
apr_uint64_t sse_exec_process_number(const sse_exec_self_t *self, pid_t pid);

/** @return whether a supervisor that is dead has started it */
int sse_exec_process_is_left(const sse_exec_self_t *self, pid_t pid);

#endif /* SSE_EXEC_ORPHANS_H */
