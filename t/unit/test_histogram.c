/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/shared/sse_histogram: bounds, sums, and several threads at once. */

#include <pthread.h>
#include <stdlib.h>

#include "shared/sse_histogram.h"
#include "tap.h"

#define THREADS 4
#define TIMES   50000

static apr_uint64_t bound(int i)
{
    return (apr_uint64_t)sse_histogram_bounds[i] * 1000;
}

static void test_bounds(void)
{
    int i, ascending = 1, within = 1;

    for (i = 0; i < SSE_HISTOGRAM_BOUNDS; ++i) {
        ascending &= !i || bound(i - 1) < bound(i);
        within &= sse_histogram_index(bound(i)) == i &&
                  sse_histogram_index(bound(i) + 1) == i + 1 &&
                  sse_histogram_index(bound(i) - 1) == i;
    }
    ok(ascending, "bounds ascend");
    ok(within, "a bound is part of what it bounds");
    is_num(bound(0), 10 * 1000, "from 10 microseconds");
    is_num(bound(SSE_HISTOGRAM_BOUNDS - 1), 10LL * 1000 * 1000 * 1000,
           "to 10 seconds");
    is_num(sse_histogram_index(0), 0, "nothing is the least");
    is_num(sse_histogram_index(~(apr_uint64_t)0), SSE_HISTOGRAM_BOUNDS,
           "and all has a place");
}

static sse_histogram_t shared;

static void *add(void *baton)
{
    apr_uint64_t nsec;
    int i;

    for (i = 0; i < TIMES; ++i) {
        nsec = (apr_uint64_t)i % 4 * 40 * 1000;
        sse_histogram_add(&shared, nsec, 1);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[THREADS];
    sse_histogram_t sum = {{0}, 0};
    int i;

    for (i = 0; i < THREADS; ++i) {
        if (pthread_create(&threads[i], NULL, add, NULL)) {
            abort();
        }
    }
    for (i = 0; i < THREADS; ++i) {
        pthread_join(threads[i], NULL);
    }
    sse_histogram_merge(&sum, &shared);
    is_num(sum.counts[0], THREADS * TIMES / 4, "0: to 10");
    is_num(sum.counts[1], THREADS * TIMES / 4, "40: to 50");
    is_num(sum.counts[2], THREADS * TIMES / 4, "80: to 100");
    is_num(sum.counts[3], THREADS * TIMES / 4, "120: to 250");
    is_num(sum.sum, THREADS * (TIMES / 4) * 240LL * 1000, "their sum");
    sse_histogram_merge(&sum, &shared);
    is_num(sum.counts[3], THREADS * TIMES / 2, "two, added up");
    sse_histogram_add(&sum, 20 * APR_INT64_C(1000000000), 3);
    is_num(sum.counts[SSE_HISTOGRAM_BOUNDS], 3, "many, above all bounds");
    is_num(sum.sum, THREADS * (TIMES / 2) * 240LL * 1000 + 60000000000LL,
           "and their sum");
}

int main(void)
{
    test_bounds();
    test_threads();
    return done_testing();
}
