/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_body.h
 * A request's body, read through the input filters as it comes.
 *
 * What goes wrong becomes a problem to answer, also where httpd's own filter
 * would answer it (a broken chunk, LimitRequestBody), so that a publisher
 * always gets JSON.  A client that leaves while it sends is no problem to
 * answer: then the status is DONE.
 *
 * Threads: all on the request's thread.
 */

#ifndef SSE_BODY_H
#define SSE_BODY_H

#include <httpd.h>

#include "event/sse_event.h"

/** What is to be answered instead of success. */
typedef struct {
    int status;       /**< an HTTP status; DONE: nobody is left to answer */
    const char *text; /**< in words that tell what to change */
} sse_problem_t;

/** Say what the problem is. @return status */
int sse_problem_set(sse_problem_t *problem, apr_pool_t *pool, int status,
                    const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** There is no memory: to be tried again later. @return 503 */
int sse_problem_no_memory(request_rec *r, sse_problem_t *problem);

/** Some of the body. @return OK to go on, else the status to stop with */
typedef int sse_body_fn(void *baton, const char *buf, apr_size_t len);

/** Once, when the module registers its hooks. */
void sse_body_register(void);

/**
 * Read the body, giving each piece as soon as it is there.
 * @return OK at its end; what fn returned; else the problem's status
 */
int sse_body_each(request_rec *r, sse_body_fn *fn, void *baton,
                  sse_problem_t *problem);

/**
 * Read the whole body.  One whose Content-Length is over the limit is refused
 * unread, and its client gets no 100 Continue.
 * @param pool the body lives until it is destroyed; memory of its own, no more
 *        than what has come, which goes back to the system then
 * @param too_large what to say (413) when the body exceeds the limit
 * @param body out: the reader's own, to be changed as it likes
 * @return OK or the problem's status
 */
int sse_body_whole(request_rec *r, apr_size_t limit, const char *too_large,
                   apr_pool_t *pool, char **body, apr_size_t *len,
                   sse_problem_t *problem);

#endif /* SSE_BODY_H */
