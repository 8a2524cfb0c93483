/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_notify.h
 * Who is told of a stream's opening and of its end.
 *
 * Opening is told on the request's thread.  An end is told on a small pool of
 * threads, so that a listener that blocks delays no stream; where nobody
 * listens, no thread is made.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_NOTIFY_H
#define SSE_NOTIFY_H

#include "loop/sse_loop.h"
#include "mod_sse.h"
#include "store/sse_store.h"

/** An end to be told. */
typedef struct {
    sse_stream_t *stream;
    request_rec *r;    /**< whole until done has been posted */
    sse_close_t close; /**< without last_event_id and pool, which are made
                            here */
    sse_id_t last_id;  /**< 0: none */
    sse_loop_t *loop;
    sse_task_t *done;  /**< posted to the loop when all have been told */
} sse_ending_t;

/** Run the hook stream_open. Request thread. */
void sse_notify_open(sse_stream_t *stream, request_rec *r);

/** Have the end told; the argument is copied. loop. */
void sse_notify_end(const sse_ending_t *ending);

/** The name of a reason, as logs have it. Any thread. */
const char *sse_close_name(sse_close_reason_e reason);

#endif /* SSE_NOTIFY_H */
