/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream_count.c
 * What a stream adds to the numbers of all children (sse_counters.h).
 */

#include "stream/sse_stream_private.h"

#include "shared/sse_counters.h"

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
