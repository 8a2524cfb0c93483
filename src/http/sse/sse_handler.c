/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <httpd.h>
#include <http_protocol.h>
#include <http_request.h>

#include "config/sse_config.h"
#include "http/sse_http.h"

/* What a request may do here, for us and for whoever asks httpd. */
static void sse_handler_allow(request_rec *r)
{
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, M_OPTIONS, -1);
    if (sse_conf_publish(r)) {
        ap_allow_standard_methods(r, MERGE_ALLOW, M_POST, M_DELETE, -1);
    }
}

static int sse_handler_refuse(request_rec *r)
{
    const char *allow = sse_http_allow(r);

    apr_table_setn(r->err_headers_out, "Allow", allow);
    if (!sse_conf_publish(r) &&
        (r->method_number == M_POST || r->method_number == M_DELETE)) {
        return sse_http_error(r, HTTP_METHOD_NOT_ALLOWED,
                              "publishing is off here; SSEPublish On in the "
                              "server's configuration allows it");
    }
    return sse_http_error(r, HTTP_METHOD_NOT_ALLOWED,
                          "the method %.64s is not allowed here, only %s",
                          r->method, allow);
}

const char *sse_http_allow(const request_rec *r)
{
    return sse_conf_publish(r) ? SSE_HTTP_READING ", POST, DELETE"
                               : SSE_HTTP_READING;
}

int sse_http_handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, SSE_HTTP_HANDLER) != 0) {
        return DECLINED;
    }

    sse_handler_allow(r);
    switch (r->method_number) {
    case M_GET:
        return sse_http_subscribe(r);
    case M_OPTIONS:
        return sse_http_options(r);
    case M_POST:
        return sse_conf_publish(r) ? sse_http_publish(r)
                                   : sse_handler_refuse(r);
    case M_DELETE:
        return sse_conf_publish(r) ? sse_http_forget(r) : sse_handler_refuse(r);
    default:
        return sse_handler_refuse(r);
    }
}
