/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_hooks.h"

#include <apr_optional_hooks.h>

/* NULL until a module has registered one. */
static apr_array_header_t *hooks_of(sse_tell_e event)
{
    return apr_optional_hook_get(event == SSE_TELL_OPENED   ? "stream_open"
                                 : event == SSE_TELL_CLOSED ? "stream_close"
                                                            : "stream_crashed");
}

static int wants(sse_tell_e event)
{
    const apr_array_header_t *hooks = hooks_of(event);

    return hooks && hooks->nelts;
}

static void opened(sse_stream_t *stream, request_rec *r)
{
    apr_array_header_t *hooks = hooks_of(SSE_TELL_OPENED);
    int i;

    for (i = 0; i < hooks->nelts; ++i) {
        APR_ARRAY_IDX(hooks, i, sse_LINK_stream_open_t).pFunc(stream, r);
    }
}

static void closed(const sse_ended_t *ended)
{
    apr_array_header_t *hooks = hooks_of(SSE_TELL_CLOSED);
    sse_close_t close = ended->close;
    int i;

    apr_pool_create(&close.pool, NULL);
    apr_pool_tag(close.pool, "sse_close");
    for (i = 0; i < hooks->nelts; ++i) {
        APR_ARRAY_IDX(hooks, i, sse_LINK_stream_close_t)
            .pFunc(ended->stream, ended->r, &close);
    }
    apr_pool_destroy(close.pool);
}

static void crashed(const sse_crash_t *crash)
{
    apr_array_header_t *hooks = hooks_of(SSE_TELL_CRASHED);
    int i;

    for (i = 0; i < hooks->nelts; ++i) {
        APR_ARRAY_IDX(hooks, i, sse_LINK_stream_crashed_t).pFunc(crash);
    }
}

const sse_listener_t sse_hooks_listener = {
    .name = "hooks",
    .mask = SSE_TELL_OPENED | SSE_TELL_CLOSED | SSE_TELL_CRASHED,
    .wants = wants,
    .opened = opened,
    .closed = closed,
    .crashed = crashed,
};
