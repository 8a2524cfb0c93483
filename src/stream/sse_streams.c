/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_streams.c
 * All open streams of this child, and how they end when it leaves.
 */

#include "stream/sse_stream_private.h"

#include <ap_mpm.h>
#include <http_log.h>
#include <http_main.h>
#include <mpm_common.h>
#include <unistd.h>

#include "loop/sse_log.h"
#include "notify/sse_watcher.h"
#include "sse_atomic.h"
#include "process/sse_requests.h"
#include "process/sse_signals.h"
#include "stream/async/sse_async.h"

APLOG_USE_MODULE(sse);

/* A graceful end is spread over so many steps, to spread the reconnects. */
#define LEAVE_STEPS     50
#define LEAVE_STEP_MSEC 15
/* A child that stops at once is gone after so long, come what may. */
#define STOP_MSEC 3000
/* A child that leaves gracefully gives callbacks so long, where
 * GracefulShutdownTimeout says nothing else. */
#define PATIENCE_SEC       30
#define PATIENCE_STEP_MSEC 250
/* What it logs last gets so many steps to be written. */
#define EXIT_STEPS     50
#define EXIT_STEP_MSEC 10
/* How often a prefork child looks whether it must leave: its signals are held
 * back while a stream is open. */
#define STATE_POLL_MSEC 50

static struct {
    sse_loop_t *loop;
    TAILQ_HEAD(, sse_stream_t) streams; /* loop */
    apr_uint32_t attached;              /* loop: streams in the list */
    apr_uint32_t count;                 /* atomic: what a stop waits for */
    apr_uint32_t held;    /* atomic: watched requests that wait for callbacks */
    int leaving;          /* atomic: sse_leave_e */
    uv_timer_t step;      /* loop */
    uv_timer_t patience;  /* loop */
    apr_uint32_t waiting; /* loop: for callbacks, when it last looked */
    apr_uint64_t since;   /* loop: its clock when that last changed */
    uv_timer_t state_poll; /* loop; prefork only */
    sse_task_t poll_task;  /* likewise */
    int is_forked;         /* const */
    apr_uint32_t per_step; /* loop */
    unsigned int seed;     /* loop */
    int exit_steps;        /* loop: above 0, the process is about to end */
} all = {.streams = TAILQ_HEAD_INITIALIZER(all.streams)};

double sse_streams_spread(void) { return (double)rand_r(&all.seed) / RAND_MAX; }

apr_uint32_t sse_streams_count(void) { return sse_atomic_load(&all.count); }

void sse_streams_count_up(void) { sse_atomic_add(&all.count, 1); }

void sse_streams_count_down(void) { sse_atomic_sub(&all.count, 1); }

/* -- Leaving --------------------------------------------------------------- */

/* Ended streams stay in the list until they are told of. */
static void end_some(apr_uint32_t most)
{
    sse_stream_t *stream;

    TAILQ_FOREACH(stream, &all.streams, link)
    {
        if (most && sse_stream_reason(stream) == SSE_CLOSE_NONE) {
            sse_stream_dismiss(stream, SSE_CLOSE_SHUTDOWN);
            --most;
        }
    }
}

static void on_step(uv_timer_t *timer)
{
    end_some(all.per_step);
    if (TAILQ_EMPTY(&all.streams)) {
        uv_timer_stop(timer);
    }
}

/* One that was ended before may be gone after that. */
static void end_all(sse_close_reason_e reason)
{
    sse_stream_t *stream, *next;

    for (stream = TAILQ_FIRST(&all.streams); stream; stream = next) {
        next = TAILQ_NEXT(stream, link);
        sse_stream_dismiss(stream, reason);
        sse_stream_cut_short(stream);
    }
}

static void on_exit_step(uv_timer_t *timer)
{
    if (sse_log_is_done() || ++all.exit_steps == EXIT_STEPS) {
        _exit(0);
    }
}

/* The process ends when the log has said why, or takes too long for that. */
static void leave_now(void)
{
    all.exit_steps = 1;
    uv_timer_stop(&all.patience);
    uv_timer_start(&all.step, on_exit_step, EXIT_STEP_MSEC, EXIT_STEP_MSEC);
}

/* On worker a handler's thread waits until its stream's end was told, and the
 * MPM for the handler's thread. */
static void on_stop_over(uv_timer_t *timer)
{
    if (sse_streams_count() || sse_atomic_load(&all.held)) {
        sse_log_later(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
                      "stopping: some ends are not told, as a callback does "
                      "not return; leaving without it");
        leave_now();
    }
}

/* Requests that are over but for somebody who has been told, or will be. */
static apr_uint32_t count_waiting(void)
{
    apr_uint32_t n = sse_atomic_load(&all.held);
    sse_stream_t *stream;

    TAILQ_FOREACH(stream, &all.streams, link)
    {
        n += stream->phase == SSE_PHASE_TELLING;
    }
    return n;
}

