/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_queue.h
 * What waits to be written to one client: a growing ring of buffers, which has
 * no memory while it is empty.
 *
 * Threads: one at a time; a stream's queue is guarded by the stream's lock.
 */

#ifndef SSE_QUEUE_H
#define SSE_QUEUE_H

#include "stream/format/sse_buf.h"

typedef struct {
    sse_buf_t **ring; /* size entries, a power of two, or NULL */
    apr_uint32_t size;
    apr_uint32_t head; /* of the oldest */
    apr_uint32_t count;
    apr_size_t bytes; /* of all of them */
} sse_queue_t;

/** Takes over the caller's reference. */
void sse_queue_add(sse_queue_t *queue, sse_buf_t *buf);

/** The oldest, with its reference; NULL when there is none. */
sse_buf_t *sse_queue_take(sse_queue_t *queue);

/** The oldest, which stays; NULL when there is none. */
sse_buf_t *sse_queue_first(const sse_queue_t *queue);

/** Release all, and the ring. */
void sse_queue_clear(sse_queue_t *queue);

#endif /* SSE_QUEUE_H */
