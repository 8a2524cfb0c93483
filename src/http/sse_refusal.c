/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_refusal.h"

#include <string.h>

#include "http/sse_reply.h"

static int answer_full(request_rec *r, const char *why)
{
    if (!strcmp(why, "SSEHTTP2")) {
        return sse_reply_error(r, HTTP_SERVICE_UNAVAILABLE,
                               "this host gives no streams over HTTP/2 "
                               "(SSEHTTP2 Off); ask for them over HTTP/1.1");
    }
    if (!strncmp(why, "SSE", 3)) {
        return sse_reply_error(r, HTTP_SERVICE_UNAVAILABLE,
                               "the limit on open streams (%s) is reached; "
                               "try again later",
                               why);
    }
    return sse_reply_error(r, HTTP_SERVICE_UNAVAILABLE,
                           "the server has no thread for the callbacks of "
                           "another stream; try again later");
}

int sse_refusal_answer(request_rec *r, int rv)
{
    switch (rv) {
    case HTTP_SERVICE_UNAVAILABLE:
        return answer_full(r, apr_table_get(r->notes, "sse-refused"));
    case HTTP_TOO_MANY_REQUESTS:
        return sse_reply_error(r, rv,
                               "this address has as many streams open as it "
                               "may (SSEMaxStreamsPerClient); close one first");
    case HTTP_MISDIRECTED_REQUEST:
        return sse_reply_error(r, HTTP_MISDIRECTED_REQUEST,
                               "this host has no HTTP/2, and the connection is "
                               "another host's; make one to this host");
    default:
        return rv;
    }
}