static int patience_sec(void)
{
    return ap_graceful_shutdown_timeout > 0 ? ap_graceful_shutdown_timeout
                                            : PATIENCE_SEC;
}

/* The MPM waits for every connection and every handler, and so for callbacks
 * that hold them.  Other people's requests may take as long as they want. */
static void on_patience(uv_timer_t *timer)
{
    apr_uint32_t waiting = count_waiting();
    apr_uint64_t now = sse_loop_now(all.loop);

    if (!waiting || waiting != all.waiting || sse_requests_count() > waiting) {
        all.waiting = waiting;
        all.since = now;
    }
    else if (now - all.since >= (apr_uint64_t)patience_sec() * 1000) {
        sse_log_later(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
                      "leaving gracefully: %u requests are over but for "
                      "callbacks, none of which has returned for %d s, and "
                      "nothing else is left to do; leaving without them. See "
                      "which module's callback for a stream's end or beginning "
                      "blocks; GracefulShutdownTimeout is how long it gets",
                      (unsigned)waiting, patience_sec());
        leave_now();
    }
}

static void on_leave(void *baton)
{
    sse_async_leave();
    if (all.exit_steps) {
        return;
    }
    if (sse_streams_leaving() == SSE_LEAVE_AT_ONCE) {
        end_all(SSE_CLOSE_STOP);
        sse_watcher_stop_all();
        uv_timer_stop(&all.patience);
        uv_timer_start(&all.step, on_stop_over, STOP_MSEC, 0);
        return;
    }
    if (!uv_is_active((uv_handle_t *)&all.patience)) {
        uv_timer_start(&all.patience, on_patience, 0, PATIENCE_STEP_MSEC);
    }
    all.per_step = all.attached / LEAVE_STEPS + 1;
    uv_timer_start(&all.step, on_step, 0, LEAVE_STEP_MSEC);
}

sse_leave_e sse_streams_leaving(void) { return sse_atomic_load(&all.leaving); }

void sse_streams_leave(sse_leave_e how)
{
    if (sse_streams_leaving() < how) {
        sse_atomic_store(&all.leaving, (int)how);
        sse_loop_urge(all.loop);
    }
}

static int is_mpm_stopping(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS &&
           state == AP_MPMQ_STOPPING;
}

/* A prefork child's handler is waiting for what has to come from here.  A
 * graceful end may have come before its signals were held back; and one at once
 * may follow a graceful one. */
static void on_state_poll(uv_timer_t *timer)
{
    sse_signal_e signal = sse_signals_pending();

    if (signal == SSE_SIGNAL_STOP) {
        sse_streams_leave(SSE_LEAVE_AT_ONCE);
        uv_timer_stop(timer);
    }
    else if (signal == SSE_SIGNAL_GRACEFUL || is_mpm_stopping()) {
        sse_streams_leave(SSE_LEAVE_GRACEFUL);
    }
    else if (!all.attached && !sse_atomic_load(&all.held)) {
        uv_timer_stop(timer);
    }
}

static void start_state_poll(void)
{
    if (all.is_forked && !uv_is_active((uv_handle_t *)&all.state_poll)) {
        uv_timer_start(&all.state_poll, on_state_poll, STATE_POLL_MSEC,
                       STATE_POLL_MSEC);
    }
}

static void on_poll_task(sse_task_t *task) { start_state_poll(); }

void sse_streams_hold(void)
{
    sse_atomic_add(&all.held, 1);
    if (all.is_forked) {
        sse_loop_post(all.loop, &all.poll_task);
    }
}

void sse_streams_let_go(void) { sse_atomic_sub(&all.held, 1); }

/* -- The list -------------------------------------------------------------- */

void sse_streams_add(sse_stream_t *stream)
{
    TAILQ_INSERT_HEAD(&all.streams, stream, link);
    ++all.attached;
    start_state_poll();
    if (sse_streams_leaving() != SSE_STAY) {
        sse_loop_urge(all.loop);
    }
}

void sse_streams_remove(sse_stream_t *stream)
{
    TAILQ_REMOVE(&all.streams, stream, link);
    --all.attached;
}

void sse_streams_init(sse_loop_t *loop, int is_async, int is_forked)
{
    all.loop = loop;
    all.is_forked = is_forked;
    all.seed = (unsigned int)apr_time_now() ^ (unsigned int)getpid();
    uv_timer_init(sse_loop_uv(loop), &all.step);
    uv_timer_init(sse_loop_uv(loop), &all.patience);
    uv_timer_init(sse_loop_uv(loop), &all.state_poll);
    all.poll_task.run = on_poll_task;
    sse_loop_on_urgent(loop, on_leave, NULL);
    sse_stream_open_init(loop, is_async);
}
