/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_wait.h
 * The waiting drive: with worker and prefork, over HTTP/2, and after internal
 * redirects the handler's thread waits for events and writes them.
 *
 * Threads: the loop's, unless marked otherwise.
 */

#ifndef SSE_WAIT_H
#define SSE_WAIT_H

#include "mod_sse.h"

extern const struct sse_drive_t sse_wait_drive;

/** Have the loop run the stream, write what it is fed, and return when its end
 *  was told.  Request thread. */
void sse_wait_run(sse_stream_t *stream);

#endif /* SSE_WAIT_H */
