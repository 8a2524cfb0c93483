/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_opens.h
 * Where in the webhooks' queue the opens are that have no close yet: 16 bytes
 * for each, in a table that grows and shrinks.
 *
 * A key is a hash of stream and target (sse_hook_record.h).  Both are made by
 * the server, so nobody can choose two that have the same 64 bits.
 *
 * Threads: under the spool's lock.
 */

#ifndef SSE_HOOK_OPENS_H
#define SSE_HOOK_OPENS_H

#include "notify/webhook/sse_hook_spool.h"

typedef struct {
    apr_uint64_t key; /**< 0: free */
    sse_spool_at_t at;
} sse_hook_open_t;

/** All zero is an empty one. */
typedef struct {
    sse_hook_open_t *slots;
    apr_uint32_t size; /**< a power of two, or 0 */
    apr_uint32_t count;
} sse_hook_opens_t;

/** @return NULL: there is none; else valid until the next change */
sse_spool_at_t *sse_hook_opens_find(const sse_hook_opens_t *opens,
                                    apr_uint64_t key);
/** Add one that is not there. */
void sse_hook_opens_add(sse_hook_opens_t *opens, apr_uint64_t key,
                        sse_spool_at_t at);
void sse_hook_opens_remove(sse_hook_opens_t *opens, apr_uint64_t key);
void sse_hook_opens_free(sse_hook_opens_t *opens);

#endif /* SSE_HOOK_OPENS_H */
