/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_streams.c
 * All open streams of this child, and how they end when it leaves.
 */

#include "stream/sse_stream_private.h"

#include <stdlib.h>
#include <unistd.h>

/* A graceful end is spread over so many steps, so that not all clients come
 * back at the same time. */
#define LEAVE_STEPS     50
#define LEAVE_STEP_MSEC 15

/* loop */
static struct {
    sse_loop_t *loop; /* const */
    TAILQ_HEAD(, sse_stream_t) streams;
    unsigned int n; /* of them */
    unsigned int per_step;
    uv_timer_t step;
    unsigned int seed;
} all = {.streams = TAILQ_HEAD_INITIALIZER(all.streams)};

double sse_streams_spread(void) { return (double)rand_r(&all.seed) / RAND_MAX; }

/* Ended streams stay in the list until their end has been told. */
static void end_some(unsigned int most)
{
    sse_stream_t *stream;

    TAILQ_FOREACH(stream, &all.streams, link)
    {
        if (most && sse_stream_reason(stream) == SSE_CLOSE_NONE) {
            sse_stream_dismiss(stream, SSE_CLOSE_SHUTDOWN, 0);
            --most;
        }
    }
}

static void on_step(uv_timer_t *timer)
{
    end_some(all.per_step);
    if (TAILQ_EMPTY(&all.streams)) {
        uv_timer_stop(timer);
    }
}

/* One that was ended before may be gone after that. */
static void end_all(sse_close_reason_e reason)
{
    sse_stream_t *stream, *next;

    for (stream = TAILQ_FIRST(&all.streams); stream; stream = next) {
        next = TAILQ_NEXT(stream, link);
        sse_stream_dismiss(stream, reason, 0);
        sse_stream_cut_short(stream);
    }
}

static void on_leave(sse_leave_e how)
{
    if (how == SSE_LEAVE_AT_ONCE) {
        uv_timer_stop(&all.step);
        end_all(SSE_CLOSE_STOP);
        return;
    }
    all.per_step = all.n / LEAVE_STEPS + 1;
    uv_timer_start(&all.step, on_step, 0, LEAVE_STEP_MSEC);
}

void sse_streams_add(sse_stream_t *stream)
{
    TAILQ_INSERT_HEAD(&all.streams, stream, link);
    ++all.n;
    sse_leave_watch_signals();
    if (sse_leave_how() != SSE_STAY) {
        sse_loop_urge(all.loop);
    }
}

void sse_streams_remove(sse_stream_t *stream)
{
    TAILQ_REMOVE(&all.streams, stream, link);
    --all.n;
}

void sse_streams_init(sse_loop_t *loop)
{
    all.loop = loop;
    all.seed = (unsigned int)apr_time_now() ^ (unsigned int)getpid();
    uv_timer_init(sse_loop_uv(loop), &all.step);
    sse_leave_add(on_leave);
}
