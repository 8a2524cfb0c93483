/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_handler.h
 * The front end "sse-exec": a location whose events are what a program writes.
 * Where the program is shared, its clients are subscribers of the location's
 * channels as those of "sse" are; else each has a program of its own.
 *
 * Threads: the request's.
 */

#ifndef SSE_EXEC_HANDLER_H
#define SSE_EXEC_HANDLER_H

/** register_hooks: the front end "sse-exec". */
void sse_exec_handler_register(void);

#endif /* SSE_EXEC_HANDLER_H */
