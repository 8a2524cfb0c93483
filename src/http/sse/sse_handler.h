/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_handler.h
 * The front end "sse": sse_handler.c chooses by method.  The body of a POST is
 * read by sse_feed.c (text/event-stream), sse_json.c, or sse_form.c (forms and
 * plain text), and sse_post.c gives its events to the store.
 *
 * Threads: the request's.
 */

#ifndef SSE_HANDLER_H
#define SSE_HANDLER_H

#include <httpd.h>

#include "event/sse_event.h"
#include "http/sse_authorize.h"

/** register_hooks: the front end "sse". */
void sse_handler_register(void);

/* The methods; each returns what the handler returns. */
int sse_handler_subscribe(request_rec *r); /**< GET and HEAD */
int sse_handler_publish(request_rec *r);   /**< POST */
int sse_handler_forget(request_rec *r);    /**< DELETE */

/** A channel of a request: its name as the user knows it, and the store's key
 *  for it. */
typedef struct {
    const char *name;
    sse_slice_t key;
} sse_channel_t;

/** The channels of this request: those of SSEChannel, else the URL path.
 *  Duplicates are left out.
 *  @param channels out: of sse_channel_t, at least one, in r->pool
 *  @return OK, or DONE, which the handler is to return: an error was answered
 *          (400: not 1 to 400 bytes of UTF-8 without control characters; 500:
 *          an expression failed, and its error is logged) */
int sse_handler_channels(request_rec *r, apr_array_header_t **channels);

/** Ask the application, where SSEAuthorize says so.
 *  @param channels in and out: it may name others
 *  @param grant out: what it allows besides; may be NULL
 *  @return OK, or DONE, which the handler is to return: it has been answered */
int sse_handler_authorize(request_rec *r, sse_authorize_e what,
                          apr_array_header_t **channels, sse_grant_t *grant);

/* -- For other front ends whose streams have channels ---------------------- */

/** What has to be done once it is sure who may subscribe to what.
 *  @return OK, or what the handler is to return: it has been answered */
typedef int sse_handler_before_fn(request_rec *r,
                                  const apr_array_header_t *channels);

/** GET and HEAD as sse_handler_subscribe(), but before a client's stream opens
 *  (not by HEAD), this is done: what it publishes the client gets.
 *  @return what the handler returns */
int sse_handler_subscribe_after(request_rec *r, sse_handler_before_fn *before);

/** The id that the client has seen, any text, or NULL. */
const char *sse_handler_last_id(request_rec *r);

/** The channels' names, with a blank between them. */
const char *sse_handler_names(request_rec *r,
                              const apr_array_header_t *channels);

/** Their keys, in r->pool. */
sse_slice_t *sse_handler_keys(request_rec *r,
                              const apr_array_header_t *channels);

/** SSEMaxAge, or what the application says, if that is less. */
void sse_handler_limit_age(apr_interval_time_t *max_age,
                           const sse_grant_t *grant);

#endif /* SSE_HANDLER_H */
