/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/exec/sse_exec_order.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <stdlib.h>
#include <string.h>
#include <util_script.h>

#include "config/sse_config.h"
#include "http/sse_reply.h"
#include "shared/sse_counters.h"
#include "stream/sse_limits.h"

APLOG_USE_MODULE(sse);

/* -- Arguments ------------------------------------------------------------- */

/* httpd logs what went wrong with the expression. */
static int make_args(request_rec *r, const sse_command_t *command,
                     const char ***argv)
{
    const char **out, *err, *text;
    int i, n = command->args->nelts;

    *argv = out = apr_palloc(r->pool, ((apr_size_t)n + 2) * sizeof(*out));
    *out++ = command->program;
    for (i = 0; i < n; ++i) {
        err = NULL;
        text = ap_expr_str_exec(
            r, APR_ARRAY_IDX(command->args, i, const ap_expr_info_t *), &err);
        if (!text || err) {
            sse_reply_error(r, HTTP_INTERNAL_SERVER_ERROR,
                            "argument %d of the program could not be made; the "
                            "server's error log says why",
                            i + 1);
            return DONE;
        }
        *out++ = text;
    }
    *out = NULL;
    return OK;
}

/* -- Environment ----------------------------------------------------------- */

static void set_channel(apr_table_t *env, const char *channels)
{
    apr_table_setn(env, "SSE_CHANNEL", channels);
}

/* As mod_cgi does it: also whether Authorization is among it (CGIPassAuth). */
static apr_table_t *own_env(request_rec *r, const char *channels,
                            const char *last_id)
{
    apr_table_t *env;

    ap_add_common_vars(r);
    ap_add_cgi_vars(r);
    env = apr_table_copy(r->pool, r->subprocess_env);
    set_channel(env, channels);
    apr_table_unset(env, "SSE_LAST_EVENT_ID");
    if (last_id) {
        apr_table_setn(env, "SSE_LAST_EVENT_ID", last_id);
    }
    return env;
}

/* What is the server's, and the same for all. */
static apr_table_t *shared_env(request_rec *r, const char *channels)
{
    static const char *const names[] = {"PATH", "LD_LIBRARY_PATH", "TZ",
                                        "LANG", "LC_ALL",          NULL};
    apr_table_t *env = apr_table_make(r->pool, 12);
    const char *const *name, *value;

    for (name = names; *name; ++name) {
        value = getenv(*name);
        if (value) {
            apr_table_set(env, *name, value);
        }
    }
    apr_table_setn(env, "SERVER_SOFTWARE", ap_get_server_banner());
    apr_table_set(env, "SERVER_NAME",
                  r->server->server_hostname ? r->server->server_hostname : "");
    apr_table_setn(env, "DOCUMENT_ROOT", ap_document_root(r));
    set_channel(env, channels);
    return env;
}

/* -- The order ------------------------------------------------------------- */

/* SSECommandMax as SSEMaxStreams is: the main server's for all, a virtual
 * host's for itself. */
static void set_limits(request_rec *r, sse_exec_order_t *order)
{
    int in_server = sse_conf_command_max(ap_server_conf);
    int in_host = r->server->is_virtual ? sse_conf_command_max(r->server) : 0;

    order->limit_name = in_host ? sse_limits_host(r) : "";
    order->limit = (apr_uint32_t)(in_host ? in_host : in_server);
    order->server_limit = (apr_uint32_t)(in_host ? in_server : 0);
}

int sse_exec_order_make(request_rec *r, const char *channels,
                        const char *last_id, int is_shared,
                        sse_exec_order_t *order)
{
    const sse_command_t *command = sse_conf_command(r);
    const char **argv;
    apr_table_t *env;
    int generation = 0;

    if (make_args(r, command, &argv) != OK) {
        return DONE;
    }
    env = is_shared ? shared_env(r, channels) : own_env(r, channels, last_id);
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    memset(order, 0, sizeof(*order));
    order->key = "";
    order->argv = argv;
    order->env = (const char *const *)ap_create_environment(r->pool, env);
    order->dir = ap_make_dirstr_parent(r->pool, command->program);
    order->generation = (apr_uint32_t)generation;
    order->linger = sse_conf_command_linger(r);
    set_limits(r, order);
    return OK;
}

/* -- Why it does not run --------------------------------------------------- */

