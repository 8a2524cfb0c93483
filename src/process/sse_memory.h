/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_memory.h
 * Gives memory back to the system after many connections have been closed, or
 * large bodies published.  The C library keeps free pages below a piece in use
 * or cached by a thread: some 10 MB after 10,000 streams, and for each thread
 * the largest pieces that it has freed.
 *
 * Threads: the loop's, but for sse_memory_trim(); a worker does the trimming.
 */

#ifndef SSE_MEMORY_H
#define SSE_MEMORY_H

#include "loop/sse_loop.h"

/** child_init. */
void sse_memory_init(sse_loop_t *loop);

/** A connection has been closed. */
void sse_memory_count(void);

/** Much memory was freed: give it back once no more is being freed.  Any
 *  thread, at any time. */
void sse_memory_trim(void);

#endif /* SSE_MEMORY_H */
