/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_notify.h
 * Who is told of an opening and of an end: the hooks, and the request's own
 * callbacks.
 *
 * Opening is told on the request's thread.  An end is told on a small pool of
 * threads, so that a listener that blocks delays no stream; where nobody
 * listens, no thread is made.  Where somebody does, the pool's first thread is
 * there before anything opens, so that every end can be told.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_NOTIFY_H
#define SSE_NOTIFY_H

#include "loop/sse_loop.h"
#include "mod_sse.h"
#include "notify/sse_callbacks.h"

/** An end to be told. */
typedef struct {
    sse_stream_t *stream;   /**< NULL: a watched request that is no stream */
    request_rec *r;         /**< whole until done has been posted */
    int run_hooks;          /**< stream_open was run for it */
    sse_close_t close;      /**< without last_event_id and pool, made here */
    char last_event_id[40]; /**< a store's id; empty: none */
    char *last_event_text;  /**< instead, an application's own id, malloc'ed;
                                 or NULL.  Taken over */
    sse_callbacks_t *callbacks;
    sse_task_t *done; /**< posted to the loop when all have been told */
    sse_loop_t *loop;
} sse_ending_t;

/** Have a thread that tells of ends, if anybody listens to all of them.  Before
 *  stream_open is run.  Any thread.
 *  @return an error: there is none, and nothing may be opened */
apr_status_t sse_notify_reserve(void);

/** Run the hook stream_open. Request thread. */
void sse_notify_open(sse_stream_t *stream, request_rec *r);

/** Have the end told; the argument is copied. loop. */
void sse_notify_end(const sse_ending_t *ending);

/** The name of a reason, as logs have it. Any thread. */
const char *sse_close_name(sse_close_reason_e reason);

/** Whether the client is the one who left. Any thread. */
int sse_close_by_client(sse_close_reason_e reason);

#endif /* SSE_NOTIFY_H */
