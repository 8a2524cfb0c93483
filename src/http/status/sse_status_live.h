/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_status_live.h
 * The numbers as a stream, for the page: an event "status" each second, made
 * once for all streams of a child, and only while there is one.
 *
 * Threads: as stated.
 */

#ifndef SSE_STATUS_LIVE_H
#define SSE_STATUS_LIVE_H

#include <httpd.h>

#include "loop/sse_loop.h"

/** child_init, before the loop is started. */
void sse_status_live_init(sse_loop_t *loop);

/** Open such a stream.  It counts as any other, but has no channel.  The
 *  request's thread.  @return for the handler to return */
int sse_status_live(request_rec *r);

#endif /* SSE_STATUS_LIVE_H */
