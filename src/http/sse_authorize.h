/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_authorize.h
 * SSEAuthorize: the application decides who may subscribe or publish.  It is
 * asked by sse_ask.h, and what it allows is read by sse_grant.h; here is whom
 * to ask, and what the client is told.
 *
 * A 2xx allows.  Any other status goes to the client, with the application's
 * body and the headers that belong to a refusal; a redirect as 403, since a
 * client of streams cannot use the page that it leads to.  What is no answer,
 * or none that can be understood, is 502 and a log line that says what to look
 * at: nobody is let in by mistake.
 *
 * Threads: the request's, which is held until the application has answered.
 */

#ifndef SSE_AUTHORIZE_H
#define SSE_AUTHORIZE_H

#include <httpd.h>

#include "http/sse_grant.h"

typedef enum { SSE_TO_SUBSCRIBE, SSE_TO_PUBLISH } sse_authorize_e;

/** Ask, where the request's location says so.  If it is allowed, the log notes
 *  sse-user and sse-session are set, and Set-Cookie is in err_headers_out.
 *  @param channels of const char *: those that the request is for
 *  @param grant out: what it may; all zero where nobody is to be asked
 *  @return OK, or DONE, which the handler is to return: it has been answered */
int sse_authorize(request_rec *r, sse_authorize_e what,
                  const apr_array_header_t *channels, sse_grant_t *grant);

#endif /* SSE_AUTHORIZE_H */
