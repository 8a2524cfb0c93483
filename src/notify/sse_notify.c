/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_notify.h"

#include <apr_optional_hooks.h>
#include <stdlib.h>

#include "loop/sse_workers.h"
#include "notify/sse_callbacks.h"
#include "notify/sse_crash.h"
#include "shared/sse_counters.h"

/* -- The C hooks of mod_sse.h as a listener -------------------------------- */

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

static const sse_listener_t hooks_listener = {
    .mask = SSE_TELL_OPENED | SSE_TELL_CLOSED | SSE_TELL_CRASHED,
    .wants = wants,
    .opened = opened,
    .closed = closed,
    .crashed = crashed,
};

/* A stream is in the crash registry while the hooks have it; the request's own
 * callbacks run last. */
void sse_notify_register(void)
{
    sse_listeners_add_head(&sse_callbacks_listener);
    sse_listeners_add_head(&sse_crash_listener);
    sse_listeners_add_head(&hooks_listener);
}

/* -- Ends, on a worker ----------------------------------------------------- */

/* An ending that is on its way to a worker. */
typedef struct {
    sse_job_t job; /* first */
    sse_ending_t ending;
} told_t;

/* Its listeners are called now, or would be. */
static void count(const sse_ending_t *ending)
{
    if (ending->seen) {
        sse_counters_observe(SSE_HISTOGRAM_CLOSE, uv_hrtime() - ending->seen);
    }
}

/* It points into the ending, which was copied. */
static void set_last_event_id(sse_ending_t *ending)
{
    if (ending->last_event_text) {
        ending->ended.close.last_event_id = ending->last_event_text;
    }
    else if (*ending->last_event_id) {
        ending->ended.close.last_event_id = ending->last_event_id;
    }
}

static void tell(sse_job_t *job)
{
    told_t *told = (told_t *)(void *)job;
    sse_ending_t *ending = &told->ending;

    count(ending);
    set_last_event_id(ending);
    sse_listeners_closed(&ending->ended);
    sse_loop_post(ending->loop, ending->done);
    free(ending->last_event_text);
    free(told);
}

apr_status_t sse_notify_reserve(void)
{
    return sse_listeners_want(SSE_TELL_CLOSED)
               ? sse_workers_reserve(SSE_WORKERS_CLOSE)
               : APR_SUCCESS;
}

int sse_notify_end(sse_ending_t *ending)
{
    told_t *told;

    set_last_event_id(ending);
    if (!sse_listeners_want_end(&ending->ended)) {
        count(ending);
        free(ending->last_event_text);
        return 0;
    }
    told = malloc(sizeof(*told));
    if (!told) {
        abort();
    }
    told->job.run = tell;
    told->ending = *ending;
    sse_workers_do(SSE_WORKERS_CLOSE, &told->job);
    return 1;
}
