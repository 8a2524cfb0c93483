/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_errors.h
 * What the log says of programs: each line of their standard error, which
 * httpd escapes, and what is wrong with their output.
 *
 * A program may write as much as it likes, and the log must not fill with it:
 * ten lines of a program are logged in a second, and the rest is counted.  One
 * that writes more than a quarter of a megabyte in a second waits.
 *
 * Threads: the loop's, unless tagged otherwise.
 */

#ifndef SSE_EXEC_ERRORS_H
#define SSE_EXEC_ERRORS_H

#include <httpd.h>

#include "exec/sse_exec_parser.h"
#include "loop/sse_loop.h"

typedef struct sse_exec_errors_t sse_exec_errors_t;

/** Log what comes through this pipe, until nobody can write to it any more or
 *  it is closed.
 *  @param fd is taken over
 *  @param program its path; copied
 *  @return never NULL */
sse_exec_errors_t *sse_exec_errors_open(sse_loop_t *loop, int fd,
                                        const server_rec *s,
                                        const char *program);

/** The program has ended: log what is left, and close.  Once. */
void sse_exec_errors_close(sse_exec_errors_t *errors);

/** Say in the log, once a minute, that there is no room to watch a program's
 *  output. */
void sse_exec_tell_stuck(const server_rec *s, const char *program,
                         apr_status_t rv);

/** Say in the log, once a minute for each kind, what was wrong with a program's
 *  output. */
void sse_exec_tell_trouble(const server_rec *s, const char *program,
                           sse_exec_trouble_e trouble, const char *why);

#endif /* SSE_EXEC_ERRORS_H */
