/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <httpd.h>
#include <http_log.h>
#include <http_main.h>
#include <string.h>

#include "notify/sse_listeners.h"

APLOG_USE_MODULE(sse);

static void opened(sse_stream_t *stream, request_rec *r)
{
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, "seams: opened %s", r->uri);
}

static void closed(const sse_ended_t *ended)
{
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, ended->r, "seams: closed %s",
                  ended->r->uri);
}

static void published(const sse_publisher_t *by, const sse_append_t *items,
                      int n)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, ap_server_conf,
                 "seams: published %.*s", (int)items->fields.data.len,
                 items->fields.data.ptr);
}

/* The name is behind the namespace and a zero byte. */
static void tell(const char *what, sse_slice_t channel)
{
    const char *nul = memchr(channel.ptr, '\0', channel.len);

    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, ap_server_conf, "seams: %s %.*s",
                 what, (int)(channel.ptr + channel.len - nul - 1), nul + 1);
}

static void first(const sse_subscriber_t *subscriber)
{
    tell("first of", subscriber->channel);
}

static void last(const sse_subscriber_t *subscriber)
{
    tell("last of", subscriber->channel);
}

static const sse_listener_t listener = {
    .mask = SSE_TELL_OPENED | SSE_TELL_CLOSED | SSE_TELL_PUBLISHED |
            SSE_TELL_FIRST | SSE_TELL_LAST,
    .opened = opened,
    .closed = closed,
    .published = published,
    .first = first,
    .last = last};

__attribute__((constructor)) static void add(void)
{
    sse_listeners_add(&listener);
}
