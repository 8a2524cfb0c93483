/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_output.h
 * The end of a pipe that a program writes to, read on the loop.
 *
 * A program may write without end, faster than anything can be made of it.  So
 * no more than 16 KB are read in a turn of the loop, and nothing while it is
 * paused, or there is no room to watch it: the pipe fills, and the program
 * waits.
 *
 * Life: part of its owner, which lives until on_closed.
 *
 * Threads: the loop's.
 */

#ifndef SSE_EXEC_OUTPUT_H
#define SSE_EXEC_OUTPUT_H

#include <apr_errno.h>
#include <sys/queue.h>

#include "loop/sse_loop.h"

/** The most that is read at a time. */
#define SSE_EXEC_OUTPUT_BYTES (16 * 1024)

typedef struct sse_exec_output_t sse_exec_output_t;

/** Each may pause, resume or close it. */
typedef struct {
    /** The bytes live until this returns. */
    void (*on_bytes)(sse_exec_output_t *output, const char *bytes,
                     apr_size_t len);
    /** There will be no more: nobody can write any more, or it was drained. */
    void (*on_end)(sse_exec_output_t *output);
    /** Its memory is its owner's again. */
    void (*on_closed)(sse_exec_output_t *output);
    /** It cannot be read on, as there is no room to watch it; that is tried
     *  again each second.  Not to do anything with it.  May be NULL */
    void (*on_stuck)(sse_exec_output_t *output, apr_status_t rv);
} sse_exec_output_events_t;

struct sse_exec_output_t {
    sse_loop_t *loop; /* const */
    uv_poll_t poll;
    int fd; /* -1: closed */
    const sse_exec_output_events_t *events;
    int is_paused;
    int drains;                         /* what is there now is all */
    int has_ended;                      /* on_end was called */
    int is_stuck;                       /* it waits to be watched again */
    LIST_ENTRY(sse_exec_output_t) link; /* those that are stuck */
};

/** @param fd is taken over, unless this fails
 *  @return an error: it cannot be watched, and nothing is called */
apr_status_t sse_exec_output_open(sse_exec_output_t *output, sse_loop_t *loop,
                                  int fd,
                                  const sse_exec_output_events_t *events);

void sse_exec_output_pause(sse_exec_output_t *output);
void sse_exec_output_resume(sse_exec_output_t *output);

/** What is in the pipe at this moment is all that counts, whoever has it open
 *  still: the program has ended.  on_end comes once that was read. */
void sse_exec_output_drain(sse_exec_output_t *output);

/** Read no more.  on_closed comes later.  Once. */
void sse_exec_output_close(sse_exec_output_t *output);

#endif /* SSE_EXEC_OUTPUT_H */
