/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_notify.h"

#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <stdlib.h>

#include "loop/sse_workers.h"
#include "notify/sse_crash.h"

const char *sse_close_name(sse_close_reason_e reason)
{
    static const char *const names[] = {
        "none",        "client",  "reset",  "write-error", "dead-peer",
        "slow-client", "max-age", "server", "complete",    "shutdown",
        "stop",        "crash",   "error",  "poll"};

    return (unsigned)reason < sizeof(names) / sizeof(names[0]) ? names[reason]
                                                               : "unknown";
}

int sse_close_by_client(sse_close_reason_e reason)
{
    return reason >= SSE_CLOSE_CLIENT && reason <= SSE_CLOSE_DEAD_PEER;
}

/* Optional hooks are there once somebody has registered one. */
void sse_notify_open(sse_stream_t *stream, request_rec *r)
{
    apr_array_header_t *hooks = apr_optional_hook_get("stream_open");
    sse_LINK_stream_open_t *link;
    int i;

    sse_crash_opened(r);
    for (i = 0; hooks && i < hooks->nelts; ++i) {
        link = &APR_ARRAY_IDX(hooks, i, sse_LINK_stream_open_t);
        link->pFunc(stream, r);
    }
}

static void run_close_hooks(const sse_ending_t *ending)
{
    apr_array_header_t *hooks = apr_optional_hook_get("stream_close");
    sse_LINK_stream_close_t *link;
    int i;

    for (i = 0; hooks && i < hooks->nelts; ++i) {
        link = &APR_ARRAY_IDX(hooks, i, sse_LINK_stream_close_t);
        link->pFunc(ending->stream, ending->r, &ending->close);
    }
}

static const char *last_event_id(const sse_ending_t *ending)
{
    if (ending->last_event_text) {
        return ending->last_event_text;
    }
    return *ending->last_event_id ? ending->last_event_id : NULL;
}

/* An ending that is on its way to a worker. */
typedef struct {
    sse_job_t job; /* first */
    sse_ending_t ending;
} told_t;

static void tell(sse_job_t *job)
{
    told_t *told = (told_t *)(void *)job;
    sse_ending_t *ending = &told->ending;

    if (ending->run_hooks) {
        ending->close.last_event_id = last_event_id(ending);
        apr_pool_create(&ending->close.pool, NULL);
        apr_pool_tag(ending->close.pool, "sse_close");
        run_close_hooks(ending);
        apr_pool_destroy(ending->close.pool);
        sse_crash_closed(ending->r);
    }
    sse_callbacks_run(ending->callbacks, &ending->close, last_event_id(ending));
    sse_loop_post(ending->loop, ending->done);
    free(ending->last_event_text);
    free(told);
}

static int has_hooks(void)
{
    apr_array_header_t *hooks = apr_optional_hook_get("stream_close");

    return (hooks && hooks->nelts) || sse_crash_is_on();
}

apr_status_t sse_notify_reserve(void)
{
    return has_hooks() ? sse_workers_reserve(SSE_WORKERS_CLOSE) : APR_SUCCESS;
}

void sse_notify_end(const sse_ending_t *ending)
{
    told_t *told;

    if (!(ending->run_hooks && has_hooks()) &&
        sse_callbacks_close_unheard(ending->callbacks, &ending->close,
                                    last_event_id(ending))) {
        free(ending->last_event_text);
        sse_loop_post(ending->loop, ending->done);
        return;
    }
    told = malloc(sizeof(*told));
    if (!told) {
        abort();
    }
    told->job.run = tell;
    told->ending = *ending;
    sse_workers_do(SSE_WORKERS_CLOSE, &told->job);
}
