/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream_poll.c
 * A stream that may hold its thread for a moment only: it is sent what is due,
 * and the id that it may come back with, and ends.  EventSource then comes
 * again by itself, after the time of retry, and misses nothing.
 *
 * Threads: the loop's, but for sse_stream_poll().
 */

#include "stream/sse_stream_private.h"

#include <apr_strings.h>

#include "sse_atomic.h"

/* How long that may take; what is not sent by then the next one is sent. */
#define MOMENT_MSEC 5000
/* The longest that clients wait between two. */
#define RETRY_MAX_MSEC 5000

/* Half to one and a half of SSERetry, so that not all come at once. */
static void push_goodbye(sse_stream_t *stream, sse_id_t upto)
{
    apr_int64_t retry = apr_time_as_msec(stream->opts.retry);
    sse_fields_t fields = SSE_FIELDS_NONE;
    char id[24];
    sse_buf_t *buf;

    if (retry > RETRY_MAX_MSEC) {
        retry = RETRY_MAX_MSEC;
    }
    if (retry) {
        fields.retry =
            retry / 2 + (apr_int64_t)((double)retry * sse_streams_spread());
    }
    if (upto) {
        apr_snprintf(id, sizeof(id), "%" APR_UINT64_T_FMT, upto);
        fields.id = sse_slice(id);
    }
    if (retry || upto) {
        buf = sse_buf_format(&fields, upto);
        sse_stream_push(stream, buf, SSE_PUSH_ALWAYS);
        sse_buf_release(buf);
    }
}

static int may_end(sse_stream_t *stream)
{
    return stream->polls && stream->phase == SSE_PHASE_OPEN &&
           sse_stream_reason(stream) == SSE_CLOSE_NONE &&
           !sse_atomic_load(&stream->is_readying) &&
           sse_stream_is_drained(stream);
}

void sse_stream_poll_drained(sse_stream_t *stream)
{
    sse_id_t upto = 0;

    if (may_end(stream) &&
        stream->source->is_caught_up(stream, stream->source_baton, &upto)) {
        push_goodbye(stream, upto);
        sse_stream_end(stream, SSE_CLOSE_POLL, APR_SUCCESS);
    }
}

void sse_stream_poll_over(sse_stream_t *stream)
{
    push_goodbye(stream, 0);
    sse_stream_end(stream, SSE_CLOSE_POLL, APR_SUCCESS);
}

void sse_stream_poll_begin(sse_stream_t *stream)
{
    apr_uint64_t end = sse_loop_now(stream->loop) + MOMENT_MSEC;

    stream->polls = 1;
    if (!stream->deadline || stream->deadline > end) {
        stream->deadline = end;
    }
}

/* One whose connection has just gone, too, ends for that. */
static void on_poll(sse_task_t *task)
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

void sse_stream_poll_init(sse_stream_t *stream, int polls)
{
    stream->polls = polls;
    stream->poll_task.run = on_poll;
}

void sse_stream_poll(sse_stream_t *stream)
{
    sse_stream_post(stream, &stream->poll_task);
}