static int answer_limit(request_rec *r, const sse_exec_message_t *answer)
{
    static sse_complaint_t complaint;

    if (sse_complain_is_due(&complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "SSECommandMax %d: that many programs run; further ones "
                      "are answered 503. Raise the limit if the server can "
                      "carry more. Not logged again for a minute",
                      (int)answer->value);
    }
    sse_counters_add(SSE_COUNTER_REFUSED_COMMANDS, 1);
    apr_table_setn(r->notes, "sse-refused", "SSECommandMax");
    apr_table_setn(r->err_headers_out, "Retry-After", SSE_RETRY_AFTER);
    sse_reply_error(r, HTTP_SERVICE_UNAVAILABLE,
                    "the limit on programs (SSECommandMax) is reached; try "
                    "again later");
    return DONE;
}

/* The program's own fault, or its location's. */
static int answer_broken(request_rec *r, apr_status_t error, int is_dir)
{
    const sse_command_t *command = sse_conf_command(r);
    const char *what = "the program cannot be run";

    if (error == ENOENT) {
        what = "the program, or its interpreter, is not there";
    }
    else if (is_dir) {
        what = "the program's directory cannot be entered";
    }
    else if (error == EACCES) {
        what = "the server's user may not execute the program";
    }
    else if (error == ENOEXEC) {
        what = "the program is none; a script begins with #! and the path of "
               "its interpreter";
    }
    if (sse_complain_is_due(command->complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, error, r,
                      "SSECommand %s: %s. Requests are answered 500. Not "
                      "logged again for a minute",
                      command->program, what);
    }
    sse_reply_error(r, HTTP_INTERNAL_SERVER_ERROR,
                    "%s; the server's error log names it", what);
    return DONE;
}

/* The client may be to blame, so it is not logged as an error. */
static int answer_large(request_rec *r)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, E2BIG, r, "SSECommand %s",
                  sse_conf_command(r)->program);
    sse_reply_error(r, HTTP_INTERNAL_SERVER_ERROR,
                    "the program's arguments and environment, or one of them, "
                    "are larger than the system allows");
    return DONE;
}

/* @param error 0: there is nobody to ask */
static const char *what_to_do(apr_status_t error)
{
    switch (error) {
    case 0:
        return "the process that starts programs is away";
    case APR_TIMEUP:
        return "the process that starts programs has not answered";
    case EMFILE:
        return "there is no descriptor left for it: raise LimitNOFILE of "
               "systemd's unit, or the limit of ulimit -n";
    case ENOSPC:
        return "there is no room to watch it: raise the sysctl "
               "fs.epoll.max_user_watches";
    default:
        return "see the limits on processes and threads (TasksMax of systemd's "
               "unit, RLIMIT_NPROC of the user, the cgroup's pids.max), "
               "descriptors and memory";
    }
}

static int answer_away(request_rec *r, apr_status_t error)
{
    static sse_complaint_t complaint;

    if (sse_complain_is_due(&complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, error, r,
                      "SSECommand %s cannot be started now, and its requests "
                      "are answered 503: %s. Not logged again for a minute",
                      sse_conf_command(r)->program, what_to_do(error));
    }
    apr_table_setn(r->err_headers_out, "Retry-After", SSE_RETRY_AFTER);
    sse_reply_error(r, HTTP_SERVICE_UNAVAILABLE,
                    "the program cannot be started now; try again");
    return DONE;
}

/* What was wanting here, or somebody's answer; 0: somebody to ask. */
static apr_status_t shortage(apr_status_t rv)
{
    return APR_STATUS_IS_TIMEUP(rv) || rv == EAGAIN || rv == EMFILE ||
                   rv == ENFILE || rv == ENOMEM || rv == ENOBUFS || rv == ENOSPC
               ? rv
               : 0;
}

int sse_exec_order_failed(request_rec *r, apr_status_t rv,
                          const sse_exec_message_t *answer)
{
    if (rv == E2BIG) {
        return answer_large(r);
    }
    switch (answer->type == SSE_EXEC_FAILED ? answer->why : 0) {
    case SSE_EXEC_WHY_LIMIT:
        return answer_limit(r, answer);
    case SSE_EXEC_WHY_EXEC:
        return answer->error == E2BIG ? answer_large(r)
                                      : answer_broken(r, answer->error, 0);
    case SSE_EXEC_WHY_DIR:
        return answer_broken(r, answer->error, 1);
    case SSE_EXEC_WHY_FORK:
        return answer_away(r, answer->error);
    default:
        return answer_away(r, shortage(rv));
    }
}
