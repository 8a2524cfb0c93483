/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_retry.h
 * What becomes of a webhook by its target's answer, and when it is sent again.
 *
 * Threads: any.
 */

#ifndef SSE_HOOK_RETRY_H
#define SSE_HOOK_RETRY_H

#include <apr_time.h>

/** How long a call is tried, from when it happened. */
#define SSE_HOOK_RETRY_LIFE apr_time_from_sec(15 * 60)
/** Between two attempts: at least, at most. */
#define SSE_HOOK_RETRY_MIN apr_time_from_msec(500)
#define SSE_HOOK_RETRY_MAX apr_time_from_sec(60)
/** The longest Retry-After that is followed: some attempts are left. */
#define SSE_HOOK_RETRY_AFTER_MAX apr_time_from_sec(5 * 60)

typedef enum {
    SSE_HOOK_SENT,  /**< it was accepted */
    SSE_HOOK_FINAL, /**< it was refused, for good */
    SSE_HOOK_AGAIN, /**< it failed, and others may not: it waits */
    SSE_HOOK_DOWN   /**< the target cannot be reached: all its calls wait */
} sse_hook_verdict_e;

/** By the status of an answer. */
sse_hook_verdict_e sse_hook_retry_verdict(long status);

/** How long to wait after so many failures, with jitter.
 *  @param failures at least 1
 *  @param seed of random numbers; any but 0 at first */
apr_interval_time_t sse_hook_retry_delay(int failures, apr_uint32_t *seed);

#endif /* SSE_HOOK_RETRY_H */
