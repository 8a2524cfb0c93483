/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/sse_queue.h"

#include <stdlib.h>

#define FIRST_SIZE 4

static void grow(sse_queue_t *queue)
{
    apr_uint32_t i, size = queue->size ? queue->size * 2 : FIRST_SIZE;
    sse_buf_t **ring = malloc(size * sizeof(*ring));

    if (!ring) {
        abort();
    }
    for (i = 0; i < queue->count; ++i) {
        ring[i] = queue->ring[(queue->head + i) & (queue->size - 1)];
    }
    free(queue->ring);
    queue->ring = ring;
    queue->size = size;
    queue->head = 0;
}

void sse_queue_add(sse_queue_t *queue, sse_buf_t *buf)
{
    if (queue->count == queue->size) {
        grow(queue);
    }
    queue->ring[(queue->head + queue->count++) & (queue->size - 1)] = buf;
    queue->bytes += buf->len;
}

sse_buf_t *sse_queue_first(const sse_queue_t *queue)
{
    return queue->count ? queue->ring[queue->head] : NULL;
}

sse_buf_t *sse_queue_take(sse_queue_t *queue)
{
    sse_buf_t *buf = sse_queue_first(queue);

    if (buf) {
        queue->head = (queue->head + 1) & (queue->size - 1);
        --queue->count;
        queue->bytes -= buf->len;
    }
    /* A burst's ring is not kept through the silence after it. */
    if (!queue->count && queue->size > FIRST_SIZE) {
        free(queue->ring);
        queue->ring = NULL;
        queue->size = 0;
    }
    return buf;
}

void sse_queue_clear(sse_queue_t *queue)
{
    sse_buf_t *buf;

    while ((buf = sse_queue_take(queue)) != NULL) {
        sse_buf_release(buf);
    }
    free(queue->ring);
    queue->ring = NULL;
    queue->size = 0;
}
