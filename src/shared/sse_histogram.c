/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "shared/sse_histogram.h"

#include "sse_atomic.h"

const apr_uint32_t sse_histogram_bounds[SSE_HISTOGRAM_BOUNDS] = {
    10,    50,    100,    250,    500,    1000,    2500,    5000,    10000,
    25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

int sse_histogram_index(apr_uint64_t nsec)
{
    int low = 0, high = SSE_HISTOGRAM_BOUNDS, mid;

    while (low < high) {
        mid = (low + high) / 2;
        if (nsec <= (apr_uint64_t)sse_histogram_bounds[mid] * 1000) {
            high = mid;
        }
        else {
            low = mid + 1;
        }
    }
    return low;
}

void sse_histogram_add(sse_histogram_t *histogram, apr_uint64_t nsec,
                       apr_uint64_t many)
{
    sse_atomic_add(&histogram->counts[sse_histogram_index(nsec)], many);
    sse_atomic_add(&histogram->sum, nsec * many);
}

void sse_histogram_merge(sse_histogram_t *into, const sse_histogram_t *from)
{
    int i;

    for (i = 0; i <= SSE_HISTOGRAM_BOUNDS; ++i) {
        into->counts[i] += sse_atomic_load(&from->counts[i]);
    }
    into->sum += sse_atomic_load(&from->sum);
}
