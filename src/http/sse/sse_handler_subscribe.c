/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse/sse_handler.h"

#include <apr_strings.h>

#include "config/sse_config.h"
#include "http/sse/sse_poll.h"
#include "http/sse_cors.h"
#include "http/sse_query.h"
#include "http/sse_refusal.h"
#include "http/sse_reply.h"
#include "hub/sse_hub.h"
#include "hub/sse_start.h"
#include "stream/open/sse_open.h"
#include "stream/sse_limits.h"

/* Bytes of an id, which is untrusted text, that are looked at. */
#define LAST_ID_MAX 256

/* What a request asks for. */
typedef struct {
    const sse_format_t *format;
    sse_poll_t poll; /* all zero: a stream */
} asked_t;

/* -- The id that the client has seen --------------------------------------- */

/* Text that cannot be decoded is no id of ours: a gap. */
const char *sse_handler_last_id(request_rec *r)
{
    static const char *const names[] = {"last-event-id", "lastEventId",
                                        "lastEventID", "last_event_id", NULL};
    const char *id = apr_table_get(r->headers_in, "Last-Event-ID");

    if (!id || !*id) {
        id = sse_query_value(r, names, NULL);
    }
    return id ? apr_pstrndup(r->pool, id, LAST_ID_MAX) : NULL;
}

/* -- Presence: who is on the channels -------------------------------------- */

static int asks_for_presence(const request_rec *r)
{
    return sse_query_has(r, "presence");
}

static int answer_no_presence(request_rec *r)
{
    return sse_reply_error(r, HTTP_NOT_FOUND,
                           "who is on this channel cannot be seen; SSEPresence "
                           "On in the server's configuration allows it");
}

/* -- The request ----------------------------------------------------------- */

const char *sse_handler_names(request_rec *r,
                              const apr_array_header_t *channels)
{
    const char *names = APR_ARRAY_IDX(channels, 0, sse_channel_t).name;
    int i;

    for (i = 1; i < channels->nelts; ++i) {
        names =
            apr_pstrcat(r->pool, names, " ",
                        APR_ARRAY_IDX(channels, i, sse_channel_t).name, NULL);
    }
    return names;
}

sse_slice_t *sse_handler_keys(request_rec *r,
                              const apr_array_header_t *channels)
{
    sse_slice_t *keys =
        apr_palloc(r->pool, (apr_size_t)channels->nelts * sizeof(*keys));
    int i;

    for (i = 0; i < channels->nelts; ++i) {
        keys[i] = APR_ARRAY_IDX(channels, i, sse_channel_t).key;
    }
    return keys;
}

static int answer_unavailable(request_rec *r, const char *why)
{
    apr_table_setn(r->err_headers_out, "Retry-After", "10");
    return sse_reply_error(r, HTTP_SERVICE_UNAVAILABLE, "%s", why);
}

static apr_status_t make_plan(request_rec *r, sse_stream_plan_t *plan,
                              const sse_slice_t *keys, int n)
{
    apr_status_t rv;

    if (asks_for_presence(r)) {
        return sse_start_presence(plan, keys, n, sse_handler_last_id(r));
    }
    rv = sse_start_plan(plan, keys, n, sse_handler_last_id(r),
                        sse_conf_replay(r));
    /* Who only takes a look is not there. */
    if (rv == APR_SUCCESS && (!plan->poll.limit || plan->poll.wait)) {
        sse_start_join(plan, r);
    }
    return rv;
}

void sse_handler_limit_age(apr_interval_time_t *max_age,
                           const sse_grant_t *grant)
{
    if (grant->max_age && (!*max_age || grant->max_age < *max_age)) {
        *max_age = grant->max_age;
    }
}

/* What comes before begins when it is settled from where on the client gets
 * events: those that it brings about are among them. */
static int subscribe(request_rec *r, const apr_array_header_t *channels,
                     const sse_grant_t *grant, const asked_t *asked,
                     sse_handler_before_fn *before)
{
    sse_stream_plan_t plan = {.format = asked->format, .poll = asked->poll};
    sse_slice_t *keys = sse_handler_keys(r, channels);
    int rv;

    plan.poll.last = sse_handler_last_id(r);
    if (make_plan(r, &plan, keys, channels->nelts) != APR_SUCCESS) {
        return answer_unavailable(r, "the event store cannot be read now; try "
                                     "again");
    }
    rv = before ? before(r, channels) : OK;
    if (rv != OK) {
        plan.source->on_ended(NULL, plan.baton);
        return rv;
    }
    sse_open_opts(r, &plan.opts);
    sse_handler_limit_age(&plan.opts.max_age, grant);
    plan.channels = sse_handler_names(r, channels);
    plan.can_poll = 1;
    return sse_refusal_answer(r, sse_open_run(r, &plan));
}

/* @return DECLINED: there is room */
static int look_at_limits(request_rec *r, int polls, int is_costly)
{
    int rv =
        is_costly || sse_conf_ask_subscribe(r) ? sse_limits_look(r, polls) : OK;

    return rv == OK ? DECLINED : sse_refusal_answer(r, rv);
}

/* Before the application is asked, or something as costly is done: whether that
 * is of any use.
 * @return DECLINED: it is; else what the handler returns */
static int check_room(request_rec *r, const asked_t *asked, int is_costly)
{
    int rv;

    if (!sse_hub()) {
        return answer_unavailable(r, "the event store is not open in this "
                                     "server; its error log says why");
    }
    rv = sse_open_check_http2(r);
    if (rv != OK) {
        return sse_refusal_answer(r, rv);
    }
    return r->header_only
               ? DECLINED
               : look_at_limits(r, asked->poll.limit != 0, is_costly);
}

/* @return OK; DONE: it has been answered */
static int read_request(request_rec *r, asked_t *asked)
{
    memset(asked, 0, sizeof(*asked));
    asked->format = sse_poll_format(r);
    if (!asked->format) {
        sse_reply_error(r, HTTP_NOT_ACCEPTABLE,
                        "this URL answers text/event-stream (a stream) and "
                        "application/json (a long poll), and the request's "
                        "Accept rules out both");
        return DONE;
    }
    return asked->format == &sse_format_json ? sse_poll_read(r, &asked->poll)
                                             : OK;
}

int sse_handler_subscribe(request_rec *r)
{
    return sse_handler_subscribe_after(r, NULL);
}

int sse_handler_subscribe_after(request_rec *r, sse_handler_before_fn *before)
{
    apr_array_header_t *channels;
    asked_t asked;
    sse_grant_t grant;
    int rv;

    sse_cors_answer(r);
    apr_table_mergen(r->err_headers_out, "Vary", "Accept");
    rv = read_request(r, &asked);
    if (rv == OK) {
        rv = sse_handler_channels(r, &channels);
    }
    if (rv != OK) {
        return rv;
    }
    rv = check_room(r, &asked, before != NULL);
    if (rv != DECLINED) {
        return rv;
    }
    if (asks_for_presence(r) && sse_conf_presence(r) != SSE_PRESENCE_ON) {
        return answer_no_presence(r);
    }
    rv = sse_handler_authorize(r, SSE_TO_SUBSCRIBE, &channels, &grant);
    if (rv != OK) {
        return rv;
    }
    if (r->header_only) {
        sse_open_head(r, asked.format);
        return OK;
    }
    return subscribe(r, channels, &grant, &asked, before);
}
