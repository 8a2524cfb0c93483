/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "process/sse_leave.h"

#include <ap_mpm.h>
#include <http_log.h>
#include <http_main.h>
#include <mpm_common.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop/sse_log.h"
#include "process/sse_signals.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* A child that stops at once exits after so long, come what may. */
#define STOP_MSEC 3000
/* A child that leaves gracefully gives callbacks so long, unless
 * GracefulShutdownTimeout says otherwise. */
#define PATIENCE_SEC       30
#define PATIENCE_STEP_MSEC 250
/* Its last log lines get so many steps to be written. */
#define EXIT_STEPS     50
#define EXIT_STEP_MSEC 10
/* How often a prefork child looks whether it must leave: its signals are held
 * back while a stream is open. */
#define STATE_POLL_MSEC 50
/* Streams, connections of the loop, watched requests, programs. */
#define FNS_MOST 4

static struct {
    sse_loop_t *loop;                   /* const */
    void (*fns[FNS_MOST])(sse_leave_e); /* const */
    int n;                              /* const */
    int is_forked;                      /* const */
    int how;                            /* atomic: sse_leave_e */
    apr_uint32_t count;                 /* atomic: what a stop waits for */
    apr_uint32_t held;     /* atomic: finished requests in callbacks */
    apr_uint32_t requests; /* atomic: all that are not finished */
    uv_timer_t stop;       /* loop; then until the exit */
    uv_timer_t patience;   /* loop */
    apr_uint32_t blocked;  /* loop: those held, at the last look */
    apr_uint64_t since;    /* loop: its clock when that changed */
    int exit_steps;        /* loop: above 0, the process is about to exit */
    uv_timer_t state_poll; /* loop; prefork only */
    sse_task_t poll_task;  /* likewise */
} leave;

sse_leave_e sse_leave_how(void) { return sse_atomic_load(&leave.how); }

apr_uint32_t sse_leave_count(void) { return sse_atomic_load(&leave.count); }

void sse_leave_count_up(void) { sse_atomic_add(&leave.count, 1); }

void sse_leave_count_down(void) { sse_atomic_sub(&leave.count, 1); }

static apr_status_t on_request_gone(void *baton)
{
    sse_atomic_sub(&leave.requests, 1);
    return APR_SUCCESS;
}

int sse_leave_count_request(request_rec *r)
{
    if (!r->main && !r->prev) {
        sse_atomic_add(&leave.requests, 1);
        apr_pool_cleanup_register(r->pool, NULL, on_request_gone,
                                  apr_pool_cleanup_null);
    }
    return OK;
}

void sse_leave_uncount_request(request_rec *r)
{
    apr_pool_cleanup_run(r->pool, NULL, on_request_gone);
}

/* -- What does not come to an end ------------------------------------------ */

static void on_exit_step(uv_timer_t *timer)
{
    if (sse_log_is_done() || ++leave.exit_steps == EXIT_STEPS) {
        _exit(0);
    }
}

/* When the log has said why, or takes too long for that. */
static void exit_soon(void)
{
    leave.exit_steps = 1;
    uv_timer_stop(&leave.patience);
    uv_timer_start(&leave.stop, on_exit_step, EXIT_STEP_MSEC, EXIT_STEP_MSEC);
}

/* On worker a handler's thread waits until its stream's end was told, and the
 * MPM for the handler's thread. */
static void on_stop_over(uv_timer_t *timer)
{
    if (sse_leave_count() || sse_atomic_load(&leave.held)) {
        sse_log_later(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
                      "stopping: module callbacks for ended requests have not "
                      "returned; exiting anyway");
        exit_soon();
    }
}

/* The MPM waits for every connection and every handler, and so for callbacks
 * that hold them.  Other requests may take as long as they want. */
