/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_http.h
 * The handler "sse": what each method does.
 *
 * sse_handler.c chooses by method; sse_subscribe.c is GET and HEAD,
 * sse_publish.c POST and DELETE; sse_body.c reads what was posted, sse_feed.c,
 * sse_json.c and sse_form.c understand it, sse_post.c gives it to the store;
 * sse_cors.c is OPTIONS and what browsers are told about other origins,
 * sse_origin.c whose pages may publish, sse_reply.c the answers that are no
 * stream, sse_http_channels.c which channels a request means;
 * sse_rewrite.c keeps requests from the rules of an application beside it.
 *
 * Threads: all on the request's thread.
 */

#ifndef SSE_HTTP_H
#define SSE_HTTP_H

#include <httpd.h>

#include "http/sse_cors.h"
#include "http/sse_front.h"
#include "http/sse_origin.h"
#include "http/sse_reply.h"
#include "store/sse_store.h"

/** register_hooks: the front end "sse". */
void sse_http_register(void);

/* One per method; each returns what the handler returns. */
int sse_http_subscribe(request_rec *r); /**< GET and HEAD */
int sse_http_publish(request_rec *r);   /**< POST */
int sse_http_forget(request_rec *r);    /**< DELETE */

/** A channel of a request: its name as the user knows it, and the store's
 *  key: namespace, a zero byte, name. */
typedef struct {
    const char *name;
    sse_slice_t key;
} sse_channel_t;

/**
 * The channels this request means: those of SSEChannel, else the URL path.
 * The same channel twice counts once.
 * @param channels out: of sse_channel_t, at least one, in r->pool
 * @return OK, or DONE, which the handler is to return: an error was answered
 *         (400: not 1 to 400 bytes of UTF-8 without control characters; 500:
 *         an expression failed, its error is logged)
 */
int sse_http_channels(request_rec *r, apr_array_header_t **channels);

#endif /* SSE_HTTP_H */
