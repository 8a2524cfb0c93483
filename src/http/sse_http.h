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
 * stream, sse_channel.c which channels a request means;
 * sse_rewrite.c keeps requests from the rules of an application beside it.
 *
 * Threads: all on the request's thread.
 */

#ifndef SSE_HTTP_H
#define SSE_HTTP_H

#include <httpd.h>

#include "store/sse_store.h"

#define SSE_HTTP_HANDLER "sse" /**< what SetHandler calls it */

/** The content handler hook: DECLINED unless the handler is "sse". */
int sse_http_handler(request_rec *r);

/* One per method; each returns what the handler returns. */
int sse_http_subscribe(request_rec *r); /**< GET and HEAD */
int sse_http_publish(request_rec *r);   /**< POST */
int sse_http_forget(request_rec *r);    /**< DELETE */
int sse_http_options(request_rec *r);

/** The methods that publish nothing. */
#define SSE_HTTP_READING "GET, HEAD, OPTIONS"

/** The methods this location allows, for Allow. */
const char *sse_http_allow(const request_rec *r);

/** A channel of a request: its name as the user knows it, and the store's
 *  key: namespace, a zero byte, name. */
typedef struct {
    const char *name;
    sse_slice_t key;
} sse_channel_t;

/** The store's key of a channel of this host.
 *  @return 0: the name is not 1 to 400 bytes of UTF-8 without control
 *          characters */
int sse_channel_key(const server_rec *s, const char *name, apr_pool_t *pool,
                    sse_slice_t *key);

/**
 * The channels this request means: those of SSEChannel, else the URL path.
 * The same channel twice counts once.
 * @param channels out: of sse_channel_t, at least one, in r->pool
 * @return OK, or DONE, which the handler is to return: an error was answered
 *         (400: not 1 to 400 bytes of UTF-8 without control characters; 500:
 *         an expression failed, its error is logged)
 */
int sse_http_channels(request_rec *r, apr_array_header_t **channels);

/**
 * Answer with a JSON body {"error":"..."}.
 * @return OK (the answer is written)
 */
int sse_http_error(request_rec *r, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Answer with this JSON text. @return OK */
int sse_http_json(request_rec *r, int status, const char *json, apr_size_t len);

/** Answer without a body. @return OK */
int sse_http_empty(request_rec *r, int status);

/** These bytes as a JSON string, quotes included.  They may be anything: what
 *  is no UTF-8 becomes question marks. */
const char *sse_http_quote(apr_pool_t *pool, sse_slice_t text);

/** CORS: set Vary and, where SSEAllowOrigin allows the request's Origin, the
 *  Access-Control headers of an answer.  Before the first byte. */
void sse_cors_answer(request_rec *r);

/** Whether SSEAllowOrigin names this origin; "*" names nobody. */
int sse_cors_lists(const request_rec *r, const char *origin);

/**
 * Whether a page sent this request that may not publish here.  It may where
 * SSEAllowOrigin lists its Origin, or the page is this host's own; a request
 * of a program, which has no Origin, is not asked.
 * @return NULL: it may; else why not, and what to set (403)
 */
const char *sse_origin_refused(request_rec *r);

#endif /* SSE_HTTP_H */
