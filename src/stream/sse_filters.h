/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_filters.h
 * Whether a response's output filters may be run on the loop.
 *
 * One that sleeps, or waits for a program, would hold up all streams of the
 * child.  Nothing tells from outside which do, so those are trusted that are
 * known not to, and those that the administrator names.
 *
 * Threads: the request's.
 */

#ifndef SSE_FILTERS_H
#define SSE_FILTERS_H

#include <httpd.h>

/** The first of the request's output filters that may wait, or NULL.  To be
 *  asked when the first bytes have been sent: filters that have nothing to do
 *  here have taken themselves out by then. */
const char *sse_filters_waiting(request_rec *r);

#endif /* SSE_FILTERS_H */
