/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "child/sse_child.h"

#include <ap_mpm.h>
#include <errno.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <unistd.h>
#include <unixd.h>

#include "config/sse_config.h"
#include "config/sse_hosts.h"
#include "config/sse_mpm.h"
#include "http/sse_front.h"
#include "hub/sse_hub.h"
#include "loop/sse_loop.h"
#include "loop/sse_broadcast.h"
#include "loop/sse_workers.h"
#include "notify/sse_crash.h"
#include "notify/sse_notify.h"
#include "notify/sse_watcher.h"
#include "sse_atomic.h"
#include "shared/sse_counters.h"
#include "process/sse_leave.h"
#include "process/sse_signals.h"
#include "stream/sse_limits.h"
#include "stream/open/sse_open.h"

APLOG_USE_MODULE(sse);

/* A child that is stopped at once may take so long to tell of its streams. */
#define STOP_WAIT apr_time_from_sec(2)
/* And so long for its loop to leave. */
#define LOOP_WAIT apr_time_from_sec(1)
/* And so long what is still running on the callbacks' threads. */
#define WORKERS_WAIT apr_time_from_msec(500)
#define STEP         apr_time_from_msec(2)

/* const after post_config */
static struct {
    int appended; /* the broadcast for new events */
    int ended;    /* the broadcast for children that have ended */
    sse_store_conf_t *conf;
} parent = {-1, -1, NULL};

typedef struct {
    sse_store_t *store; /* NULL: it could not be opened, see the log */
    sse_loop_t *loop;
    sse_hub_t *hub;     /* NULL: likewise */
    server_rec *server; /* the main one, to log with */
    apr_time_t born;    /* with the pid, which child it is */
    int is_counted;     /* it has a slot in the counters */
} child_t;

static child_t *this_child; /* const after child_init */

/* -- The parent ------------------------------------------------------------ */

/* As old as the server, so that children of two generations wake each other. */
static apr_status_t prepare_broadcasts(void)
{
    parent.appended = sse_broadcast_make("sse_broadcast_appended");
    parent.ended = sse_broadcast_make("sse_broadcast_ended");
    return parent.appended < 0 || parent.ended < 0 ? errno : APR_SUCCESS;
}

/* Whom the store belongs to: root's children become another user. */
static uid_t store_user(void)
{
    return geteuid() ? (uid_t)-1 : ap_unixd_config.user_id;
}

static gid_t store_group(void)
{
    return geteuid() ? (gid_t)-1 : ap_unixd_config.group_id;
}

/* The first configuration that is used is number 1. */
static int is_restart(void) { return ap_state_query(AP_SQ_CONFIG_GEN) > 1; }

/* An error ends the server.  When it starts, somebody is there to see that; a
 * restart may be the work of log rotation at night, and all the sites of the
 * server are not worth less than its events. */
static int prepare_store(apr_pool_t *pconf, server_rec *s)
{
    const char *problem, *notice = NULL;
    apr_status_t rv;

    problem = sse_conf_store(s, pconf, &parent.conf);
    if (problem) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "SSEStore: %s", problem);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    problem = sse_store_remark(parent.conf, pconf);
    if (problem) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, "SSEStore: %s", problem);
    }
    rv = sse_store_prepare(parent.conf, store_user(), store_group(), &notice,
                           pconf);
    if (rv != APR_SUCCESS && is_restart()) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "SSEStore: %s.  The server goes on; what the store is "
                     "needed for is refused until it can be used, which is "
                     "tried again and again",
                     notice);
        return OK;
    }
    if (notice) {
        ap_log_error(APLOG_MARK, rv ? APLOG_ERR : APLOG_WARNING, 0, s,
                     "SSEStore: %s", notice);
    }
    return rv == APR_SUCCESS ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

/* What would end a start.  A restart goes on; but who asks before it whether
 * all is well is told. */
static int test_store(apr_pool_t *ptemp, server_rec *s)
{
    sse_store_conf_t *conf;
    const char *problem;

    if (sse_conf_store(s, ptemp, &conf)) {
        return OK; /* it was told */
    }
    problem = sse_store_test(conf, store_user(), store_group(), ptemp);
    if (problem) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "SSEStore: %s", problem);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

/* Also where the configuration is only tested. */
int sse_child_check_config(apr_pool_t *pconf, apr_pool_t *plog,
                           apr_pool_t *ptemp, server_rec *s)
{
    int status = sse_conf_check(pconf, ptemp, s);

    if (status == OK &&
        ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST) {
        status = test_store(ptemp, s);
    }
    return status;
}

int sse_child_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                          apr_pool_t *ptemp, server_rec *s)
{
    apr_status_t rv;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        /* While who starts the server still waits for its exit status. */
        return test_store(ptemp, s);
    }
    sse_mpm_read();
    sse_mpm_warn(s, sse_front_is_hub, ptemp);
    sse_hosts_tell(s, sse_front_is_hub, ptemp);
    rv = prepare_broadcasts();
    if (rv == APR_SUCCESS) {
        rv = sse_counters_prepare(s->process->pool, SSE_COUNTERS_SLOTS);
    }
    if (rv == APR_SUCCESS) {
        rv = sse_limits_prepare(s->process->pool);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                     "cannot make what the children share (eventfds and "
                     "shared memory): see the server's limits");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return prepare_store(pconf, s);
}

