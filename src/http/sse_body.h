/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_body.h
 * A request's body, read through the input filters as it arrives.
 *
 * An error becomes a problem for the caller to answer, even one that httpd's
 * own filter would answer (a malformed chunk, LimitRequestBody), so that a
 * publisher always gets JSON.  If the client disconnects while sending, the
 * problem's status is DONE.
 *
 * Threads: the request's.
 */

#ifndef SSE_BODY_H
#define SSE_BODY_H

#include <httpd.h>

#include "event/sse_event.h"

/** The response to give instead of success. */
typedef struct {
    int status;       /**< an HTTP status; DONE: the client is gone */
    const char *text; /**< for the client: what to change */
} sse_problem_t;

/** Fill in the problem. @return status */
int sse_problem_set(sse_problem_t *problem, apr_pool_t *pool, int status,
                    const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** Out of memory: the client may retry later. @return 503 */
int sse_problem_no_memory(request_rec *r, sse_problem_t *problem);

/** Takes a piece of the body. @return OK, else the status to stop with */
typedef int sse_body_fn(void *baton, const char *buf, apr_size_t len);

/** register_hooks. */
void sse_body_register(void);

/** Read the body and pass on each piece as it arrives.
 *  @return OK at its end; what fn returned; else the problem's status */
int sse_body_each(request_rec *r, sse_body_fn *fn, void *baton,
                  sse_problem_t *problem);

/** Read the whole body.  If its Content-Length exceeds the limit it is refused
 *  unread, and the client gets no 100 Continue.
 *  @param pool the body's lifetime; its memory is mapped, grows with what
 *         arrives, and is unmapped with the pool
 *  @param too_large the problem's text (413) if the body exceeds the limit
 *  @param body out: the caller may modify it
 *  @return OK or the problem's status */
int sse_body_whole(request_rec *r, apr_size_t limit, const char *too_large,
                   apr_pool_t *pool, char **body, apr_size_t *len,
                   sse_problem_t *problem);

#endif /* SSE_BODY_H */
