/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse/sse_handler.h"

#include <http_protocol.h>
#include <http_request.h>

#include "config/sse_config.h"
#include "http/sse_cors.h"
#include "http/sse_front.h"
#include "http/sse_reply.h"

/* The methods that publish nothing. */
#define READING "GET, HEAD, OPTIONS"

/* What a request may do here, for us and for modules that ask httpd. */
static void set_allowed(request_rec *r)
{
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, M_OPTIONS, -1);
    if (sse_conf_publish(r)) {
        ap_allow_standard_methods(r, MERGE_ALLOW, M_POST, M_DELETE, -1);
    }
}

/* For the header Allow. */
static const char *methods(const request_rec *r)
{
    return sse_conf_publish(r) ? READING ", POST, DELETE" : READING;
}

static int refuse(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Allow", methods(r));
    if (!sse_conf_publish(r) &&
        (r->method_number == M_POST || r->method_number == M_DELETE)) {
        return sse_reply_error(r, HTTP_METHOD_NOT_ALLOWED,
                               "publishing is off here; SSEPublish On in the "
                               "server's configuration allows it");
    }
    return sse_reply_error(r, HTTP_METHOD_NOT_ALLOWED,
                           "the method %.64s is not allowed here, only %s",
                           r->method, methods(r));
}

static int answer_options(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Allow", methods(r));
    sse_cors_preflight(r, READING, methods(r));
    return sse_reply_empty(r, HTTP_NO_CONTENT);
}

static int answer(request_rec *r)
{
    set_allowed(r);
    switch (r->method_number) {
    case M_GET:
        return sse_handler_subscribe(r);
    case M_OPTIONS:
        return answer_options(r);
    case M_POST:
        return sse_conf_publish(r) ? sse_handler_publish(r) : refuse(r);
    case M_DELETE:
        return sse_conf_publish(r) ? sse_handler_forget(r) : refuse(r);
    default:
        return refuse(r);
    }
}

void sse_handler_register(void)
{
    static sse_front_t front = {"sse", 1, answer, NULL};

    sse_front_register(&front);
}
