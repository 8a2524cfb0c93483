/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "child/sse_parent.h"

#include <errno.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <unistd.h>
#include <unixd.h>

#include "config/sse_commands.h"
#include "config/sse_config.h"
#include "config/sse_hosts.h"
#include "config/sse_mpm.h"
#include "exec/sse_exec_supervisor.h"
#include "http/sse_front.h"
#include "http/status/sse_status.h"
#include "loop/sse_broadcast.h"
#include "notify/webhook/sse_hook.h"
#include "shared/sse_counters.h"
#include "stream/sse_limits.h"

APLOG_USE_MODULE(sse);

static sse_parent_t parent = {-1, -1, NULL}; /* const after post_config */

const sse_parent_t *sse_parent(void) { return &parent; }

/* The owner of the store: root's children become another user. */
static uid_t store_user(void)
{
    return geteuid() ? (uid_t)-1 : ap_unixd_config.user_id;
}

static gid_t store_group(void)
{
    return geteuid() ? (gid_t)-1 : ap_unixd_config.group_id;
}

/* An error ends the server at its start, when somebody is there to see it.  A
 * restart (a generation above 1) may come from log rotation at night, and must
 * not take all the sites of the server down for its events. */
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
    if (rv != APR_SUCCESS && ap_state_query(AP_SQ_CONFIG_GEN) > 1) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "SSEStore: %s.  The server goes on; requests that need "
                     "the store are refused until it can be used, which is "
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

/* What would end a start.  A restart goes on, but a test of the configuration
 * before it reports the same. */
static int test_store(apr_pool_t *ptemp, server_rec *s)
{
    sse_store_conf_t *conf;
    const char *problem;

    if (sse_conf_store(s, ptemp, &conf)) {
        return OK; /* already reported */
    }
    problem = sse_store_test(conf, store_user(), store_group(), ptemp);
    if (problem) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "SSEStore: %s", problem);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

/* Also when the configuration is only tested. */
int sse_parent_check_config(apr_pool_t *pconf, apr_pool_t *plog,
                            apr_pool_t *ptemp, server_rec *s)
{
    int status = sse_conf_check(pconf, ptemp, s);

    if (status == OK) {
        status = sse_hook_check(pconf, s);
    }
    if (status == OK &&
        ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST) {
        sse_commands_warn(s, ptemp);
        status = test_store(ptemp, s);
    }
    return status;
}

/* As with the store, a restart goes on without. */
static int prepare_programs(apr_pool_t *pconf, server_rec *s)
{
    apr_status_t rv =
        sse_exec_supervisor_prepare(pconf, s, sse_conf_has_commands(s));

    if (rv == APR_SUCCESS) {
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_ERR, rv, s,
                 "SSECommand: cannot start the supervisor of programs: see the "
                 "server's limits on processes and descriptors");
    return ap_state_query(AP_SQ_CONFIG_GEN) > 1 ? OK
                                                : HTTP_INTERNAL_SERVER_ERROR;
}

int sse_parent_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                           apr_pool_t *ptemp, server_rec *s)
{
    apr_status_t rv;
    int status;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        /* The command that starts the server still waits for its status. */
        return test_store(ptemp, s);
    }
    sse_status_started();
    sse_mpm_read();
    sse_mpm_warn(s, sse_front_is_hub, ptemp);
    sse_hosts_tell(s, sse_front_is_hub, ptemp);
    sse_commands_warn(s, ptemp);
    /* As old as the server, so that children of two generations wake each
     * other. */
    parent.appended = sse_broadcast_make("sse_broadcast_appended");
    parent.ended = sse_broadcast_make("sse_broadcast_ended");
    rv = parent.appended < 0 || parent.ended < 0 ? errno : APR_SUCCESS;
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
    status = prepare_store(pconf, s);
    return status == OK ? prepare_programs(pconf, s) : status;
}

void sse_parent_child_ended(server_rec *s, pid_t pid, ap_generation_t gen,
                            int slot, mpm_child_status status)
{
    if (status == MPM_CHILD_EXITED) {
        sse_counters_leave(pid);
        sse_limits_ended(pid);
        sse_broadcast_send(parent.ended); /* another child tells of it */
    }
}
