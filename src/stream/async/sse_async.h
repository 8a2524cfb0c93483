/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async.h
 * The asynchronous drive: with the event MPM and HTTP/1.x the loop owns a
 * stream's connection, and no thread waits.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_ASYNC_H
#define SSE_ASYNC_H

#include <httpd.h>

#include "loop/sse_loop.h"
#include "mod_sse.h"

/* -- For mod_sse.c --------------------------------------------------------- */

/** register_hooks: the output filters of asynchronous connections. */
void sse_async_register(void);

/** suspend_connection hook: the loop may take the connection over.  The MPM's
 *  thread. */
void sse_async_suspended(conn_rec *c, request_rec *r);

/** post_read_request hook: a connection that is the loop's keeps its protocol.
 *  Request thread. */
int sse_async_keep_protocol(request_rec *r);

/* -- For the stream -------------------------------------------------------- */

extern const struct sse_drive_t sse_async_drive;

/** child_init. */
void sse_async_init(sse_loop_t *loop);

/** A new stream of this drive.  Request thread. */
void sse_async_prepare(sse_stream_t *stream);

/** Have the loop run the stream as soon as the MPM has suspended its
 *  connection.  Request thread.
 *  @return SUSPENDED, for the handler to return */
int sse_async_run(sse_stream_t *stream);

#endif /* SSE_ASYNC_H */
