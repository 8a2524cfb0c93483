/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file clock.h
 * The machine's clock as a test sets it, so that what gets old does so at once,
 * and only then.
 *
 * Threads: step is atomic.
 */

#ifndef SSE_TEST_CLOCK_H
#define SSE_TEST_CLOCK_H

#include <sys/time.h>

#include "store/lmdb/sse_lmdb.h"

static apr_time_t step; /* how far ahead it is; atomic */

apr_time_t apr_time_now(void)
{
    struct timeval tv;

    gettimeofday(&tv, NULL);
    return (apr_time_t)tv.tv_sec * APR_USEC_PER_SEC + tv.tv_usec +
           __atomic_load_n(&step, __ATOMIC_SEQ_CST);
}

/** From now on that store goes by the clock, as if each of its transactions
 * were in another boot of the machine. */
static inline void test_by_clock(sse_store_t *store)
{
    ((sse_lmdb_t *)store)->boot = 0;
}

#endif /* SSE_TEST_CLOCK_H */
