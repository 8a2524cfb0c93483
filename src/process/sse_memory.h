/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_memory.h
 * After many connections have gone, or large bodies were published, their
 * memory goes back to the system.
 *
 * They are made on many threads and freed on others.  The C library then keeps
 * free pages that lie below something that is still in use, or cached by a
 * thread: 10 MB after 10,000 streams, more or less at random; and of pieces as
 * large as those it was given before, what it had of them, for each thread.
 *
 * Threads: the loop's, but for sse_memory_trim(); the trimming itself is done
 * by a worker.
 */

#ifndef SSE_MEMORY_H
#define SSE_MEMORY_H

#include "loop/sse_loop.h"

/** child_init. */
void sse_memory_init(sse_loop_t *loop);

/** A connection goes. */
void sse_memory_count(void);

/** Much memory was freed: give it back when no more is about to be.  Any
 *  thread, at any time. */
void sse_memory_trim(void);

#endif /* SSE_MEMORY_H */
