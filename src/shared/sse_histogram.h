/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_histogram.h
 * How long something takes, as a histogram: how many times it took at most so
 * long, for a fixed row of bounds, which is what Prometheus reads.
 *
 * The bounds are the same for all and never change while the server runs, so
 * histograms of several children can be added up.
 *
 * Threads: any, at the same time; each number is atomic.  A reader may see a
 * time in the counts that is not in the sum yet.
 */

#ifndef SSE_HISTOGRAM_H
#define SSE_HISTOGRAM_H

#include <apr.h>

typedef enum {
    SSE_HISTOGRAM_DELIVERY, /**< from an event's append to the kernel having
                                 taken its last byte for a client */
    SSE_HISTOGRAM_CLOSE,    /**< from when a stream's end is known to when its
                                 listeners are called */
    SSE_HISTOGRAM_LAG,      /**< a turn of a child's loop, which is how long it
                                 may keep waiting what becomes ready */
    SSE_HISTOGRAMS
} sse_histogram_e;

#define SSE_HISTOGRAM_BOUNDS 18

/** Finite upper bounds, inclusive, in microseconds, ascending. */
extern const apr_uint32_t sse_histogram_bounds[SSE_HISTOGRAM_BOUNDS];

/** All zero: empty. */
typedef struct {
    /** Not cumulative.  The last one: above all bounds. */
    apr_uint64_t counts[SSE_HISTOGRAM_BOUNDS + 1];
    apr_uint64_t sum; /**< nanoseconds */
} sse_histogram_t;

/** The index in counts of a time in nanoseconds. */
int sse_histogram_index(apr_uint64_t nsec);

/** Count many that took so long. */
void sse_histogram_add(sse_histogram_t *histogram, apr_uint64_t nsec,
                       apr_uint64_t many);

/** Add what another one has.  The other one may be in use; this one not. */
void sse_histogram_merge(sse_histogram_t *into, const sse_histogram_t *from);

#endif /* SSE_HISTOGRAM_H */
