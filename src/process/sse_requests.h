/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_requests.h
 * How many requests this child is busy with, of any handler.
 *
 * A child that leaves may go without a callback that does not return, but not
 * while anybody else's response is on its way.
 *
 * Threads: any.
 */

#ifndef SSE_REQUESTS_H
#define SSE_REQUESTS_H

#include <httpd.h>

/** post_read_request hook: count what a client sent, until its memory goes,
 *  which is when the response has been written. */
int sse_requests_begin(request_rec *r);

apr_uint32_t sse_requests_count(void);

#endif /* SSE_REQUESTS_H */
