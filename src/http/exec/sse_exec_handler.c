/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/exec/sse_exec_handler.h"

#include <httpd.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#include "config/sse_config.h"
#include "exec/sse_exec_shared.h"
#include "exec/sse_exec_stream.h"
#include "http/exec/sse_exec_order.h"
#include "http/sse/sse_accept.h"
#include "http/sse/sse_handler.h"
#include "http/sse_cors.h"
#include "http/sse_front.h"
#include "http/sse_query.h"
#include "http/sse_refusal.h"
#include "http/sse_reply.h"
#include "process/sse_leave.h"
#include "stream/open/sse_open.h"
#include "stream/sse_limits.h"

APLOG_USE_MODULE(sse);

#define ALLOWED "GET, HEAD, OPTIONS"

/* -- A program of the client's own ----------------------------------------- */

static int answer_unacceptable(request_rec *r)
{
    return sse_reply_error(r, HTTP_NOT_ACCEPTABLE,
                           "this URL answers text/event-stream only, which the "
                           "request's Accept rules out: a program that each "
                           "client has for itself cannot be polled "
                           "(SSECommandShare On allows it)");
}

/* When there is room for the stream, before its head. */
static int start_program(request_rec *r, void *baton)
{
    sse_exec_message_t answer;
    apr_status_t rv = sse_exec_stream_start(baton, &answer);

    return rv == APR_SUCCESS && answer.type == SSE_EXEC_STARTED
               ? OK
               : sse_exec_order_failed(r, rv, &answer);
}

static int run(request_rec *r, const apr_array_header_t *channels,
               const sse_grant_t *grant)
{
    sse_stream_plan_t plan = {.format = &sse_format_sse};
    sse_exec_order_t order;

    plan.channels = sse_handler_names(r, channels);
    if (sse_exec_order_make(r, plan.channels, sse_handler_last_id(r), 0,
                            &order) != OK) {
        return DONE;
    }
    sse_open_opts(r, &plan.opts);
    sse_handler_limit_age(&plan.opts.max_age, grant);
    plan.keys = sse_handler_keys(r, channels);
    plan.n_keys = channels->nelts;
    plan.begin = start_program;
    plan.source = &sse_exec_stream_source;
    plan.baton = sse_exec_stream_create(
        r->server, &order, (sse_exec_format_e)sse_conf_command_format(r),
        (apr_size_t)sse_conf_max_event(r));
    sse_exec_stream_join(plan.baton, sse_presence_who(r, 0), plan.keys,
                         plan.n_keys);
    return sse_refusal_answer(r, sse_open_run(r, &plan));
}

static int answer_alone(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    apr_array_header_t *channels;
    sse_grant_t grant;
    int rv;

    apr_table_mergen(r->err_headers_out, "Vary", "Accept");
    if (!sse_accept_quality(accept, "text", "event-stream")) {
        return answer_unacceptable(r);
    }
    rv = sse_handler_channels(r, &channels);
    if (rv != OK) {
        return rv;
    }
    rv = sse_open_check_http2(r);
    if (rv == OK && !r->header_only) {
        rv = sse_limits_look(r, 0);
    }
    if (rv != OK) {
        return sse_refusal_answer(r, rv);
    }
    rv = sse_handler_authorize(r, SSE_TO_SUBSCRIBE, &channels, &grant);
    if (rv != OK) {
        return rv;
    }
    if (r->header_only) {
        sse_open_head(r, &sse_format_sse);
        return OK;
    }
    return run(r, channels, &grant);
}

/* -- A program that subscribers share -------------------------------------- */

/* It is told of that channel only: which others a request has is that
 * request's affair. */
static int join(request_rec *r, const sse_channel_t *channel)
{
    sse_exec_shared_plan_t plan = {0};
    sse_exec_message_t answer;
    sse_exec_order_t order;
    apr_status_t rv;

    if (sse_exec_order_make(r, channel->name, NULL, 1, &order) != OK) {
        return DONE;
    }
    order.key = channel->key.ptr;
    order.key_len = channel->key.len;
    plan.order = &order;
    plan.name = channel->name;
    plan.format = (sse_exec_format_e)sse_conf_command_format(r);
    plan.max_event = (apr_size_t)sse_conf_max_event(r);
    plan.history = sse_conf_history(r);
    rv = sse_exec_shared_join(r, &plan, &answer);
    return rv == APR_SUCCESS ? OK : sse_exec_order_failed(r, rv, &answer);
}

/* It publishes to the first of the channels.  Who looks who is there needs no
 * program, nor who is told to come back. */
static int join_program(request_rec *r, const apr_array_header_t *channels)
{
    if (sse_query_has(r, "presence") || sse_leave_how() != SSE_STAY) {
        return OK;
    }
    return join(r, &APR_ARRAY_IDX(channels, 0, sse_channel_t));
}

/* -- The methods ----------------------------------------------------------- */

static int answer_no_command(request_rec *r)
{
    static sse_complaint_t complaint;

    if (sse_complain_is_due(&complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "sse-exec: this location has no SSECommand, and answers "
                      "500: set one, or another handler. Not logged again for "
                      "a minute");
    }
    return sse_reply_error(r, HTTP_INTERNAL_SERVER_ERROR,
                           "no program is configured here; SSECommand in the "
                           "server's configuration names one");
}

static int answer_get(request_rec *r)
{
    const sse_command_t *command = sse_conf_command(r);
    int has_program = command && command->program;

    if (has_program &&
        (sse_conf_command_share(r) || sse_query_has(r, "presence"))) {
        return sse_handler_subscribe_after(r, join_program);
    }
    sse_cors_answer(r);
    return has_program ? answer_alone(r) : answer_no_command(r);
}

static int answer_options(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Allow", ALLOWED);
    sse_cors_preflight(r, ALLOWED, ALLOWED);
    return sse_reply_empty(r, HTTP_NO_CONTENT);
}

static int answer(request_rec *r)
{
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, M_OPTIONS, -1);
    switch (r->method_number) {
    case M_GET:
        return answer_get(r);
    case M_OPTIONS:
        return answer_options(r);
    default:
        apr_table_setn(r->err_headers_out, "Allow", ALLOWED);
        return sse_reply_error(r, HTTP_METHOD_NOT_ALLOWED,
                               "the method %.64s is not allowed here, only "
                               "%s",
                               r->method, ALLOWED);
    }
}

void sse_exec_handler_register(void)
{
    static sse_front_t front = {"sse-exec", 1, answer, NULL};

    sse_front_register(&front);
}
