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
    const sse_store_provider_t *provider;
    apr_array_header_t *words;
    sse_store_conf_t *ignored;
    const char *const *argv;
    const char *dir = sse_conf_store_base(cmd->temp_pool);

    if (!wrong) {
        wrong = sse_directives_words(cmd, args, INT_MAX, &words);
    }
    if (wrong) {
        return wrong;
    }
    argv = (const char *const *)words->elts;
    provider = sse_store_provider(argv[0]);
    if (!provider) {
        return sse_directives_refuse(cmd, argv[0],
                                     "the store's name: lmdb [key=value ...]");
    }
    /* Read again once DefaultRuntimeDir is sure to be known: now is the time
     * when the line's number is. */
    wrong = provider->configure(&ignored, cmd->temp_pool, dir ? dir : "/",
                                words->nelts - 1, argv + 1);
    if (wrong) {
        return apr_psprintf(cmd->pool, "%s %s: %s", cmd->cmd->name, argv[0],
                            wrong);
    }
    conf->provider = provider;
    conf->store_argc = words->nelts - 1;
    conf->store_argv = argv + 1;
    return NULL;
}

const command_rec sse_directives_store[] = {
    AP_INIT_RAW_ARGS("SSEStore", set_store, NULL, SSE_IN_SERVER,
                     "where events live: lmdb [dir=path] [size=bytes] "
                     "[sync=on|off]"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
