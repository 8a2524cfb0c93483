/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <apr_strings.h>

#include "http/sse/sse_post.h"

/** Bytes of an event besides its data and type: an id, and the name of the
 *  field on the unfinished line. */
#define SLACK (SSE_STORE_IDEMPOTENCY_MAX + 64)

#define SMALL   4096 /**< an event up to this size is copied, to wait */
#define WAITING 1024 /**< waiting events, times channels, of a transaction */

/** A text/event-stream body while it is read. */
typedef struct {
    sse_post_t *post;
    sse_reader_t *reader;
} feed_t;

static sse_slice_t copy_slice(apr_pool_t *pool, sse_slice_t slice)
{
    if (slice.ptr) {
        slice.ptr = apr_pstrmemdup(pool, slice.ptr, slice.len);
    }
    return slice;
}

/* Small events wait for the rest of this piece of the body, so that one
 * transaction takes many.  A large event is appended at once from the reader's
 * buffer, without a copy.  With an Idempotency-Key, which is for a single
 * event, none is appended before it is known to be the only one. */
static int goes_at_once(const sse_post_t *post, const sse_fields_t *event)
{
    return !post->key.ptr && (event->data.len + event->event.len > SMALL ||
                              post->n_waiting >= WAITING);
}

static int add(sse_post_t *post, sse_fields_t *event)
{
    int status;

    if (goes_at_once(post, event)) {
        status = sse_post_add(post, event);
        if (status == OK && (status = sse_post_flush(post)) != OK) {
            sse_post_clear(post); /* the reader's bytes live no longer */
        }
        return status;
    }
    event->id = copy_slice(post->pool, event->id);
    event->event = copy_slice(post->pool, event->event);
    event->data = copy_slice(post->pool, event->data);
    return sse_post_add(post, event);
}

static apr_status_t on_event(void *baton, const sse_fields_t *read)
{
    sse_post_t *post = ((feed_t *)baton)->post;
    sse_fields_t event = *read;

    if (sse_post_begin(post) != OK) {
        return APR_EGENERAL;
    }
    /* An empty id is how a stream takes its id back: no key. */
    if (!event.id.len) {
        event.id = sse_slice(NULL);
    }
    event.comment = sse_slice(NULL);
    return add(post, &event) == OK ? APR_SUCCESS : APR_EGENERAL;
}

/* The reader's error is about the event after those it gave. */
static int too_large(sse_post_t *post)
{
    int status = sse_post_begin(post);

    return status == OK ? sse_post_too_large(post) : status;
}

/* What is complete goes out, whatever comes after it: but with a key for a
 * single event, not before it is known to be the only one. */
static int publish(sse_post_t *post, int status)
{
    sse_problem_t problem = post->problem;

    if (post->key.ptr) {
        return status;
    }
    if (sse_post_flush(post) != OK) {
        return post->problem.status;
    }
    post->problem = problem;
    return status;
}

static int on_body(void *baton, const char *buf, apr_size_t len)
{
    feed_t *feed = baton;
    sse_post_t *post = feed->post;
    const char *nul = memchr(buf, '\0', len);
    apr_status_t rv;
    int status = OK;

    post->taken += len;
    rv =
        sse_reader_feed(feed->reader, buf, nul ? (apr_size_t)(nul - buf) : len);
    if (rv == APR_ENOSPC) {
        status = too_large(post);
    }
    else if (rv == APR_ENOMEM) {
        status = sse_problem_no_memory(post->r, &post->problem);
    }
    else if (rv != APR_SUCCESS) {
        status = post->problem.status;
    }
    else if (nul) {
        status =
            sse_problem_set(&post->problem, post->r->pool, HTTP_BAD_REQUEST,
                            "the body must not contain NUL");
    }
    return publish(post, status);
}

static int end(feed_t *feed)
{
    sse_post_t *post = feed->post;

    if (sse_reader_is_partial(feed->reader)) {
        return sse_problem_set(&post->problem, post->r->pool, HTTP_BAD_REQUEST,
                               "the last event has no empty line after it and "
                               "was not published");
    }
    if (!post->seen) {
        return sse_problem_set(&post->problem, post->r->pool, HTTP_BAD_REQUEST,
                               "the body has no event: an event is at least "
                               "one line \"data: ...\" and an empty line");
    }
    return sse_post_flush(post);
}

int sse_feed_read(sse_post_t *post)
{
    feed_t feed;
    apr_pool_t *pool;
    int status;

    post->batch = 1;
    feed.post = post;
    apr_pool_create(&pool, post->r->pool);
    apr_pool_tag(pool, "sse_feed");
    feed.reader =
        sse_reader_create(pool, post->max_event + SLACK, on_event, &feed);
    status = sse_body_each(post->r, on_body, &feed, &post->problem);
    if (status == OK) {
        status = end(&feed);
    }
    apr_pool_destroy(pool);
    return status;
}
