/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_trim.h
 * After many connections have gone, their memory goes back to the system.
 *
 * They are made on many threads and freed on others.  The C library then keeps
 * free pages that lie below something that is still in use, or cached by a
 * thread: 10 MB after 10,000 streams, more or less at random.
 *
 * Threads: the loop's; the trimming itself is done by a worker.
 */

#ifndef SSE_TRIM_H
#define SSE_TRIM_H

#include "loop/sse_loop.h"

/** child_init. */
void sse_trim_init(sse_loop_t *loop);

/** A connection goes. */
void sse_trim_count(void);

#endif /* SSE_TRIM_H */
