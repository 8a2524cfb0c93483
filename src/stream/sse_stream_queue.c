/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream_queue.c
 * What waits to be written to a stream, what its writer takes of it, and what
 * has been sent.
 */

#include "stream/sse_stream_private.h"

#include <stdlib.h>
#include <string.h>

#include "sse_atomic.h"

/* How much is taken at a time to be written. */
#define TAKE_BYTES (64 * 1024)

/* -- Feeding --------------------------------------------------------------- */

/* Under the lock.  No event is too large for an empty queue. */
static int is_full(const sse_stream_t *stream, const sse_buf_t *buf)
{
    apr_size_t waiting = stream->queue.bytes + stream->in_flight;

    return waiting && waiting + buf->len > stream->opts.queue_bytes;
}

/* Under the lock. */
static void enqueue(sse_stream_t *stream, sse_buf_t *buf)
{
    sse_queue_add(&stream->queue, sse_buf_acquire(buf));
    if (stream->gauged) {
        sse_stream_count_waiting(stream);
    }
    stream->queued += (apr_uint64_t)buf->events;
    if (buf->id) {
        stream->queued_id = buf->id;
    }
    if (!stream->is_held) {
        pthread_cond_signal(&stream->cond);
    }
}

/* Under the lock.  What has no room in a poll is in the next one, so no id may
 * pass it. */
static int is_beyond(const sse_stream_t *stream, const sse_buf_t *buf)
{
    return stream->poll.limit && (buf->events || buf->id) &&
           stream->queued >= stream->poll.limit;
}

static apr_status_t add(sse_stream_t *stream, sse_buf_t *buf, sse_push_e how)
{
    apr_status_t rv = APR_SUCCESS;

    pthread_mutex_lock(&stream->lock);
    if (sse_stream_reason(stream) != SSE_CLOSE_NONE) {
        rv = sse_stream_ended_status(stream);
    }
    else if ((how == SSE_PUSH_BOUNDED && is_full(stream, buf)) ||
             is_beyond(stream, buf)) {
        rv = APR_EAGAIN;
    }
    else {
        enqueue(stream, buf);
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
    return rv;
}

void sse_stream_add_last(sse_stream_t *stream, apr_int64_t retry, sse_id_t upto)
{
    sse_goodbye_t how = {retry, upto, 0, stream->now, 0};
    sse_buf_t *last;

    if (stream->poll.last && *stream->poll.last) {
        how.given = stream->poll.last;
    }
    pthread_mutex_lock(&stream->lock);
    stream->is_held = 0;
    how.sent = stream->queued_id;
    last = stream->format->goodbye(&how);
    if (last) {
        enqueue(stream, last);
        stream->is_over = 1;
        sse_buf_release(last);
    }
    pthread_mutex_unlock(&stream->lock);
}

void sse_stream_let_out(sse_stream_t *stream)
{
    pthread_mutex_lock(&stream->lock);
    if (stream->queue.count) {
        stream->is_held = 0;
        pthread_cond_signal(&stream->cond);
    }
    pthread_mutex_unlock(&stream->lock);
}

int sse_stream_is_drained(sse_stream_t *stream)
{
    int drained;

    pthread_mutex_lock(&stream->lock);
    drained = !stream->queue.count && !stream->in_flight;
    pthread_mutex_unlock(&stream->lock);
    return drained;
}

int sse_stream_is_complete(sse_stream_t *stream)
{
    int complete;

    pthread_mutex_lock(&stream->lock);
    complete = stream->is_over && !stream->queue.count && !stream->in_flight;
    pthread_mutex_unlock(&stream->lock);
    return complete;
}

/* -- Writing --------------------------------------------------------------- */

/* The first element of a list has no separator in front. */
static void append(sse_stream_t *stream, apr_bucket_brigade *bb, sse_buf_t *buf)
{
    sse_sent_t *begun = &stream->begun;
    apr_bucket *b = sse_buf_bucket(buf, bb->bucket_alloc);
    apr_size_t skipped =
        buf->events && !begun->events ? stream->format->separator : 0;

    b->start += (apr_off_t)skipped;
    b->length -= skipped;
    begun->events += (apr_uint64_t)buf->events;
    begun->bytes += (apr_off_t)b->length;
    sse_stream_count_begun(stream, buf);
    if (buf->id || buf->id_len) {
        begun->id = buf->id;
        free(begun->text);
        begun->text =
            buf->id ? NULL : strndup(buf->data + buf->len, buf->id_len);
    }
    APR_BRIGADE_INSERT_TAIL(bb, b);
}

void sse_stream_hold(sse_stream_t *stream)
{
    stream->is_held = sse_stream_is_long(stream) &&
                      stream->drive->is_blocking && !stream->queue.count &&
                      sse_stream_reason(stream) == SSE_CLOSE_NONE;
}

apr_size_t sse_stream_take(sse_stream_t *stream, apr_bucket_brigade *bb)
{
    apr_size_t taken = 0;
    sse_buf_t *buf;

    pthread_mutex_lock(&stream->lock);
    while (!stream->is_held && taken < TAKE_BYTES &&
           (buf = sse_queue_take(&stream->queue)) != NULL) {
        taken += buf->len;
        append(stream, bb, buf);
    }
    stream->in_flight += taken;
    stream->has_last = stream->is_over && !stream->queue.count;
    if (taken && stream->drive->is_blocking) {
        sse_stream_count_waiting(stream); /* a thread may hang in the write */
    }
    sse_stream_hold(stream);
    pthread_mutex_unlock(&stream->lock);
    return taken;
}

/* Under the lock. */
static void count_sent(sse_stream_t *stream)
{
    if (stream->begun.text || stream->begun.id) {
        free(stream->sent.text);
    }
    else {
        stream->begun.text = stream->sent.text; /* still the last one */
    }
    stream->sent = stream->begun;
    stream->begun.text = NULL; /* moved */
}

void sse_stream_moved(sse_stream_t *stream)
{
    pthread_mutex_lock(&stream->lock);
    ++stream->moved;
    pthread_mutex_unlock(&stream->lock);
}

void sse_stream_wrote(sse_stream_t *stream, int is_out)
{
    apr_uint64_t events = 0;
    apr_off_t bytes = 0;

    pthread_mutex_lock(&stream->lock);
    stream->in_flight = 0;
    if (stream->gauged) {
        sse_stream_count_waiting(stream);
    }
    ++stream->moved;
    stream->has_written = 1;
    if (is_out) {
        events = stream->begun.events - stream->sent.events;
        bytes = stream->begun.bytes - stream->sent.bytes;
        count_sent(stream);
    }
    pthread_mutex_unlock(&stream->lock);
    if (is_out) {
        sse_stream_count_written(stream, events, bytes);
    }
    sse_stream_drop_times(stream);
}

void sse_stream_drop_queue(sse_stream_t *stream, int is_last)
{
    pthread_mutex_lock(&stream->lock);
    sse_queue_clear(&stream->queue);
    if (is_last) {
        stream->in_flight = 0;
    }
    sse_stream_count_waiting(stream);
    pthread_mutex_unlock(&stream->lock);
}
