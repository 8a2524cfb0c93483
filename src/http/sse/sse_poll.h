/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_poll.h
 * Whether a GET asks for a stream or for a long poll, and what it wants of the
 * latter: "wait" (Prefer, or the query) and "limit" (the query).
 *
 * Threads: the request's.
 */

#ifndef SSE_POLL_H
#define SSE_POLL_H

#include <httpd.h>

#include "stream/sse_stream.h"

/** What the request's Accept asks for, where it prefers neither: a stream.
 *  @return NULL: it rules out both */
const sse_format_t *sse_poll_format(request_rec *r);

/** What a request for a long poll says.  Sets Preference-Applied.
 *  @param poll out, without "last"
 *  @return OK, or DONE, which the handler is to return: it is answered 400 */
int sse_poll_read(request_rec *r, sse_poll_t *poll);

#endif /* SSE_POLL_H */
