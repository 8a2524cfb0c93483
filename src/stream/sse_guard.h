/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_guard.h
 * Nothing follows a stream's head but the stream: no error page of a handler
 * that returned an error after sse_start(), no ErrorDocument.
 *
 * An output filter that lets bytes by only while the stream's writer has opened
 * it.  A protocol filter, as these stay when httpd makes an error page or
 * redirects internally.
 *
 * Threads: the writer's, see sse_stream_private.h.
 */

#ifndef SSE_GUARD_H
#define SSE_GUARD_H

#include <httpd.h>

/** In the request's pool. */
typedef struct {
    int is_open;   /**< the writer's: what comes is the stream's own */
    int has_ended; /**< the stream's end has gone by */
} sse_guard_t;

/** register_hooks. */
void sse_guard_register(void);

/** Closed, to begin with. */
sse_guard_t *sse_guard_add(request_rec *r);

#endif /* SSE_GUARD_H */
