/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse/sse_poll.h"

#include <apr_strings.h>
#include <httpd.h>

#include "config/sse_config.h"
#include "http/sse/sse_accept.h"
#include "http/sse/sse_prefer.h"
#include "http/sse_query.h"
#include "http/sse_reply.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MOST    10000

const sse_format_t *sse_poll_format(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    int stream = sse_accept_quality(accept, "text", "event-stream");
    int poll = sse_accept_quality(accept, "application", "json");

    if (poll > stream) {
        return &sse_format_json;
    }
    return stream ? &sse_format_sse : NULL;
}

/* @return whether it is all right */
static int read_limit(request_rec *r, sse_poll_t *poll)
{
    static const char *const names[] = {"limit", NULL};
    const char *text = sse_query_value(r, names, NULL);
    int n = text ? sse_prefer_seconds(text) : LIMIT_DEFAULT;

    if (!text && sse_query_has(r, "limit")) {
        n = 0;
    }
    poll->limit = (apr_uint64_t)n;
    return n >= 1 && n <= LIMIT_MOST;
}

/* What is applied may be no whole number of seconds. */
static void tell_wait(request_rec *r, apr_interval_time_t wait)
{
    apr_int64_t seconds = apr_time_sec(wait);

    apr_table_setn(r->headers_out, "Preference-Applied",
                   apr_psprintf(r->pool, "wait=%" APR_INT64_T_FMT,
                                wait && !seconds ? 1 : seconds));
}

/* The query counts more than the header, which a client's library may set.
 * @return whether it is all right */
static int read_wait(request_rec *r, sse_poll_t *poll)
{
    static const char *const names[] = {"wait", NULL};
    const char *text = sse_query_value(r, names, NULL);
    apr_interval_time_t most = sse_conf_poll_wait(r);
    int asked = text ? sse_prefer_seconds(text)
                     : sse_prefer_wait(apr_table_get(r->headers_in, "Prefer"));

    poll->wait = most;
    if (asked < 0) {
        return !sse_query_has(r, "wait");
    }
    if (apr_time_from_sec(asked) < most) {
        poll->wait = apr_time_from_sec(asked);
    }
    if (!text) {
        tell_wait(r, poll->wait);
    }
    return 1;
}

int sse_poll_read(request_rec *r, sse_poll_t *poll)
{
    if (!read_limit(r, poll)) {
        sse_reply_error(r, HTTP_BAD_REQUEST,
                        "limit must be a number of events from 1 to %d",
                        LIMIT_MOST);
        return DONE;
    }
    if (!read_wait(r, poll)) {
        sse_reply_error(r, HTTP_BAD_REQUEST,
                        "wait must be a number of whole seconds, such as 0 or "
                        "20");
        return DONE;
    }
    return OK;
}
