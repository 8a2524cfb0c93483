/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_letter.h
 * What is sent to a webhook's target in one request: a call, or a batch of
 * them.  A call in memory is an item, one piece of memory, of its outbox first
 * and then of a letter.
 *
 * The id of a letter of one call is the call's.  That of a batch is made of its
 * calls' ids, so that the same calls make the same letter in any process.
 *
 * Threads: one, the sender's.
 */

#ifndef SSE_HOOK_LETTER_H
#define SSE_HOOK_LETTER_H

#include <apr_time.h>
#include <sys/queue.h>

#include "notify/webhook/sse_hook_signature.h"
#include "notify/webhook/sse_hook_spool.h"

/** A call. */
typedef struct sse_item_t sse_item_t;
struct sse_item_t {
    TAILQ_ENTRY(sse_item_t) next;      /**< in the outbox, then in a letter */
    TAILQ_ENTRY(sse_item_t) next_open; /**< of the OPENs that are in letters */
    sse_spool_at_t at;
    sse_call_type_e type;
    apr_uint32_t hash; /**< of the stream */
    apr_time_t came;   /**< into memory */
    apr_time_t until;  /**< too old then */
    sse_slice_t id, stream, body;
};

TAILQ_HEAD(sse_items_t, sse_item_t);

/** What is sent. */
typedef struct sse_letter_t sse_letter_t;
struct sse_letter_t {
    const char *id;   /**< SSE-Hook-Id */
    sse_slice_t body; /**< an object, or for a batch an array */
    int attempt;      /**< this one's number, from 1 */
    int count;        /**< calls in it */

    /* The outbox's own: */
    struct sse_items_t items;
    TAILQ_ENTRY(sse_letter_t) next; /**< of those that wait, or are sent */
    apr_uint64_t number;            /**< letters wait in its order */
    apr_time_t due;                 /**< while it waits */
    int is_put_off;                 /**< the target has said until when */
    char *text; /**< what id or body points to, beside the items */
    char digest[sizeof("batch.") + SSE_HOOK_DIGEST_MAX];
};

TAILQ_HEAD(sse_letters_t, sse_letter_t);

/** @return a copy of the call, to be freed by free(); NULL: no memory */
sse_item_t *sse_item_create(const sse_call_t *call);

/** Whether a CLOSE has to wait for this OPEN. */
int sse_item_is_pair(const sse_item_t *open, const sse_item_t *close);

/** @return a letter without calls; NULL: no memory */
sse_letter_t *sse_letter_create(void);

/** Add a call, which belongs to it from then on. */
void sse_letter_add(sse_letter_t *letter, sse_item_t *item);

/** All its calls have been added: write its id and body.
 *  @param is_batch an array, be it of one
 *  @return 0: there is no memory */
int sse_letter_write(sse_letter_t *letter, int is_batch);

/** Free it, and the items that are in it. */
void sse_letter_destroy(sse_letter_t *letter);

#endif /* SSE_HOOK_LETTER_H */
