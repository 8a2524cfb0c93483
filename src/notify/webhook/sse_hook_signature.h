/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_signature.h
 * How a target knows that a webhook is ours: the header SSE-Hook-Signature,
 * "t=<seconds>,v1=<hex>", where hex is the HMAC-SHA-256 of "<seconds>.<body>"
 * with a key that both have.  The time is that of the sending, so that a target
 * can refuse what somebody has kept and sends again.
 *
 * Threads: any.
 */

#ifndef SSE_HOOK_SIGNATURE_H
#define SSE_HOOK_SIGNATURE_H

#include <apr_time.h>

#include "event/sse_event.h"

/** Room for the header's value, with its NUL. */
#define SSE_HOOK_SIGNATURE_MAX 100

/** Write the header's value.
 *  @return 0: there is no memory */
int sse_hook_signature(char value[SSE_HOOK_SIGNATURE_MAX], sse_slice_t key,
                       apr_time_t now, sse_slice_t body);

/** Room for a digest in hex, with its NUL. */
#define SSE_HOOK_DIGEST_MAX 65

/** A name for what consists of parts: the same for the same ones, in hex.  Each
 *  part is followed by a NUL.
 *  @param part the n-th, from 0
 *  @return 0: there is no memory */
int sse_hook_signature_digest(char hex[SSE_HOOK_DIGEST_MAX], int count,
                              sse_slice_t (*part)(const void *baton, int n),
                              const void *baton);

#endif /* SSE_HOOK_SIGNATURE_H */
