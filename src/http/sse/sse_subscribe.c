/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_http.h"

#include <apr_strings.h>
#include <http_log.h>

#include "config/sse_config.h"
#include "http/sse/sse_accept.h"
#include "hub/sse_hub.h"
#include "child/sse_child.h"

APLOG_USE_MODULE(sse);

/* An id is untrusted text; so much of it is looked at. */
#define LAST_ID_MAX 256

/* While another process opens the store, it cannot be opened here; that takes
 * a moment, and a browser that is refused does not come again. */
#define BUSY_WAIT apr_time_from_sec(1)
#define BUSY_STEP apr_time_from_msec(20)

/** Where a subscription begins. */
typedef struct {
    sse_slice_t *keys;
    int n;
    sse_id_t after;
    sse_id_t upto;
    sse_id_t now;     /* it begins with what comes now, after this; or 0 */
    const char *lost; /* something after this is gone; or NULL */
} start_t;

/* -- The id that the client has seen --------------------------------------- */

static int is_id_name(const char *name, apr_size_t len)
{
    static const char *const names[] = {"last-event-id", "lastEventId",
                                        "lastEventID", "last_event_id"};
    apr_size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        if (strlen(names[i]) == len && !memcmp(names[i], name, len)) {
            return 1;
        }
    }
    return 0;
}

static const char *id_from_query(request_rec *r)
{
    const char *p = r->args, *end, *equals, *raw;
    char *value;

    for (; p && *p; p = *end ? end + 1 : end) {
        end = p + strcspn(p, "&");
        equals = memchr(p, '=', (apr_size_t)(end - p));
        if (equals && equals + 1 < end &&
            is_id_name(p, (apr_size_t)(equals - p))) {
            raw = apr_pstrmemdup(r->pool, equals + 1,
                                 (apr_size_t)(end - equals - 1));
            value = apr_pstrdup(r->pool, raw);
            /* What cannot be decoded is no id of ours, and told as a gap. */
            return ap_unescape_urlencoded(value) == OK ? value : raw;
        }
    }
    return NULL;
}

static const char *last_event_id(request_rec *r)
{
    const char *id = apr_table_get(r->headers_in, "Last-Event-ID");

    if (!id || !*id) {
        id = id_from_query(r);
    }
    return id ? apr_pstrndup(r->pool, id, LAST_ID_MAX) : NULL;
}

/* Only what the store would write: digits, no zero in front. */
static int parse_id(const char *text, sse_id_t *id)
{
    char *end;

    if (*text < '1' || *text > '9' || strlen(text) > 19) {
        return 0;
    }
    *id = (sse_id_t)apr_strtoi64(text, &end, 10);
    return !*end;
}

/* -- Where it begins ------------------------------------------------------- */

static apr_status_t start_anew(request_rec *r, const sse_child_t *child,
                               start_t *start)
{
    int replay = sse_conf_replay(r);
    apr_status_t rv = child->provider->last(child->store, &start->upto);

    start->after = start->upto;
    start->now = replay == SSE_REPLAY_NONE ? start->upto : 0;
    if (rv == APR_SUCCESS && replay != SSE_REPLAY_NONE) {
        rv = child->provider->tail(child->store, start->keys, start->n,
                                   replay == SSE_REPLAY_ALL ? -1 : replay,
                                   &start->after);
    }
    return rv;
}

static apr_status_t start_after(const sse_child_t *child, const char *text,
                                start_t *start)
{
    sse_position_t position;
    sse_id_t id = 0;
    apr_status_t rv;

    if (!parse_id(text, &id)) {
        id = 0;
    }
    rv = child->provider->look(child->store, start->keys, start->n, id,
                               &position);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    start->upto = position.last;
    start->after = id;
    if (position.gap) {
        start->lost = text;
    }
    if (id > position.last) {
        start->after = position.oldest ? position.oldest - 1 : position.last;
    }
    return rv;
}

