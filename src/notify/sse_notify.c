/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_notify.h"

#include <stdlib.h>

#include "loop/sse_workers.h"
#include "notify/sse_callbacks.h"
#include "notify/sse_crash.h"
#include "notify/sse_hooks.h"

/* A stream is in the crash registry while the hooks have it; the request's own
 * callbacks run last. */
void sse_notify_register(void)
{
    sse_listeners_add(&sse_callbacks_listener);
    sse_listeners_add(&sse_crash_listener);
    sse_listeners_add(&sse_hooks_listener);
}

/* An ending that is on its way to a worker. */
typedef struct {
    sse_job_t job; /* first */
    sse_ending_t ending;
} told_t;

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
