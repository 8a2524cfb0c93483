/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "process/sse_memory.h"

#include <malloc.h>

#include "loop/sse_workers.h"
#include "sse_atomic.h"

/* So many are worth it. */
#define MANY 1000
/* Those that go with them are waited for: until none does, or so often. */
#define WAIT_MSEC 200
#define WAITS     20

static struct {
    unsigned int gone;  /* loop */
    unsigned int seen;  /* loop: of these, when the timer fired last */
    unsigned int waits; /* loop */
    uv_timer_t timer;   /* loop */
    sse_loop_t *loop;   /* const after child_init */
    sse_task_t asked;
    int is_at_it; /* atomic: a worker, or it will be */
    sse_job_t job;
} trim;

/* Worker. */
static void give_back(sse_job_t *job)
{
#ifdef __GLIBC__
    malloc_trim(0); /* 0.2 to 2 ms after 10,000 */
#endif
    sse_atomic_store(&trim.is_at_it, 0);
}

static void on_timer(uv_timer_t *timer)
{
    if (trim.gone != trim.seen && trim.waits++ < WAITS) {
        trim.seen = trim.gone;
        return;
    }
    uv_timer_stop(timer);
    trim.gone = trim.seen = trim.waits = 0;
    if (sse_atomic_cas(&trim.is_at_it, 0, 1)) {
        if (sse_workers_try(SSE_WORKERS_OWN, &trim.job) != APR_SUCCESS) {
            sse_atomic_store(&trim.is_at_it, 0);
        }
    }
}

void sse_memory_count(void)
{
    if (++trim.gone == MANY) {
        uv_timer_start(&trim.timer, on_timer, WAIT_MSEC, WAIT_MSEC);
    }
}

static void on_asked(sse_task_t *task)
{
    ++trim.gone;
    if (!uv_is_active((uv_handle_t *)&trim.timer)) {
        uv_timer_start(&trim.timer, on_timer, WAIT_MSEC, WAIT_MSEC);
    }
}

void sse_memory_trim(void) { sse_loop_post(trim.loop, &trim.asked); }

void sse_memory_init(sse_loop_t *loop)
{
    trim.loop = loop;
    trim.asked.run = on_asked;
    trim.job.run = give_back;
    uv_timer_init(sse_loop_uv(loop), &trim.timer);
}
