/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "config/sse_directives.h"

#include <limits.h>
#include <stdlib.h>

#include <apr_strings.h>
#include <http_log.h>

APLOG_USE_MODULE(sse);

#define MOST 64 /* rows, with the one that ends the table */

/* httpd takes one table, so the topics' tables are joined when the module is
 * loaded. */
command_rec sse_directives[MOST];

static void join(const command_rec *rows, int *n)
{
    for (; rows->name; ++rows) {
        if (*n + 1 == MOST) {
            abort();
        }
        sse_directives[(*n)++] = *rows;
    }
}

__attribute__((constructor)) static void join_all(void)
{
    int n = 0;

    join(sse_directives_channels, &n);
    join(sse_directives_streams, &n);
    join(sse_directives_limits, &n);
    join(sse_directives_hooks, &n);
    join(sse_directives_presence, &n);
    join(sse_directives_exec, &n);
}

/* The directives have all override bits only to give this message, which says
 * more than httpd's "not allowed here".  As in httpd, AllowOverride
 * Nonfatal=Override makes it a warning. */
static const char *check_htaccess(const cmd_parms *cmd)
{
    if (cmd->pool != cmd->temp_pool ||
        (cmd->override_list &&
         apr_table_get(cmd->override_list, cmd->cmd->name))) {
        return NULL;
    }
    if (cmd->override & NONFATAL_OVERRIDE) {
        ap_log_perror(APLOG_MARK, APLOG_WARNING, 0, cmd->temp_pool,
                      "%s in .htaccess is ignored, as no AllowOverrideList "
                      "names it",
                      cmd->cmd->name);
        return DECLINE_CMD;
    }
    return apr_psprintf(cmd->pool,
                        "%s not allowed here: an .htaccess file may have it "
                        "only if the <Directory> says 'AllowOverrideList %s'",
                        cmd->cmd->name, cmd->cmd->name);
}

/* httpd itself silently accepts <Limit POST> around a directive that holds for
 * every method. */
const char *sse_directives_check(const cmd_parms *cmd)
{
    if (cmd->limited == -1) {
        return check_htaccess(cmd);
    }
    return apr_psprintf(cmd->pool,
                        "%s cannot stand in <Limit> or <LimitExcept>, since it "
                        "holds for all methods; put it before that section",
                        cmd->cmd->name);
}

const char *sse_directives_check_config(const cmd_parms *cmd)
{
    const char *wrong = sse_directives_check(cmd);

    if (!wrong && cmd->pool == cmd->temp_pool) {
        wrong = apr_psprintf(cmd->pool,
                             "%s cannot stand in .htaccess; put it into the "
                             "server's configuration, in a <Directory>",
                             cmd->cmd->name);
    }
    return wrong;
}

sse_server_conf_t *sse_directives_server(const cmd_parms *cmd)
{
    return ap_get_module_config(cmd->server->module_config, &sse_module);
}

const char *sse_directives_refuse(const cmd_parms *cmd, const char *value,
                                  const char *allowed)
{
    return apr_psprintf(cmd->pool, "%s: '%s' is not allowed; allowed is %s",
                        cmd->cmd->name, value, allowed);
}

const char *sse_directives_expr(const cmd_parms *cmd, const char *text,
                                const ap_expr_info_t **expr)
{
    const char *wrong;

    *expr =
        ap_expr_parse_cmd(cmd, text, AP_EXPR_FLAG_STRING_RESULT, &wrong, NULL);
    return *expr ? NULL
                 : apr_psprintf(cmd->pool,
                                "%s: '%s' is no expression: %s; allowed is "
                                "text with %%{VARIABLE} or "
                                "%%{function:argument} in it",
                                cmd->cmd->name, text, wrong);
}

const char *sse_directives_words(const cmd_parms *cmd, const char *args,
                                 int max, apr_array_header_t **words)
{
    const char *word, *wrong = sse_directives_check(cmd);

    if (wrong) {
        return wrong;
    }
    *words = apr_array_make(cmd->pool, 4, sizeof(const char *));
    while (*args) {
        word = ap_getword_conf(cmd->pool, &args);
        if (!*word) {
            return apr_psprintf(cmd->pool, "%s: an argument is empty (''); %s",
                                cmd->cmd->name, cmd->cmd->errmsg);
        }
        APR_ARRAY_PUSH(*words, const char *) = word;
    }
    if (!(*words)->nelts || (*words)->nelts > max) {
        return apr_psprintf(cmd->pool, "%s takes %s, %s", cmd->cmd->name,
                            max == INT_MAX ? "at least one argument"
                            : max == 2     ? "one or two arguments"
                                           : "one to three arguments",
                            cmd->cmd->errmsg);
    }
    return NULL;
}

const char *sse_directives_set_word(cmd_parms *cmd, void *dir_conf,
                                    const char *arg)
{
    const sse_directives_word_t *info = cmd->info;
    const char *wrong = sse_directives_check(cmd);
    int i;

    for (i = 0; !wrong && i < 3 && info->words[i]; ++i) {
        if (!ap_cstr_casecmp(arg, info->words[i])) {
            *(int *)((char *)dir_conf + info->offset) = i;
            return NULL;
        }
    }
    return wrong ? wrong : sse_directives_refuse(cmd, arg, info->allowed);
}
