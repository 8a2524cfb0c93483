/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream_count.c
 * What a stream adds to the numbers of all children (sse_counters.h).
 */

#include "stream/sse_stream_private.h"

#include <stdlib.h>

#include "shared/sse_counters.h"

/* -- Streams --------------------------------------------------------------- */

/* There is a counter for each reason. */
typedef char reasons_fit[SSE_CLOSE_POLL < SSE_COUNTER_REASONS ? 1 : -1];
typedef char crash_fits[SSE_CLOSE_CRASH == SSE_COUNTER_CRASH ? 1 : -1];

static int gauge_of(const sse_stream_t *stream)
{
    int is_http2 = stream->r->connection->master != NULL;

    if (!stream->drive->is_blocking) {
        return is_http2 ? SSE_COUNTER_STREAMS_ASYNC_H2
                        : SSE_COUNTER_STREAMS_ASYNC;
    }
    return is_http2 ? SSE_COUNTER_STREAMS_WAITING_H2
                    : SSE_COUNTER_STREAMS_WAITING_H1;
}

/* The gauge last, and first at the end: it never has more than are open.  A
 * stream's drive may change (see sse_async_drive.c), its gauge does not. */
void sse_stream_count_opened(sse_stream_t *stream)
{
    stream->gauge = gauge_of(stream);
    sse_counters_add(SSE_COUNTER_OPENED, 1);
    sse_counters_add(stream->gauge, 1);
}

void sse_stream_count_closed(sse_stream_t *stream)
{
    sse_counters_add(stream->gauge, -1);
    sse_counters_add(SSE_COUNTER_CLOSED + sse_stream_reason(stream), 1);
}

/* -- What they send -------------------------------------------------------- */

/* What is written at once never gets there: it waits for the loop, and not for
 * its client.  From when it does not go out, what comes is added. */
void sse_stream_count_waiting(sse_stream_t *stream)
{
    apr_size_t waits = stream->queue.bytes + stream->in_flight;

    if (waits != stream->gauged) {
        sse_counters_add(SSE_COUNTER_QUEUE_BYTES,
                         (apr_int64_t)waits - (apr_int64_t)stream->gauged);
        stream->gauged = waits;
    }
}

static sse_time_t *time_at(sse_times_t *times, apr_uint32_t i)
{
    return i ? &times->more[i - 1] : &times->first;
}

/* Most writes have one event, or those of one batch, which were appended at the
 * same time.  What has waited may have thousands. */
static void add_time(sse_times_t *times, apr_uint64_t time)
{
    sse_time_t *last = times->n ? time_at(times, times->n - 1) : NULL;

    if (last && last->time == time) {
        ++last->events;
        return;
    }
    if (times->n > times->size) {
        times->size = times->size ? times->size * 2 : 16;
        times->more = realloc(times->more, times->size * sizeof(*times->more));
        if (!times->more) {
            abort();
        }
    }
    *time_at(times, times->n++) = (sse_time_t){time, 1};
}

/* What was appended before the stream was there is its history: how long ago
 * that was says nothing of the server. */
void sse_stream_count_begun(sse_stream_t *stream, const sse_buf_t *buf)
{
    if (buf->events && buf->appended && buf->appended >= stream->began) {
        add_time(&stream->times, buf->appended);
    }
}

static void count_times(sse_times_t *times)
{
    apr_uint64_t now = uv_hrtime(), nsec;
    const sse_time_t *time;
    apr_uint32_t i;

    for (i = 0; i < times->n; ++i) {
        time = time_at(times, i);
        nsec = now > time->time ? now - time->time : 0;
        sse_counters_observe_many(SSE_HISTOGRAM_DELIVERY, nsec, time->events);
    }
}

void sse_stream_count_written(sse_stream_t *stream, apr_uint64_t events,
                              apr_off_t bytes)
{
    sse_counters_add(SSE_COUNTER_DELIVERED_BYTES, bytes);
    if (events) {
        sse_counters_add(SSE_COUNTER_DELIVERED, (apr_int64_t)events);
    }
    if (stream->times.n) {
        count_times(&stream->times);
    }
}

void sse_stream_drop_times(sse_stream_t *stream)
{
    sse_times_t *times = &stream->times;

    times->n = 0;
    if (times->more) {
        free(times->more);
        times->more = NULL;
        times->size = 0;
    }
}