static int find_start(request_rec *r, const sse_child_t *child,
                      const apr_array_header_t *channels, start_t *start)
{
    const char *id = last_event_id(r);
    apr_interval_time_t waited;
    apr_status_t rv;
    int i;

    start->n = channels->nelts;
    start->keys =
        apr_palloc(r->pool, (apr_size_t)start->n * sizeof(start->keys[0]));
    for (i = 0; i < start->n; ++i) {
        start->keys[i] = APR_ARRAY_IDX(channels, i, sse_channel_t).key;
    }
    for (waited = 0;; waited += BUSY_STEP) {
        rv = id ? start_after(child, id, start) : start_anew(r, child, start);
        if (rv != SSE_STORE_EBUSY || waited >= BUSY_WAIT) {
            break;
        }
        apr_sleep(BUSY_STEP);
    }
    if (rv == APR_SUCCESS) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                  "cannot read the store: see that its directory (SSEStore) "
                  "is there and belongs to the server's user");
    apr_table_setn(r->err_headers_out, "Retry-After", "10");
    sse_http_error(r, HTTP_SERVICE_UNAVAILABLE,
                   "the event store cannot be read now; try again");
    return DONE;
}

/* -- The request ----------------------------------------------------------- */

static const char *names_of(request_rec *r, const apr_array_header_t *channels)
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

static int is_acceptable(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");

    return sse_accept_quality(accept, "text", "event-stream") > 0;
}

static int answer_misdirected(request_rec *r)
{
    return sse_http_error(r, HTTP_MISDIRECTED_REQUEST,
                          "this host has no HTTP/2, and the connection is "
                          "another host's; make one to this host");
}

static int answer_full(request_rec *r, const char *why)
{
    if (!strncmp(why, "SSE", 3)) {
        return sse_http_error(r, HTTP_SERVICE_UNAVAILABLE,
                              "as many streams are open here as may be (%s); "
                              "try again later",
                              why);
    }
    return sse_http_error(r, HTTP_SERVICE_UNAVAILABLE,
                          "the server has no thread for the callbacks of one "
                          "more stream; try again later");
}

/* @param rv what sse_stream_run() returned: only where it refused, there surely
 *        is a request still */
static int answer_refused(request_rec *r, int rv)
{
    switch (rv) {
    case HTTP_SERVICE_UNAVAILABLE:
        return answer_full(r, apr_table_get(r->notes, "sse-refused"));
    case HTTP_TOO_MANY_REQUESTS:
        return sse_http_error(r, rv,
                              "this address has as many streams open as it may "
                              "(SSEMaxStreamsPerClient); close one first");
    case HTTP_MISDIRECTED_REQUEST:
        return answer_misdirected(r);
    default:
        return rv;
    }
}

static int subscribe(request_rec *r, const sse_child_t *child,
                     const apr_array_header_t *channels)
{
    sse_stream_plan_t plan = {0};
    start_t start = {0};

    if (find_start(r, child, channels, &start) != OK) {
        return OK;
    }
    sse_stream_opts(r, &plan.opts);
    plan.channels = names_of(r, channels);
    plan.now = start.now;
    plan.can_poll = 1;
    plan.source = &sse_hub_source;
    plan.baton = sse_subscription_create(child->hub, start.keys, start.n,
                                         start.after, start.upto, start.lost);
    return answer_refused(r, sse_stream_run(r, &plan));
}

int sse_http_subscribe(request_rec *r)
{
    const sse_child_t *child = sse_child();
    apr_array_header_t *channels;
    int rv;

    sse_cors_answer(r);
    if (!is_acceptable(r)) {
        return sse_http_error(r, HTTP_NOT_ACCEPTABLE,
                              "this URL answers text/event-stream only, which "
                              "the request's Accept rules out");
    }
    rv = sse_http_channels(r, &channels);
    if (rv != OK) {
        return rv;
    }
    if (!child || !child->hub) {
        apr_table_setn(r->err_headers_out, "Retry-After", "10");
        return sse_http_error(r, HTTP_SERVICE_UNAVAILABLE,
                              "the event store is not open in this server; "
                              "its error log says why");
    }
    if (r->header_only && sse_stream_is_misdirected(r)) {
        return answer_misdirected(r);
    }
    if (r->header_only) {
        sse_stream_head(r);
        return OK;
    }
    return subscribe(r, child, channels);
}
