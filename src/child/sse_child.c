/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "child/sse_child.h"

#include <ap_mpm.h>
#include <http_log.h>
#include <unistd.h>

#include "child/sse_parent.h"
#include "config/sse_config.h"
#include "config/sse_mpm.h"
#include "exec/sse_exec_client.h"
#include "exec/sse_exec_shared.h"
#include "exec/sse_exec_stream.h"
#include "exec/sse_exec_supervisor.h"
#include "http/status/sse_status.h"
#include "hub/sse_hub.h"
#include "hub/sse_presence.h"
#include "loop/sse_loop.h"
#include "loop/sse_broadcast.h"
#include "loop/sse_workers.h"
#include "notify/sse_crash.h"
#include "notify/sse_ended.h"
#include "notify/sse_notify.h"
#include "notify/sse_watcher.h"
#include "notify/webhook/sse_hook.h"
#include "shared/sse_counters.h"
#include "process/sse_leave.h"
#include "process/sse_signals.h"
#include "stream/open/sse_open.h"

APLOG_USE_MODULE(sse);

/* How long a child that stops at once waits until the ends of its streams have
 * been told, */
#define STOP_WAIT apr_time_from_sec(2)
/* for its programs' output to be returned: what is under way to a store that
 * does not answer comes back after 5 s, */
#define PROGRAMS_WAIT apr_time_from_sec(6)
/* for its loop to leave, */
#define LOOP_WAIT apr_time_from_sec(1)
/* and for callbacks that are still running. */
#define WORKERS_WAIT apr_time_from_msec(500)
#define STEP         apr_time_from_msec(2)

typedef struct {
    sse_loop_t *loop;
    sse_hub_t *hub;     /* NULL: no store could be opened, see the log */
    server_rec *server; /* the main one, to log with */
    apr_time_t born;    /* with the pid, which child it is */
    int is_counted;     /* it has a slot in the counters */
} child_t;

static child_t *this_child; /* const after child_init */

/* Else what was read of it, and not published, would be lost. */
static void await_programs(void)
{
    apr_interval_time_t left = PROGRAMS_WAIT;

    if (sse_exec_shared_is_busy() && sse_leave_how() == SSE_STAY) {
        sse_leave_begin(SSE_LEAVE_GRACEFUL);
    }
    if (sse_leave_how() == SSE_LEAVE_AT_ONCE) {
        left = 0; /* it has waited */
    }
    for (; left > 0 && sse_exec_shared_is_busy(); left -= STEP) {
        apr_sleep(STEP);
    }
}

/* Runs before anything that the loop uses goes with the pool. */
static apr_status_t stop_loop(void *baton)
{
    child_t *child = baton;

    await_programs();
    if (!sse_loop_stop(child->loop, LOOP_WAIT)) {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, child->server,
                     "the event loop does not end; leaving without it");
        _exit(0);
    }
    /* They may be using what the pool destroys next. */
    switch (sse_workers_finish(WORKERS_WAIT)) {
    case SSE_WORKERS_NONE:
        return APR_SUCCESS;
    case SSE_WORKERS_READY:
    case SSE_WORKERS_CLOSE:
    case SSE_WORKERS_CRASH:
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, child->server,
                     "a module's callback for the end or beginning of a stream "
                     "does not return; leaving without it");
        break;
    case SSE_WORKERS_CLAIM:
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, child->server,
                     "taking over what a dead child has left takes long; "
                     "leaving without it");
        break;
    case SSE_WORKERS_PRESENCE:
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, child->server,
                     "the store takes long for who is on a channel; leaving "
                     "without it");
        break;
    case SSE_WORKERS_PROGRAMS:
    case SSE_WORKERS_REJOIN:
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, child->server,
                     "the store, or the supervisor of programs, takes long for "
                     "a shared program; leaving without it");
        break;
    case SSE_WORKERS_OWN:
    default:
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, child->server,
                     "the store's housekeeping, or a module's logging or "
                     "cleaning up after a request, takes long; leaving "
                     "without it");
        break;
    }
    _exit(0);
}

static int query(int what)
{
    int answer = 0;

    return ap_mpm_query(what, &answer) == APR_SUCCESS && answer;
}

/* A child of prefork has one publisher at a time, so a quarter of all children
 * may wait for a store that accepts nothing. */
static int may_stay(int by)
{
    int children = 0;

    sse_counters_add(SSE_COUNTER_STALLED, by);
    if (by < 0) {
        return 0;
    }
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &children);
    if (sse_counters_sum(SSE_COUNTER_STALLED) * 4 <=
        (apr_uint64_t)(children > 4 ? children : 4)) {
        return 1;
    }
    sse_counters_add(SSE_COUNTER_STALLED, -1);
    return 0;
}

/* How many of this child's threads may. */
static int publishers(void)
{
    int threads = 0;

    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    return threads >= 8 ? threads / 4 : 1;
}

