/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file mod_sse.c
 * The front door: the module record, and one call for each part.
 */

#include "mod_sse.h"

#include <ap_mpm.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

#include "api/sse_api.h"
#include "config/sse_config.h"
#include "config/sse_directives.h"
#include "exec/sse_exec_supervisor.h"
#include "http/exec/sse_exec_handler.h"
#include "http/sse_ask.h"
#include "http/sse_body.h"
#include "http/sse_front.h"
#include "http/sse/sse_handler.h"
#include "http/sse_rewrite.h"
#include "http/status/sse_status.h"
#include "notify/sse_notify.h"
#include "notify/sse_watcher.h"
#include "notify/webhook/sse_hook.h"
#include "child/sse_child.h"
#include "child/sse_parent.h"
#include "process/sse_leave.h"
#include "process/sse_signals.h"
#include "stream/async/sse_async.h"
#include "stream/sse_conn_record.h"
#include "stream/sse_seal.h"
#include "stream/splice/sse_splice.h"
#include "stream/wait/sse_h2_requests.h"
#include "stream/sse_stream.h"

static void register_rewrite(void)
{
    static const char *const chooses[] = {"core.c", NULL};
    static const char *const rewrites[] = {"mod_rewrite.c", NULL};
    static const char *const follows[] = {"mod_dir.c", "mod_proxy.c", NULL};

    ap_hook_fixups(sse_rewrite_before, chooses, rewrites,
                   APR_HOOK_REALLY_FIRST);
    ap_hook_fixups(sse_rewrite_after, rewrites, follows, APR_HOOK_FIRST);
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(sse_parent_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(sse_parent_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(sse_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(sse_child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(sse_parent_child_ended, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(sse_exec_supervisor_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(sse_leave_count_request, NULL, NULL,
                              APR_HOOK_REALLY_FIRST);
    register_rewrite();
    ap_hook_post_read_request(sse_async_keep_protocol, NULL, NULL,
                              APR_HOOK_REALLY_FIRST);
    ap_hook_fixups(sse_watcher_fixups, NULL, NULL, APR_HOOK_LAST);
    /* Before the logs are written, so that they have the notes. */
    ap_hook_log_transaction(sse_watcher_log, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_pre_connection(sse_conn_record_create, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(sse_front_handler, NULL, NULL, APR_HOOK_MIDDLE);
    /* After it the connection is another thread's. */
    ap_hook_suspend_connection(sse_async_suspended, NULL, NULL,
                               APR_HOOK_REALLY_LAST);
    ap_hook_pre_close_connection(sse_signals_close, NULL, NULL,
                                 APR_HOOK_REALLY_FIRST);
    sse_async_register();
    sse_h2_register();
    sse_splice_register();
    sse_seal_register();
    sse_body_register();
    sse_ask_register();
    sse_handler_register();
    sse_exec_handler_register();
    sse_status_register();
    sse_notify_register();
    sse_hook_register();
    sse_watcher_backend_register();
    sse_watcher_output_register();
    sse_api_register();
}

/* -fvisibility=hidden would hide it from httpd. */
extern module SSE_DECLARE_DATA sse_module;

module SSE_DECLARE_DATA sse_module = {
    STANDARD20_MODULE_STUFF, sse_conf_create_dir,   sse_conf_merge_dir,
    sse_conf_create_server,  sse_conf_merge_server, sse_directives,
    register_hooks,          AP_MODULE_FLAG_NONE};
