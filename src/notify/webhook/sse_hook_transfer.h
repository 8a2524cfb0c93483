/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_transfer.h
 * One POST to a webhook's target by libcurl, and what its answer means.  A
 * transfer is one request at a time, and used again for the next one to the
 * same target, as preparing it costs more than sending.
 *
 * Connections are libcurl's, kept alive and shared by the transfers of its
 * multi handle.  Neither proxies, redirects, cookies nor .netrc are used,
 * whatever the environment says.  An answer's body is read and thrown away, up
 * to a bound, but for its first bytes, which the log shows.
 *
 * Threads: one, the sender's.
 */

#ifndef SSE_HOOK_TRANSFER_H
#define SSE_HOOK_TRANSFER_H

#include <curl/curl.h>

#include "notify/webhook/sse_hook_letter.h"
#include "notify/webhook/sse_hook_retry.h"
#include "notify/webhook/sse_hook_target.h"

typedef struct sse_transfer_t sse_transfer_t;

/** An answer, or why there is none. */
typedef struct {
    sse_hook_verdict_e verdict;
    apr_interval_time_t after; /**< Retry-After; 0: none */
    int is_page;               /**< accepted, but what came is HTML */
    char why[400];             /**< what happened, to follow "URL: " */
    const char *advice;        /**< what to do about it */
} sse_answer_t;

/** @param target lives as long as the transfer
 *  @return NULL: there is no memory */
sse_transfer_t *sse_transfer_create(const sse_hook_target_t *target);

void sse_transfer_destroy(sse_transfer_t *transfer);

/** Begin to send a letter, which lives until the transfer is over.
 *  @param baton CURLINFO_PRIVATE of the handle that multi says is done
 *  @return 0: it cannot be sent now, and is not being sent */
int sse_transfer_start(sse_transfer_t *transfer, CURLM *multi,
                       const sse_letter_t *letter, void *baton);

/** It is done. */
void sse_transfer_finish(sse_transfer_t *transfer, CURLM *multi, CURLcode code,
                         sse_answer_t *answer);

/** It is to be no more, done or not. */
void sse_transfer_cancel(sse_transfer_t *transfer, CURLM *multi);

#endif /* SSE_HOOK_TRANSFER_H */
