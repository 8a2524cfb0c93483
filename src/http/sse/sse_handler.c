/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse/sse_handler.h"

#include <http_protocol.h>
#include <http_request.h>
#include <string.h>

#include "config/sse_config.h"
#include "http/sse_cors.h"
#include "http/sse_front.h"
#include "http/sse_reply.h"
#include "hub/sse_hub.h"

/* -- The channels ---------------------------------------------------------- */

static int add(request_rec *r, apr_array_header_t *channels, const char *name)
{
    sse_channel_t *channel;
    sse_slice_t key;
    int i;

    if (!sse_hub_key(r->server, name, r->pool, &key)) {
        sse_reply_error(r, HTTP_BAD_REQUEST,
                        "a channel's name must be 1 to %d bytes of UTF-8 "
                        "without control characters",
                        SSE_CHANNEL_MAX);
        return DONE;
    }
    for (i = 0; i < channels->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(channels, i, sse_channel_t).name, name)) {
            return OK;
        }
    }
    channel = apr_array_push(channels);
    channel->name = name;
    channel->key = key;
    return OK;
}

/* httpd logs what went wrong with the expression. */
static int expand(request_rec *r, const ap_expr_info_t *expr, const char **name)
{
    const char *err = NULL;

    *name = ap_expr_str_exec(r, expr, &err);
    if (*name && !err) {
        return OK;
    }
    sse_reply_error(r, HTTP_INTERNAL_SERVER_ERROR,
                    "the channel's name could not be made; the server's error "
                    "log says why");
    return DONE;
}

int sse_handler_channels(request_rec *r, apr_array_header_t **channels)
{
    const apr_array_header_t *exprs = sse_conf_channels(r);
    const char *name = r->uri;
    int status = OK;
    int i;

    *channels = apr_array_make(r->pool, exprs ? exprs->nelts : 1,
                               sizeof(sse_channel_t));
    if (!exprs) {
        return add(r, *channels, name);
    }
    for (i = 0; i < exprs->nelts && status == OK; ++i) {
        status =
            expand(r, APR_ARRAY_IDX(exprs, i, const ap_expr_info_t *), &name);
        if (status == OK) {
            status = add(r, *channels, name);
        }
    }
    return status;
}

int sse_handler_authorize(request_rec *r, sse_authorize_e what,
                          apr_array_header_t **channels, sse_grant_t *grant)
{
    apr_array_header_t *names =
        apr_array_make(r->pool, (*channels)->nelts, sizeof(const char *));
    sse_grant_t ignored;
    int status, i;

    grant = grant ? grant : &ignored;
    for (i = 0; i < (*channels)->nelts; ++i) {
        APR_ARRAY_PUSH(names, const char *) =
            APR_ARRAY_IDX(*channels, i, sse_channel_t).name;
    }
    status = sse_authorize(r, what, names, grant);
    if (status != OK || !grant->channels) {
        return status;
    }
    *channels =
        apr_array_make(r->pool, grant->channels->nelts, sizeof(sse_channel_t));
    for (i = 0; i < grant->channels->nelts && status == OK; ++i) {
        status =
            add(r, *channels, APR_ARRAY_IDX(grant->channels, i, const char *));
    }
    return status;
}

/* -- The methods ----------------------------------------------------------- */

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
