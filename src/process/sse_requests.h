/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_requests.h
 * The number of this child's requests, of any handler.
 *
 * A child that leaves does not wait for a callback that hangs, but it does wait
 * for the responses of other requests.
 *
 * Threads: any.
 */

#ifndef SSE_REQUESTS_H
#define SSE_REQUESTS_H

#include <httpd.h>

/** post_read_request hook: count a request until its pool is destroyed, when
 *  its response has been written. */
int sse_requests_begin(request_rec *r);

/** The requests now. */
apr_uint32_t sse_requests_count(void);

#endif /* SSE_REQUESTS_H */
