/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream_slow.c
 * Slow clients: those that read none of what waits for them for the time of
 * SSEQueue.
 *
 * How much waits says nothing: a burst fills any queue.  Progress is what the
 * client's machine has acknowledged, since a socket's buffer may hold megabytes
 * for which a slow client needs minutes; for an HTTP/2 stream, which shares its
 * connection, what the drive tells, or what mod_http2 has taken, in small
 * pieces.
 *
 * Each stream's own time is up to a quarter longer, so that the streams that
 * one burst has stopped do not end together.
 *
 * Threads: the loop's.
 */

#include "stream/sse_stream_private.h"

/* In the queue's time. */
#define LOOKS_PER_TIME 8
/* Where the queue has no time. */
#define DRAINS_MSEC 30000

/* A number that grows with everything that goes out. */
static apr_uint64_t progress_of(sse_stream_t *stream)
{
    apr_uint64_t moved;

    if (stream->drive->progress) {
        return stream->drive->progress(stream);
    }
    pthread_mutex_lock(&stream->lock);
    moved = stream->moved;
    pthread_mutex_unlock(&stream->lock);
    if (!stream->r->connection->master) {
        moved += sse_peer_acknowledged(sse_stream_fd(stream));
    }
    return moved;
}

static void look_later(sse_stream_t *stream, apr_uint64_t now)
{
    stream->slow.look_at = now + stream->slow.limit / LOOKS_PER_TIME + 1;
}

int sse_slow_watch(sse_stream_t *stream)
{
    sse_slow_t *slow = &stream->slow;
    apr_uint64_t time = (apr_uint64_t)apr_time_as_msec(stream->opts.queue_time);

    if (slow->look_at || !time || stream->opts.queue_drop) {
        return 0;
    }
    if (!slow->limit) {
        slow->limit =
            time + (apr_uint64_t)((double)time / 4 * sse_streams_spread());
    }
    slow->progress = progress_of(stream);
    slow->since = sse_loop_now(stream->loop);
    look_later(stream, slow->since);
    return 1;
}

/* A machine that does not answer at all is left to SSEDeadPeer, which may allow
 * it more time. */
int sse_slow_look(sse_stream_t *stream, apr_uint64_t now)
{
    sse_slow_t *slow = &stream->slow;
    apr_uint64_t progress;
    int is_drained;

    if (!slow->look_at || now < slow->look_at) {
        return 0;
    }
    is_drained = sse_stream_is_drained(stream);
    if (is_drained && !stream->drive->is_blocking) {
        slow->look_at = 0;
        return 0;
    }
    look_later(stream, now);
    progress = progress_of(stream);
    if (is_drained || progress != slow->progress ||
        (stream->opts.dead_peer && stream->silent_since)) {
        slow->progress = progress;
        slow->since = now;
    }
    return now - slow->since >= slow->limit;
}

int sse_slow_drains(sse_stream_t *stream)
{
    sse_slow_t *slow = &stream->slow;
    apr_uint64_t time = (apr_uint64_t)apr_time_as_msec(stream->opts.queue_time);
    apr_uint64_t now = sse_loop_now(stream->loop);
    apr_uint64_t progress = progress_of(stream);

    if (progress != slow->progress || !slow->since) {
        slow->progress = progress;
        slow->since = now;
    }
    return now - slow->since < (time ? time : DRAINS_MSEC);
}
