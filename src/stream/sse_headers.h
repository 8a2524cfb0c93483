/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_headers.h
 * Response headers are sent when a stream starts; changing them later has no
 * effect, which the log then says.
 *
 * Threads: sse_headers_keep() the request's; sse_headers_warn() the one that
 * owns the request at its end.
 */

#ifndef SSE_HEADERS_H
#define SSE_HEADERS_H

#include <httpd.h>

/** A snapshot of the response's headers, in the request's pool. */
typedef struct sse_headers_t sse_headers_t;

sse_headers_t *sse_headers_keep(request_rec *r);

/** Log one warning that names the headers which were set, changed or removed
 *  since. */
void sse_headers_warn(request_rec *r, const sse_headers_t *headers);

#endif /* SSE_HEADERS_H */
