/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream_poll.c
 * Streams that end when their client has what is due, with the id to come back
 * with.  Such a client misses nothing.
 *
 * A stream that may occupy its thread for a moment only "polls": it is sent
 * what there is, and ends.  EventSource reconnects by itself after the time of
 * retry.
 *
 * A long poll is what its client has asked for: it ends once there are events,
 * or after its wait, or with as many events as its limit says.  Its end is
 * decided before its queue is written, so that events and the last bytes leave
 * together.  It may have to poll, too: then it waits for nothing.
 *
 * Threads: the loop's, but for sse_stream_poll() and sse_stream_is_long().
 */

#include "stream/sse_stream_private.h"

#include "shared/sse_counters.h"
#include "sse_atomic.h"

/* How long a poll may take; the rest is for the next one. */
#define MOMENT_MSEC 5000
/* The longest that clients wait between two polls; and how long one does that
 * has no SSERetry, but must not come at once. */
#define RETRY_MSEC    5000
#define NO_RETRY_MSEC 2000

int sse_stream_is_long(const sse_stream_t *stream)
{
    return stream->poll.limit != 0;
}

/* It is to be sent what there is: more than that is not waited for. */
static int is_momentary(const sse_stream_t *stream)
{
    return stream->polls || (sse_stream_is_long(stream) && !stream->poll.wait);
}

static apr_uint64_t count_queued(sse_stream_t *stream)
{
    apr_uint64_t n;

    pthread_mutex_lock(&stream->lock);
    n = stream->queued;
    pthread_mutex_unlock(&stream->lock);
    return n;
}

/* As many events as it may have: its source has more, or thinks that it has
 * given more. */
static int is_full(sse_stream_t *stream)
{
    return sse_stream_is_long(stream) &&
           count_queued(stream) >= stream->poll.limit;
}

/* Whether it ends here, if its source has given all. */
static int is_ready(sse_stream_t *stream)
{
    if (!sse_stream_is_long(stream)) {
        return stream->polls && sse_stream_is_drained(stream);
    }
    return is_momentary(stream) || count_queued(stream);
}

static int is_open(const sse_stream_t *stream)
{
    return stream->phase == SSE_PHASE_OPEN &&
           sse_stream_reason(stream) == SSE_CLOSE_NONE;
}

void sse_stream_poll_look(sse_stream_t *stream)
{
    sse_id_t upto = 0;

    if (!is_open(stream) || sse_atomic_load(&stream->is_readying)) {
        return;
    }
    if (is_full(stream) ||
        (is_ready(stream) &&
         stream->source->is_caught_up(stream, stream->source_baton, &upto))) {
        sse_stream_dismiss(stream, SSE_CLOSE_POLL, upto);
    }
}

sse_id_t sse_stream_poll_upto(sse_stream_t *stream)
{
    sse_id_t upto = 0;

    if (!sse_stream_is_long(stream) || !is_open(stream) || is_full(stream) ||
        !stream->source->is_caught_up(stream, stream->source_baton, &upto)) {
        return 0;
    }
    return upto;
}

apr_int64_t sse_stream_poll_retry(sse_stream_t *stream,
                                  sse_close_reason_e reason)
{
    apr_int64_t retry = apr_time_as_msec(stream->opts.retry);

    if (sse_stream_is_long(stream)) {
        if (reason != SSE_CLOSE_SHUTDOWN && reason != SSE_CLOSE_STOP &&
            !(stream->polls && stream->poll.wait)) {
            return 0;
        }
        retry = retry ? retry : NO_RETRY_MSEC;
    }
    return reason == SSE_CLOSE_POLL && retry > RETRY_MSEC ? RETRY_MSEC : retry;
}

void sse_stream_poll_count(sse_stream_t *stream)
{
    if (sse_stream_is_long(stream) && sse_stream_is_complete(stream) &&
        !sse_atomic_load(&stream->is_dead)) {
        sse_counters_add(SSE_COUNTER_POLLS, 1);
    }
}

/* -- When it ends at the latest -------------------------------------------- */

static void end_within(sse_stream_t *stream, apr_uint64_t msec)
{
    apr_uint64_t end = sse_loop_now(stream->loop) + msec;

    if (!stream->deadline || stream->deadline > end) {
        stream->deadline = end;
        stream->is_age = 0;
    }
}

static void begin(sse_stream_t *stream)
{
    stream->polls = 1;
    end_within(stream, MOMENT_MSEC);
}

/* Up to a tenth earlier, so that not all end at the same time. */
void sse_stream_poll_open(sse_stream_t *stream)
{
    apr_uint64_t wait = (apr_uint64_t)apr_time_as_msec(stream->poll.wait);

    if (stream->polls) {
        begin(stream);
    }
    else if (is_momentary(stream)) {
        end_within(stream, MOMENT_MSEC);
    }
    else if (sse_stream_is_long(stream)) {
        end_within(stream, wait - (apr_uint64_t)((double)wait / 10 *
                                                 sse_streams_spread()));
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
             !sse_conn_is_aborted(stream->r->connection)) {
        begin(stream);
        sse_stream_arm(stream);
        sse_stream_poll_look(stream);
    }
    sse_stream_release(stream);
}

void sse_stream_poll(sse_stream_t *stream)
{
    sse_stream_post(stream, &stream->poll_task);
}