static void on_patience(uv_timer_t *timer)
{
    apr_uint32_t blocked = sse_atomic_load(&leave.held);
    apr_uint64_t now = sse_loop_now(leave.loop);
    int patience = ap_graceful_shutdown_timeout > 0
                       ? ap_graceful_shutdown_timeout
                       : PATIENCE_SEC;

    if (!blocked || blocked != leave.blocked ||
        sse_atomic_load(&leave.requests) > blocked) {
        leave.blocked = blocked;
        leave.since = now;
    }
    else if (now - leave.since >= (apr_uint64_t)patience * 1000) {
        sse_log_later(APLOG_MARK, APLOG_WARNING, 0, ap_server_conf,
                      "leaving gracefully: %u finished requests are blocked in "
                      "module callbacks, for %d s now, and nothing else is "
                      "left to do; exiting without them. Find the module whose "
                      "callback for a stream's end or start hangs; "
                      "GracefulShutdownTimeout limits how long callbacks may "
                      "take",
                      (unsigned)blocked, patience);
        exit_soon();
    }
}

static void on_leave(void *baton)
{
    sse_leave_e how = sse_leave_how();
    int i;

    for (i = 0; i < leave.n; ++i) {
        leave.fns[i](how);
    }
    if (leave.exit_steps) {
        return;
    }
    if (how == SSE_LEAVE_AT_ONCE) {
        uv_timer_stop(&leave.patience);
        uv_timer_start(&leave.stop, on_stop_over, STOP_MSEC, 0);
    }
    else if (!uv_is_active((uv_handle_t *)&leave.patience)) {
        uv_timer_start(&leave.patience, on_patience, 0, PATIENCE_STEP_MSEC);
    }
}

void sse_leave_begin(sse_leave_e how)
{
    if (sse_leave_how() < how) {
        sse_atomic_store(&leave.how, (int)how);
        sse_loop_urge(leave.loop);
    }
}

/* -- A prefork child's signals --------------------------------------------- */

static int is_mpm_stopping(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS &&
           state == AP_MPMQ_STOPPING;
}

/* The handler waits for what has to come from here.  A graceful end may have
 * come before its signals were held back; and one at once may follow it. */
static void on_state_poll(uv_timer_t *timer)
{
    sse_signal_e signal = sse_signals_pending();

    if (signal == SSE_SIGNAL_STOP) {
        sse_leave_begin(SSE_LEAVE_AT_ONCE);
        uv_timer_stop(timer);
    }
    else if (signal == SSE_SIGNAL_GRACEFUL || is_mpm_stopping()) {
        sse_leave_begin(SSE_LEAVE_GRACEFUL);
    }
    else if (!sse_leave_count() && !sse_atomic_load(&leave.held)) {
        uv_timer_stop(timer);
    }
}

void sse_leave_watch_signals(void)
{
    if (leave.is_forked && !uv_is_active((uv_handle_t *)&leave.state_poll)) {
        uv_timer_start(&leave.state_poll, on_state_poll, STATE_POLL_MSEC,
                       STATE_POLL_MSEC);
    }
}

static void on_poll_task(sse_task_t *task) { sse_leave_watch_signals(); }

void sse_leave_hold(void)
{
    sse_atomic_add(&leave.held, 1);
    if (leave.is_forked) {
        sse_loop_post(leave.loop, &leave.poll_task);
    }
}

void sse_leave_let_go(void) { sse_atomic_sub(&leave.held, 1); }

/* -- In a new child -------------------------------------------------------- */

void sse_leave_add(void (*fn)(sse_leave_e how))
{
    if (leave.n == FNS_MOST) {
        abort();
    }
    leave.fns[leave.n++] = fn;
}

void sse_leave_init(sse_loop_t *loop, int is_forked)
{
    leave.loop = loop;
    leave.is_forked = is_forked;
    uv_timer_init(sse_loop_uv(loop), &leave.stop);
    uv_timer_init(sse_loop_uv(loop), &leave.patience);
    uv_timer_init(sse_loop_uv(loop), &leave.state_poll);
    leave.poll_task.run = on_poll_task;
    sse_loop_on_urgent(loop, on_leave, NULL);
}
