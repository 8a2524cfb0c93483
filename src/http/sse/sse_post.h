/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_post.h
 * What a POST brings: its events, checked, on their way into the store.
 *
 * A reader (one per type of body) turns bytes into events and adds them;
 * sse_post_flush() appends what was added in one transaction and remembers the
 * ids for the answer.
 *
 * Threads: all on the request's thread.
 */

#ifndef SSE_POST_H
#define SSE_POST_H

#include <httpd.h>

#include "event/sse_room.h"
#include "http/sse_body.h"
#include "http/sse/sse_handler.h"
#include "store/sse_store.h"

/** Seconds after which a publisher may try again, while nothing is taken. */
#define SSE_POST_RETRY_AFTER "5"

/** Ids that one answer names; and so the most that one batch may make. */
#define SSE_POST_IDS_MAX 10000

/** The longest retry, in milliseconds. */
#define SSE_POST_RETRY_MAX APR_INT64_C(2147483647)

/** The ids that a request made: the newest, a ring once it is full. */
typedef struct {
    sse_room_t room;   /**< of sse_id_t; freed with the request's pool */
    apr_uint64_t made; /**< so many, also those that are no longer in it */
} sse_ids_t;

/** Empty ones, in the request's pool. */
sse_ids_t *sse_ids_create(request_rec *r);

void sse_ids_add(sse_ids_t *ids, sse_id_t id);

/** How many are in it. */
int sse_ids_count(const sse_ids_t *ids);

/** The i-th of them, the oldest being the first. */
sse_id_t sse_ids_get(const sse_ids_t *ids, int i);

/** One POST.  Lives in the request's pool. */
typedef struct {
    request_rec *r;
    const apr_array_header_t *channels; /**< of sse_channel_t */
    apr_size_t max_event;               /**< bytes of one event */
    sse_slice_t key;    /**< the header Idempotency-Key, or absent */
    int batch;          /**< more than one event may come */
    apr_pool_t *pool;   /**< of the events waiting; cleared by flush */
    sse_room_t waiting; /**< of sse_append_t: each event for each channel */
    int n_waiting;
    apr_size_t taken; /**< bytes of the body */
    apr_size_t seen;  /**< events begun so far */
    sse_ids_t *ids;
    sse_problem_t problem;
} sse_post_t;

sse_post_t *sse_post_create(request_rec *r, const apr_array_header_t *channels);

/** All has been read, or given up: free what it took.  The ids stay. */
void sse_post_finish(sse_post_t *post);

/** Forget what waits and free it; the ids stay. */
void sse_post_clear(sse_post_t *post);

/** Refuse the body, naming the event it is about where several may come.
 *  @return status */
int sse_post_refuse(sse_post_t *post, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** A name that the body gave, for the words of an error: quoted, and no longer
 *  than somebody reads. */
const char *sse_post_quote(const sse_post_t *post, sse_slice_t name);

/** Refuse an event for its size. @return 413 */
int sse_post_too_large(sse_post_t *post);

/** Refuse a retry that is no number in its range. @return 400 */
int sse_post_refuse_retry(sse_post_t *post);

/** Refuse the header Idempotency-Key with several events. @return 400 */
int sse_post_refuse_key(sse_post_t *post);

/** The words for that. */
const char *sse_post_size_text(const sse_post_t *post);

/** Another event begins: what is refused from here on is about it.
 *  @return OK, or 400 where there may be only one */
int sse_post_begin(sse_post_t *post);

/**
 * Check the event that was begun, and let it wait.  Its id is the publisher's
 * own key.  Its slices must live as long as post->pool.
 * @return OK or the problem's status
 */
int sse_post_add(sse_post_t *post, const sse_fields_t *event);

/** The milliseconds of a retry given as text. @return OK or 400 */
int sse_post_retry(sse_post_t *post, sse_slice_t text, apr_int64_t *retry);

/**
 * Append all that waits, for every channel, in one transaction, and wake the
 * children.
 * @return OK or the problem's status (507, 500: nothing of it was published)
 */
int sse_post_flush(sse_post_t *post);

/* The readers: the whole body is read, and all its events have been added or
 * flushed. @return OK or the problem's status */
int sse_feed_read(sse_post_t *post);  /**< text/event-stream; flushes */
int sse_json_read(sse_post_t *post);  /**< application/json */
int sse_form_read(sse_post_t *post);  /**< application/x-www-form-urlencoded */
int sse_plain_read(sse_post_t *post); /**< text/plain, with the query string */

/** Answer for a store that did not take something: 507 where there is no room,
 *  or no disk, for it, 503 where another process has it, else 500. */
int sse_post_store_failed(request_rec *r, apr_status_t rv,
                          sse_problem_t *problem);

#endif /* SSE_POST_H */
