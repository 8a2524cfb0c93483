/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_ask.h
 * Asks the application: an internal GET of a path of this host, served by
 * whatever handler stands there, with the answer in memory.
 *
 * A subrequest of httpd's takes over much of its main request, and may change
 * it.  So the main request that it sees is a stand-in, a copy of the real one:
 *
 * - Its headers are the client's, without those that are about a body, a
 *   connection or a copy that the client has, and without any that begins with
 *   SSE: those tell what is asked, and come from us.
 * - Its environment has the same, also after internal redirects, which give
 *   their requests a new environment (a front controller in .htaccess).
 * - Its filters are two of ours: the input has no body, so that a handler that
 *   reads one takes nothing of the real request's; the output collects the
 *   answer.  All filters that the subrequest adds end there.
 * - Its request line is that of the question, since CGI and FastCGI have their
 *   REQUEST_URI from there, by which front controllers choose.
 *
 * An answer must be whole.  mod_proxy calls a response that breaks off a
 * success, and says so by a bucket only.
 *
 * Life: the answer is in the real request's pool; everything else is gone when
 * sse_ask_run() returns.
 *
 * Threads: the request's, which is held until the answer is there.
 */

#ifndef SSE_ASK_H
#define SSE_ASK_H

#include <httpd.h>
#include <apr_tables.h>

/** The largest body of an answer. */
#define SSE_ASK_BODY_MAX 65536

typedef enum {
    SSE_ASK_ANSWERED, /**< by the application */
    SSE_ASK_REFUSED,  /**< by httpd, or a handler that leaves the page to
                           httpd: there are headers, but no body */
    SSE_ASK_NONE,     /**< no answer, or one that is not whole */
    SSE_ASK_LOOP      /**< the path is one of our own: nobody to ask */
} sse_ask_e;

typedef struct {
    sse_ask_e how;
    int status;           /**< HTTP's, of an answer or refusal */
    const char *why;      /**< for SSE_ASK_NONE: in words, for the log */
    apr_table_t *headers; /**< of the answer; Content-Type among them */
    const char *body;
    apr_size_t len;
} sse_answer_t;

/** What to ask about: each is sent as a header and in the environment. */
typedef struct {
    const char *method, *uri, *channels;
} sse_question_t;

/** register_hooks: the filters, and the hooks for internal redirects. */
void sse_ask_register(void);

/** Ask.
 *  @param path with a query, if any; "/auth.php?x=1"
 *  @param answer out: in r->pool */
void sse_ask_run(request_rec *r, const char *path,
                 const sse_question_t *question, sse_answer_t *answer);

/** Whether this is a request by which an application is asked, or one within
 *  it.  A stream is no answer, so the question then ends as SSE_ASK_LOOP, and
 *  the caller opens none. */
int sse_ask_refuses_stream(const request_rec *r);

#endif /* SSE_ASK_H */
