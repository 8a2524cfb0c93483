/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* How many streams there may be, and what of the server they may take. */

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "config/sse_config.h"
#include "config/sse_context.h"
#include "config/sse_directives.h"
#include "config/sse_values.h"

APLOG_USE_MODULE(sse);

static const char *sse_conf_read_limit(const cmd_parms *cmd, const char *arg,
                                       int *limit)
{
    apr_int64_t n;

    if (!sse_conf_parse_count(arg, &n) || n > SSE_COUNT_MAX) {
        return sse_conf_refuse(cmd, arg,
                               "0 (no limit) to 1000000000 open streams");
    }
    *limit = (int)n;
    return NULL;
}

const char *sse_conf_set_max_streams(cmd_parms *cmd, void *dir_conf,
                                     const char *arg)
{
    sse_server_conf_t *conf =
        ap_get_module_config(cmd->server->module_config, &sse_module);
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);

    return wrong ? wrong : sse_conf_read_limit(cmd, arg, &conf->max_streams);
}

const char *sse_conf_set_max_threads(cmd_parms *cmd, void *dir_conf,
                                     const char *arg)
{
    sse_server_conf_t *conf =
        ap_get_module_config(cmd->server->module_config, &sse_module);
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    int is_percent;
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_conf_parse_share(arg, &n, &is_percent) || n < 1 ||
        n > (is_percent ? 100 : SSE_COUNT_MAX)) {
        return sse_conf_refuse(cmd, arg,
                               "1 to 1000000000 threads, or 1% to 100%");
    }
    conf->max_threads = is_percent ? -(int)n : (int)n;
    return NULL;
}

const char *sse_conf_set_max_per_client(cmd_parms *cmd, void *dir_conf,
                                        const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_conf_check_limit(cmd);

    return wrong ? wrong : sse_conf_read_limit(cmd, arg, &conf->max_per_client);
}