/* Any thread, also one of the store's own. */
static void announce(void) { sse_broadcast_send(sse_parent()->appended); }

static apr_status_t open_hub(child_t *child, apr_pool_t *pool)
{
    const sse_parent_t *parent = sse_parent();
    const char *report;
    sse_store_t *store;
    apr_status_t rv = sse_store_open(&store, parent->conf, announce, pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    sse_store_limit(store, publishers(),
                    query(AP_MPMQ_IS_THREADED) ? NULL : may_stay);
    sse_ended_init(child->server, child->loop, parent->ended, child->born,
                   child->is_counted);
    sse_presence_init(store, child->loop, child->server);
    sse_status_init(store, child->loop);
    sse_crash_init(child->server, sse_store_private_dir(parent->conf), pool);
    sse_hook_init(child->server, sse_store_private_dir(parent->conf), pool);
    rv = sse_hub_create(&child->hub, child->loop, store, parent->appended,
                        child->server, pool);
    report = rv == APR_SUCCESS ? sse_store_report(store) : NULL;
    if (report) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, child->server, "%s", report);
    }
    return rv;
}

static void on_turn(apr_uint64_t nsec)
{
    sse_counters_observe(SSE_HISTOGRAM_LAG, nsec);
}

/* The parts that have handles on the loop. */
static void init_parts(child_t *child, apr_pool_t *pool)
{
    apr_status_t rv;

    sse_loop_on_turn(child->loop, on_turn);
    sse_signals_init(!query(AP_MPMQ_IS_THREADED));
    sse_leave_init(child->loop, !query(AP_MPMQ_IS_THREADED));
    sse_open_init(child->loop, query(AP_MPMQ_IS_ASYNC));
    sse_watcher_init(child->loop);
    sse_exec_client_init(child->loop, child->server);
    sse_exec_stream_init(child->loop);
    sse_exec_shared_init(child->loop);
    rv = open_hub(child, pool);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, child->server,
                     "cannot open the event store: this child answers 503; "
                     "see its limits on descriptors and memory");
    }
}

static void enter_counters(child_t *child)
{
    child->born = apr_time_now();
    child->is_counted = sse_counters_enter(getpid(), child->born);
    if (!child->is_counted && sse_counters_may_complain()) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, child->server,
                     "more than %d children: the streams of this one, and of "
                     "those that start later, are not counted in sse-status; "
                     "lower ServerLimit, with more threads for each child. Not "
                     "logged again before the next restart",
                     SSE_COUNTERS_SLOTS);
    }
}

/* The threads without which nothing could end.  Where the handler's own thread
 * ends its request, and there is no listener to ends, none is needed. */
static apr_status_t reserve_workers(void)
{
    apr_status_t rv = query(AP_MPMQ_IS_ASYNC)
                          ? sse_workers_reserve(SSE_WORKERS_OWN)
                          : APR_SUCCESS;

    if (rv == APR_SUCCESS) {
        rv = sse_notify_reserve();
    }
    return rv == APR_SUCCESS ? sse_hook_reserve() : rv;
}

void sse_child_init(apr_pool_t *pchild, server_rec *s)
{
    child_t *child = apr_pcalloc(pchild, sizeof(*child));
    apr_status_t rv;

    child->server = s;
    sse_exec_supervisor_forget();
    enter_counters(child);
    sse_workers_init(sse_conf_callback_threads(s));
    /* One more than can wait: each waits for a thread of mod_http2's. */
    sse_workers_set_most(SSE_WORKERS_HTTP2, sse_mpm()->h2_threads + 1);
    rv = sse_loop_create(&child->loop);
    if (rv == APR_SUCCESS) {
        init_parts(child, pchild);
        rv = reserve_workers();
    }
    if (rv == APR_SUCCESS) {
        rv = sse_loop_start(child->loop, pchild);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "cannot start the event loop and its workers: this child "
                     "answers 503 to streams; see the limits on threads "
                     "(TasksMax of systemd's unit, RLIMIT_NPROC of the user, "
                     "the cgroup's pids.max) and on descriptors");
        return;
    }
    this_child = child;
    sse_hub_use(child->hub);
    apr_pool_pre_cleanup_register(pchild, child, stop_loop);
}

void sse_child_stopping(apr_pool_t *pchild, int graceful)
{
    apr_interval_time_t left = graceful ? 0 : STOP_WAIT;

    if (!this_child) {
        return;
    }
    sse_leave_begin(graceful ? SSE_LEAVE_GRACEFUL : SSE_LEAVE_AT_ONCE);
    /* Members that have not left by then are claimed by the next start. */
    for (; left > 0 && (sse_leave_count() || sse_presence_is_busy() ||
                        sse_exec_shared_is_busy());
         left -= STEP) {
        apr_sleep(STEP);
    }
}
