/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_wait.h
 * The waiting drive: with worker and prefork, over HTTP/2, and after internal
 * redirects the handler's thread waits for events and writes them.
 *
 * A stream that may hold its thread for a moment only "polls": it is sent what
 * is due, and ends; its client comes back by itself.
 *
 * Threads: the loop's, unless marked otherwise.
 */

#ifndef SSE_WAIT_H
#define SSE_WAIT_H

#include "mod_sse.h"

extern const struct sse_drive_t sse_wait_drive;

/** A new stream, of any drive.  Request thread. */
void sse_wait_prepare(sse_stream_t *stream);

/** Have the loop run the stream, write what it is fed, and return when its end
 *  was told.  Request thread. */
void sse_wait_run(sse_stream_t *stream);

/** The stream's thread is needed: end it as soon as it has been sent what is
 *  due, its client told to come again.  Any thread. */
void sse_wait_poll(sse_stream_t *stream);

/** The stream polls from now on: set its deadline. */
void sse_wait_poll_begin(sse_stream_t *stream);

/** Nothing waits to be written, or "ready" has returned: a stream that polls
 *  may be complete. */
void sse_wait_poll_drained(sse_stream_t *stream);

/** The deadline of a stream that polls has come. */
void sse_wait_poll_over(sse_stream_t *stream);

#endif /* SSE_WAIT_H */
