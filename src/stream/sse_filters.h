/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_filters.h
 * Whether a response's output filters may run on the loop.
 *
 * A filter that sleeps or waits for a program would block all streams of the
 * child.  So only filters that are known not to, and those that SSETrustFilter
 * names, are trusted.
 *
 * Threads: the request's.
 */

#ifndef SSE_FILTERS_H
#define SSE_FILTERS_H

#include <httpd.h>

/** The first of the request's output filters that may block, or NULL.  Call it
 *  when the first bytes have been sent: filters that have nothing to do here
 *  have removed themselves by then. */
const char *sse_filters_waiting(request_rec *r);

#endif /* SSE_FILTERS_H */
