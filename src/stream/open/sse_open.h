/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_open.h
 * Opening a stream: limits and threads, the response's head, the choice of the
 * drive, and running it.  The one file of src/stream that knows both drives.
 *
 * Threads: the request's, except for sse_open_init().
 */

#ifndef SSE_OPEN_H
#define SSE_OPEN_H

#include "stream/sse_stream.h"

/** child_init, before the loop is started.
 *  @param is_async whether the MPM can suspend connections */
void sse_open_init(sse_loop_t *loop, int is_async);

/** The settings in force for this request. */
void sse_open_opts(request_rec *r, sse_stream_opts_t *opts);

/**
 * Send the head and run the stream.
 * @return for the handler to return: SUSPENDED, or OK when all is over; the
 *         request may be gone by then.  Or a refusal, nothing having been sent:
 *         HTTP_SERVICE_UNAVAILABLE (SSEMaxStreams, SSEMaxThreads, no thread for
 *         callbacks) and HTTP_TOO_MANY_REQUESTS (SSEMaxStreamsPerClient), with
 *         Retry-After and the note sse-refused set; or as
 *         sse_open_check_http2()
 */
int sse_open_run(request_rec *r, const sse_stream_plan_t *plan);

/** Whether the request's host has streams over HTTP/2, if that is how it came.
 *  @return OK; HTTP_MISDIRECTED_REQUEST: it came over another host's connection
 *          while its own host has no HTTP/2: answered 421, a browser makes a
 *          new connection; HTTP_SERVICE_UNAVAILABLE: SSEHTTP2 Off, with the
 *          note sse-refused set, counted unless it is a HEAD */
int sse_open_check_http2(request_rec *r);

/** Set the headers of a stream's response (HEAD; a child that is leaving). */
void sse_open_head(request_rec *r, const sse_format_t *format);

#endif /* SSE_OPEN_H */
