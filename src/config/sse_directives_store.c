/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Where events live. */

#include <limits.h>

#include <apr_strings.h>

#include "config/sse_directives.h"

static const char *set_store(cmd_parms *cmd, void *dir_conf, const char *args)
{
    sse_server_conf_t *conf = sse_directives_server(cmd);
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    apr_array_header_t *words;
    sse_store_conf_t *ignored;
    const char *dir = sse_conf_store_base(cmd->temp_pool);

    if (!wrong) {
        wrong = sse_directives_words(cmd, args, INT_MAX, &words);
    }
    if (wrong) {
        return wrong;
    }
    conf->store_argc = words->nelts;
    conf->store_argv = (const char *const *)words->elts;
    /* Read again once DefaultRuntimeDir is sure to be known: now is the time
     * when the line's number is. */
    wrong = sse_store_configure(&ignored, cmd->temp_pool, dir ? dir : "/",
                                conf->store_argc, conf->store_argv);
    return wrong ? apr_psprintf(cmd->pool, "%s: %s", cmd->cmd->name, wrong)
                 : NULL;
}

const command_rec sse_directives_store[] = {
    AP_INIT_RAW_ARGS("SSEStore", set_store, NULL, SSE_IN_SERVER,
                     "where events live: a store's name [key=value ...]"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
