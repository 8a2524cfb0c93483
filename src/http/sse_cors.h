/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_cors.h
 * What browsers are told about the pages of other origins (SSEAllowOrigin):
 * the headers of CORS, as the Fetch standard has them.
 *
 * Threads: the request's.
 */

#ifndef SSE_CORS_H
#define SSE_CORS_H

#include <httpd.h>

/** Set Vary and, where SSEAllowOrigin allows the request's Origin, the
 *  Access-Control headers of a response.  Before its first byte. */
void sse_cors_answer(request_rec *r);

/** Set the headers that answer a preflight request; nothing if it is none.
 *  @param reading the methods that an origin allowed by "*" may use
 *  @param all those that a listed origin may use */
void sse_cors_preflight(request_rec *r, const char *reading, const char *all);

/** Whether SSEAllowOrigin names this origin; "*" names none. */
int sse_cors_lists(const request_rec *r, const char *origin);

#endif /* SSE_CORS_H */
