/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "process/sse_memory.h"

#include <malloc.h>

#include "loop/sse_workers.h"
#include "sse_atomic.h"

/* Closed connections that are worth a trim. */
#define MANY 1000
/* Wait for others to close: until none does, or so often. */
#define WAIT_MSEC 200
#define WAITS     20

static struct {
    unsigned int gone;  /* loop: connections closed, trims asked for */
    unsigned int seen;  /* loop: gone when the timer fired last */
    unsigned int waits; /* loop */
    uv_timer_t timer;   /* loop */
    sse_loop_t *loop;   /* const after child_init */
    sse_task_t asked;
    int is_at_it; /* atomic: a worker trims, or is about to */
    sse_job_t job;
} self;

/* Worker. */
static void give_back(sse_job_t *job)
{
#ifdef __GLIBC__
    malloc_trim(0); /* 0.2 to 2 ms after 10,000 */
#endif
    sse_atomic_store(&self.is_at_it, 0);
}

static void on_timer(uv_timer_t *timer)
{
    if (self.gone != self.seen && self.waits++ < WAITS) {
        self.seen = self.gone;
        return;
    }
    uv_timer_stop(timer);
    self.gone = self.seen = self.waits = 0;
    if (sse_atomic_cas(&self.is_at_it, 0, 1) &&
        sse_workers_try(SSE_WORKERS_OWN, &self.job) != APR_SUCCESS) {
        sse_atomic_store(&self.is_at_it, 0);
    }
}

void sse_memory_count(void)
{
    if (++self.gone == MANY) {
        uv_timer_start(&self.timer, on_timer, WAIT_MSEC, WAIT_MSEC);
    }
}

static void on_asked(sse_task_t *task)
{
    ++self.gone;
    if (!uv_is_active((uv_handle_t *)&self.timer)) {
        uv_timer_start(&self.timer, on_timer, WAIT_MSEC, WAIT_MSEC);
    }
}

void sse_memory_trim(void) { sse_loop_post(self.loop, &self.asked); }

void sse_memory_init(sse_loop_t *loop)
{
    self.loop = loop;
    self.asked.run = on_asked;
    self.job.run = give_back;
    uv_timer_init(sse_loop_uv(loop), &self.timer);
}
