/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_record.h
 * How a call looks in a file of the webhooks' queue: a head of fixed size, then
 * target, id, stream and body, and zeros up to a multiple of 8 bytes.
 *
 * The first two bytes change in place, each by a write of one byte; a sum over
 * all others tells a whole record from what a killed process has left of one.
 * Numbers are in the machine's order: the files do not leave it.
 *
 * Threads: any.
 */

#ifndef SSE_HOOK_RECORD_H
#define SSE_HOOK_RECORD_H

#include "notify/webhook/sse_hook_spool.h"

#define SSE_HOOK_ALIGN 8

/** The first byte. */
#define SSE_HOOK_WAITS 'W'
#define SSE_HOOK_DONE  'D' /**< sent, given up, or never to be sent */
/** The second byte. */
#define SSE_HOOK_UNPAIRED '-'
#define SSE_HOOK_OPEN     'O' /**< an OPEN that is to have a CLOSE */
#define SSE_HOOK_CLOSED   'C' /**< and has it */

typedef struct {
    char state;   /**< the two bytes */
    char pairing; /**< that change */
    apr_byte_t type;
    apr_byte_t is_silent;
    apr_uint32_t size;        /**< of the whole record */
    apr_uint64_t sum;         /**< over all that does not change */
    apr_uint64_t key;         /**< of stream and target; 0: no stream */
    apr_uint64_t target_hash; /**< never 0 */
    apr_time_t time;
    apr_uint32_t target, id, stream, body; /**< lengths */
} sse_hook_head_t;

/** Where its first, its second byte are. */
#define SSE_HOOK_STATE_AT   0
#define SSE_HOOK_PAIRING_AT 1

/** @return never 0 */
apr_uint64_t sse_hook_hash(sse_slice_t target);

/** The head of a call.  @return APR_ENOSPC: it is too large */
apr_status_t sse_hook_record_make(sse_hook_head_t *head,
                                  const sse_call_t *call);

/** Whether this can be the head of a record of at most that size. */
int sse_hook_record_may_be(const sse_hook_head_t *head, apr_uint32_t most);

/** The call of these head->size bytes, in which its slices are.
 *  @return 0: they are no whole record */
int sse_hook_record_read(const char *bytes, sse_call_t *call);

#endif /* SSE_HOOK_RECORD_H */
