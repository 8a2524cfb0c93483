/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_retry.h"

sse_hook_verdict_e sse_hook_retry_verdict(long status)
{
    if (status >= 200 && status <= 299) {
        return SSE_HOOK_SENT;
    }
    return status == 408 || status == 425 || status == 429 ||
                   (status >= 500 && status <= 599)
               ? SSE_HOOK_AGAIN
               : SSE_HOOK_FINAL;
}

/* Marsaglia's xorshift. */
static apr_uint32_t next_random(apr_uint32_t *seed)
{
    apr_uint32_t x = *seed;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *seed = x;
    return x;
}

/* Doubled each time; a quarter more or less, so that the children of a server,
 * which have met the same failure, do not come back together. */
apr_interval_time_t sse_hook_retry_delay(int failures, apr_uint32_t *seed)
{
    apr_interval_time_t delay = SSE_HOOK_RETRY_MAX;

    if (failures <= 7) {
        delay = SSE_HOOK_RETRY_MIN << (failures - 1);
    }
    delay +=
        delay * ((apr_interval_time_t)(next_random(seed) % 1001) - 500) / 2000;
    return delay < SSE_HOOK_RETRY_MIN   ? SSE_HOOK_RETRY_MIN
           : delay > SSE_HOOK_RETRY_MAX ? SSE_HOOK_RETRY_MAX
                                        : delay;
}
