/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_reply.h
 * Responses that are no stream: an error, some JSON, or no body at all, with
 * the CORS headers of the location.
 *
 * Threads: the request's.
 */

#ifndef SSE_REPLY_H
#define SSE_REPLY_H

#include <httpd.h>

#include "event/sse_event.h"

/** Answer with a JSON body {"error":"..."}, and log the text at debug.
 *  @return OK: the response is written */
int sse_reply_error(request_rec *r, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Answer with this JSON text. @return OK */
int sse_reply_json(request_rec *r, int status, const char *json,
                   apr_size_t len);

/** Answer with these bytes, which must live as long as the request, or be
 *  static. @return OK */
int sse_reply_body(request_rec *r, int status, const char *type,
                   const char *body, apr_size_t len);

/** Answer without a body. @return OK */
int sse_reply_empty(request_rec *r, int status);

/** These bytes as a JSON string, see sse_json_quote(). */
const char *sse_reply_quote(apr_pool_t *pool, sse_slice_t text);

#endif /* SSE_REPLY_H */
