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
    if (!stream->drive->is_blocking) {
        return SSE_COUNTER_STREAMS_ASYNC;
    }
    return stream->r->connection->master ? SSE_COUNTER_STREAMS_WAITING_H2
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

/* Most writes have one event; a burst's may have thousands. */
static void add_time(sse_times_t *times, apr_uint64_t time)
{
    if (!times->n) {
        times->first = time;
    }
    else if (times->n > times->size) {
        times->size = times->size ? times->size * 2 : 16;
        times->more = realloc(times->more, times->size * sizeof(time));
        if (!times->more) {
            abort();
        }
    }
    if (times->n) {
        times->more[times->n - 1] = time;
    }
    ++times->n;
}

/* What was appended before the stream was there is its history: how long ago
 * that was says nothing of the server. */
void sse_stream_count_begun(sse_stream_t *stream, const sse_buf_t *buf)
{
    if (buf->events && buf->appended && buf->appended >= stream->began) {
        add_time(&stream->times, buf->appended);
    }
}

/* One addition for each number, however many events; times one by one. */
void sse_stream_count_written(sse_stream_t *stream, apr_uint64_t events,
                              apr_off_t bytes)
{
    const sse_times_t *times = &stream->times;
    apr_uint64_t now = times->n ? uv_hrtime() : 0, time;
    apr_uint32_t i;

    sse_counters_add(SSE_COUNTER_DELIVERED_BYTES, bytes);
    if (events) {
        sse_counters_add(SSE_COUNTER_DELIVERED, (apr_int64_t)events);
    }
    for (i = 0; i < times->n; ++i) {
        time = i ? times->more[i - 1] : times->first;
        sse_counters_observe(SSE_HISTOGRAM_DELIVERY,
                             now > time ? now - time : 0);
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
