/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream_poll.c
 * A stream that may occupy its thread for a moment only "polls": it is sent
 * what is due and the id to come back with, and ends.  EventSource reconnects
 * by itself after the time of retry, and misses nothing.
 *
 * Threads: the loop's, but for sse_stream_poll().
 */

#include "stream/sse_stream_private.h"

#include "sse_atomic.h"

/* How long that may take; the rest is for the next poll. */
#define MOMENT_MSEC 5000

void sse_stream_poll_drained(sse_stream_t *stream)
{
    sse_id_t upto = 0;

    if (stream->polls && stream->phase == SSE_PHASE_OPEN &&
        sse_stream_reason(stream) == SSE_CLOSE_NONE &&
        !sse_atomic_load(&stream->is_readying) &&
        sse_stream_is_drained(stream) &&
        stream->source->is_caught_up(stream, stream->source_baton, &upto)) {
        sse_stream_dismiss(stream, SSE_CLOSE_POLL, upto);
    }
}

void sse_stream_poll_begin(sse_stream_t *stream)
{
    apr_uint64_t end = sse_loop_now(stream->loop) + MOMENT_MSEC;

    stream->polls = 1;
    if (!stream->deadline || stream->deadline > end) {
        stream->deadline = end;
    }
}

/* If its connection has broken meanwhile, it ends for that reason. */
void sse_stream_on_poll(sse_task_t *task)
{
    sse_stream_t *stream = sse_owner_of(task, sse_stream_t, poll_task);

    if (stream->phase == SSE_PHASE_NEW) {
        stream->polls = 1;
    }
    else if (stream->phase == SSE_PHASE_OPEN &&
             !stream->r->connection->aborted) {
        sse_stream_poll_begin(stream);
        sse_stream_arm(stream);
        sse_stream_poll_drained(stream);
    }
    sse_stream_release(stream);
}

void sse_stream_poll(sse_stream_t *stream)
{
    sse_stream_post(stream, &stream->poll_task);
}
