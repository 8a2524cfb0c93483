/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream_queue.c
 * What waits for a stream, what its writer takes of it, and what was sent.
 */

#include "stream/sse_stream_private.h"

#include <stdlib.h>
#include <string.h>

#include "sse_atomic.h"
#include "stream/sse_gap.h"

/* What is taken at a time to be written. */
#define TAKE_BYTES (64 * 1024)

/* -- Feeding --------------------------------------------------------------- */

/* Under the lock.  A single event is never too large for an empty queue. */
static int is_full(const sse_stream_t *stream, const sse_buf_t *buf)
{
    apr_size_t waiting = stream->queue.bytes + stream->in_flight;

    return waiting && waiting + buf->len > stream->opts.queue_bytes;
}

/* Under the lock.  What comes faster than anybody could write it, as one turn's
 * events do, is no sign of a client that reads slowly. */
static int is_slow(const sse_stream_t *stream)
{
    apr_uint64_t patience = sse_atomic_load(&stream->drive)->patience;

    return stream->in_flight &&
           (!patience || uv_hrtime() - stream->taken >= patience);
}

/* Under the lock. */
static int must_yield(const sse_stream_t *stream, const sse_buf_t *buf,
                      sse_push_e how)
{
    return how != SSE_PUSH_ALWAYS && is_full(stream, buf) &&
           (how != SSE_PUSH_POLICY || is_slow(stream));
}

/* Under the lock.  What the socket is taking already cannot be dropped. */
static void drop_oldest(sse_stream_t *stream, const sse_buf_t *buf)
{
    sse_buf_t *old;

    while (is_full(stream, buf) &&
           (old = sse_queue_take(&stream->queue)) != NULL) {
        if (!stream->dropped) {
            stream->dropped = old->id;
        }
        sse_buf_release(old);
        stream->batch -= stream->batch > 0;
        stream->dropping = 1;
    }
}

static apr_status_t add(sse_stream_t *stream, sse_buf_t *buf, sse_push_e how)
{
    apr_status_t rv = APR_SUCCESS;

    pthread_mutex_lock(&stream->lock);
    if (sse_stream_reason(stream) != SSE_CLOSE_NONE) {
        rv = sse_stream_ended_status(stream);
    }
    else if (must_yield(stream, buf, how)) {
        if (how == SSE_PUSH_POLICY && stream->opts.queue_drop) {
            drop_oldest(stream, buf);
        }
        else {
            rv = APR_EAGAIN;
        }
    }
    if (rv == APR_SUCCESS) {
        sse_queue_add(&stream->queue, sse_buf_acquire(buf));
        pthread_cond_signal(&stream->cond);
    }
    pthread_mutex_unlock(&stream->lock);
    return rv;
}

apr_status_t sse_stream_push(sse_stream_t *stream, sse_buf_t *buf,
                             sse_push_e how)
{
    apr_status_t rv = add(stream, buf, how);

    if (rv == APR_SUCCESS) {
        sse_atomic_load(&stream->drive)->kick(stream);
    }
    else if (rv == APR_EAGAIN && how == SSE_PUSH_POLICY) {
        sse_stream_end(stream, SSE_CLOSE_SLOW_CLIENT, rv);
    }
    return rv;
}

int sse_stream_is_drained(sse_stream_t *stream)
{
    int drained;

    pthread_mutex_lock(&stream->lock);
    drained = !stream->queue.count && !stream->in_flight;
    pthread_mutex_unlock(&stream->lock);
    return drained;
}

/* -- Writing --------------------------------------------------------------- */

/* Under the lock: where events were dropped, say so in their place.  A client
 * that had none before them is told the id in front of the first: it can resume
 * from there. */
static sse_buf_t *gap_event(const sse_stream_t *stream)
{
    const sse_buf_t *first = sse_queue_first(&stream->queue);
    sse_id_t after = stream->begun.id;

    if (!after && stream->dropped) {
        after = stream->dropped - 1;
    }
    return sse_gap_after(after, first ? first->id : 0,
                         first && first->id ? first->id - 1 : 0);
}

static apr_size_t append(sse_stream_t *stream, apr_bucket_brigade *bb,
                         sse_buf_t *buf)
{
    apr_size_t len = buf->len;
    sse_sent_t *begun = &stream->begun;

    begun->events += buf->events;
    begun->bytes += len;
    if (buf->id || buf->id_len) {
        begun->id = buf->id;
        free(begun->text);
        begun->text =
            buf->id ? NULL : strndup(buf->data + buf->len, buf->id_len);
    }
    APR_BRIGADE_INSERT_TAIL(bb, sse_buf_bucket(buf, bb->bucket_alloc));
    return len;
}

apr_size_t sse_stream_take(sse_stream_t *stream, apr_bucket_brigade *bb)
{
    apr_size_t taken = 0;
    sse_buf_t *buf;

    pthread_mutex_lock(&stream->lock);
    if (stream->dropping) {
        stream->dropping = 0;
        taken += append(stream, bb, gap_event(stream));
        stream->dropped = 0;
    }
    if (!stream->batch) {
        stream->batch = stream->queue.count;
        stream->taken = uv_hrtime();
    }
    while (stream->batch && taken < TAKE_BYTES) {
        --stream->batch;
        buf = sse_queue_take(&stream->queue);
        taken += append(stream, bb, buf);
    }
    stream->in_flight += taken;
    pthread_mutex_unlock(&stream->lock);
    return taken;
}

/* Under the lock. */
static void count_sent(sse_stream_t *stream)
{
    char *text = stream->sent.text;

    stream->sent = stream->begun;
    if (stream->begun.text) {
        stream->begun.text = NULL; /* moved */
        free(text);
    }
    else if (stream->begun.id) {
        free(text);
    }
    else {
        stream->sent.text = text; /* still the last one */
    }
}

void sse_stream_wrote(sse_stream_t *stream, int is_out)
{
    pthread_mutex_lock(&stream->lock);
    stream->in_flight = 0;
    stream->has_written = 1;
    if (is_out) {
        count_sent(stream);
    }
    pthread_mutex_unlock(&stream->lock);
}