void sse_child_ended(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                     mpm_child_status status)
{
    if (status == MPM_CHILD_EXITED) {
        sse_counters_leave(pid);
        sse_limits_ended(pid);
        sse_broadcast_send(
            parent.ended); /* somebody has to tell of its streams */
    }
}

/* -- The child ------------------------------------------------------------- */

/* Runs before anything that the loop uses goes with the pool. */
static apr_status_t stop_loop(void *baton)
{
    child_t *child = baton;

    if (!sse_loop_stop(child->loop, LOOP_WAIT)) {
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, child->server,
                     "the loop is held up; leaving without it");
        _exit(0);
    }
    /* What goes next, they may be using. */
    switch (sse_workers_finish(WORKERS_WAIT)) {
    case SSE_WORKERS_NONE:
        return APR_SUCCESS;
    case SSE_WORKERS_READY:
    case SSE_WORKERS_CLOSE:
    case SSE_WORKERS_CRASH:
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, child->server,
                     "a callback for a stream's end or beginning does not "
                     "return; leaving without it");
        break;
    case SSE_WORKERS_OWN:
    default:
        ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, child->server,
                     "the store's housekeeping, or a module that logs a "
                     "request or cleans up after it, takes long; leaving "
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

/* A child of prefork has one publisher at a time: so a quarter of all children
 * may wait for a store that takes nothing. */
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

/* Of this child's threads so many may. */
static int publishers(void)
{
    int threads = 0;

    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    return threads >= 8 ? threads / 4 : 1;
}

/* Any thread, also one of the store's own. */
static void announce(void) { sse_broadcast_send(parent.appended); }

static apr_status_t start_hub(child_t *child, apr_pool_t *pool)
{
    apr_status_t rv;

    rv = sse_store_open(&child->store, parent.conf, announce, pool);
    if (rv == APR_SUCCESS) {
        sse_store_limit(child->store, publishers(),
                        query(AP_MPMQ_IS_THREADED) ? NULL : may_stay);
        /* One that the others do not know would be told of while it lives. */
        if (child->is_counted) {
            sse_crash_init(child->server, child->loop, parent.ended,
                           sse_store_private_dir(parent.conf), child->born,
                           pool);
        }
        rv = sse_hub_create(&child->hub, child->loop, child->store,
                            parent.appended, child->server, pool);
    }
    if (rv != APR_SUCCESS) {
        child->store = NULL;
        child->hub = NULL;
    }
    return rv;
}

/* All that has handles on the loop. */
static void init_parts(child_t *child, apr_pool_t *pool)
{
    const char *report;
    apr_status_t rv;

    sse_signals_init(!query(AP_MPMQ_IS_THREADED));
    sse_leave_init(child->loop, !query(AP_MPMQ_IS_THREADED));
    sse_open_init(child->loop, query(AP_MPMQ_IS_ASYNC));
    sse_watcher_init(child->loop);
    rv = start_hub(child, pool);
    report = rv == APR_SUCCESS ? sse_store_report(child->store) : NULL;
    if (report) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, child->server, "%s", report);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, child->server,
                     "cannot follow the event store: this child answers 503; "
                     "see its limits on descriptors and memory");
    }
}

static void enter_board(child_t *child)
{
    child->born = apr_time_now();
    child->is_counted = sse_counters_enter(getpid(), child->born);
    if (!child->is_counted && sse_counters_may_complain()) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, child->server,
                     "more than %d children: the streams of this one, and of "
                     "others that come, are not in the numbers of sse-status, "
                     "and are not told of (stream_crashed) if it is killed; "
                     "lower ServerLimit, with more threads for each child. "
                     "Not told again before the next restart",
                     SSE_COUNTERS_SLOTS);
    }
}

/* Those that what ends cannot do without.  Where the handler's own thread ends
 * its request, and nobody listens, there is none. */
static apr_status_t reserve_workers(void)
{
    apr_status_t rv = query(AP_MPMQ_IS_ASYNC)
                          ? sse_workers_reserve(SSE_WORKERS_OWN)
                          : APR_SUCCESS;

    return rv == APR_SUCCESS ? sse_notify_reserve() : rv;
}

void sse_child_init(apr_pool_t *pchild, server_rec *s)
{
    child_t *child = apr_pcalloc(pchild, sizeof(*child));
    apr_status_t rv;

    child->server = s;
    enter_board(child);
    sse_workers_init(sse_conf_callback_threads(s));
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

static void wait_until_told(void)
{
    apr_interval_time_t left;

    for (left = STOP_WAIT; left > 0 && sse_leave_count(); left -= STEP) {
        apr_sleep(STEP);
    }
}

void sse_child_stopping(apr_pool_t *pchild, int graceful)
{
    if (!this_child) {
        return;
    }
    sse_leave_begin(graceful ? SSE_LEAVE_GRACEFUL : SSE_LEAVE_AT_ONCE);
    if (!graceful) {
        wait_until_told();
    }
}
