/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_post.h
 * The events of a POST, checked, on their way into the store.  A reader, one
 * for each type of body, decodes events and adds them; sse_post_flush() appends
 * them in one transaction and keeps their ids for the response.
 *
 * Threads: the request's.
 */

#ifndef SSE_POST_H
#define SSE_POST_H

#include <httpd.h>

#include "event/sse_room.h"
#include "http/sse_body.h"
#include "http/sse/sse_handler.h"
#include "store/sse_store.h"

/** Retry-After of a publisher that is refused, in seconds. */
#define SSE_POST_RETRY_AFTER "5"

/** The most ids in a response, and so the most events of a batch. */
#define SSE_POST_IDS_MAX 10000

/** The longest retry, in milliseconds. */
#define SSE_POST_RETRY_MAX APR_INT64_C(2147483647)

/** The newest ids of a request's events: once full, a ring. */
typedef struct {
    sse_room_t room;   /**< of sse_id_t; freed with the request's pool */
    apr_uint64_t made; /**< all of them, also those overwritten */
} sse_ids_t;

/** Make an empty ring in the request's pool. */
sse_ids_t *sse_ids_create(request_rec *r);

void sse_ids_add(sse_ids_t *ids, sse_id_t id);

/** How many ids it has. */
int sse_ids_count(const sse_ids_t *ids);

/** The i-th id; the oldest is number 0. */
sse_id_t sse_ids_get(const sse_ids_t *ids, int i);

/** One POST.  Lives in the request's pool. */
typedef struct {
    request_rec *r;
    const apr_array_header_t *channels; /**< of sse_channel_t */
    apr_size_t max_event;               /**< bytes of one event */
    sse_slice_t key;    /**< the header Idempotency-Key, or absent */
    int batch;          /**< the body may have more than one event */
    apr_pool_t *pool;   /**< of the waiting events; cleared by flush */
    sse_room_t waiting; /**< of sse_append_t: each event for each channel */
    int n_waiting;
    apr_size_t taken; /**< bytes of the body */
    apr_size_t seen;  /**< events begun so far */
    sse_ids_t *ids;
    sse_problem_t problem;
} sse_post_t;

sse_post_t *sse_post_create(request_rec *r, const apr_array_header_t *channels);

/** Free everything but the ids, at the end. */
void sse_post_finish(sse_post_t *post);

/** Drop and free the waiting events. */
void sse_post_clear(sse_post_t *post);

/** Refuse the body, and name the event if there may be several.
 *  @return status */
int sse_post_refuse(sse_post_t *post, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Whether a name from the body is this field's. */
int sse_post_is_name(sse_slice_t name, const char *field);

/** A name from the body for an error message: quoted, and cut if long. */
const char *sse_post_quote(const sse_post_t *post, sse_slice_t name);

/** Refuse an event for its size. @return 413 */
int sse_post_too_large(sse_post_t *post);

/** Refuse a retry that is not a number in range. @return 400 */
int sse_post_refuse_retry(sse_post_t *post);

/** Refuse the header Idempotency-Key with several events. @return 400 */
int sse_post_refuse_key(sse_post_t *post);

/** The message of sse_post_too_large(). */
const char *sse_post_size_text(const sse_post_t *post);

/** Begin the next event, which later refusals are about.
 *  @return OK, or 400 if there may be only one */
int sse_post_begin(sse_post_t *post);

/** Check the event that was begun, and have it wait.  Its id is the publisher's
 *  idempotency key.  Its slices must live as long as post->pool.
 *  @return OK or the problem's status */
int sse_post_add(sse_post_t *post, const sse_fields_t *event);

/** Append all waiting events, for every channel, in one transaction.
 *  @return OK, or the problem's status: nothing of it was published */
int sse_post_flush(sse_post_t *post);

/* The readers, which read the whole body and add or flush all of its events.
 * @return OK or the problem's status */
int sse_feed_read(sse_post_t *post);  /**< text/event-stream; flushes */
int sse_json_read(sse_post_t *post);  /**< application/json */
int sse_form_read(sse_post_t *post);  /**< application/x-www-form-urlencoded */
int sse_plain_read(sse_post_t *post); /**< text/plain, with the query string */

/** The problem when the store has refused events: 507 if it or its disk is
 *  full, 503 if another process has it locked, else 500.
 *  @param some whether events before these were published */
int sse_post_store_failed(request_rec *r, apr_status_t rv, int some,
                          sse_problem_t *problem);

#endif /* SSE_POST_H */
