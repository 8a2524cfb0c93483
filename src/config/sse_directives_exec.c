/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Programs: what the handler sse-exec runs. */

#include <limits.h>
#include <stddef.h>

#include <apr_strings.h>

#include "config/sse_directives.h"
#include "config/sse_values.h"

#define ARGS_MAX    10000
#define LINGER_MAX  apr_time_from_sec(24 * 60 * 60)
#define MAX_ALLOWED "1 to " APR_STRINGIFY(SSE_COMMAND_MAX_MOST) " programs"

/* SSECommand and what goes with it cannot stand in .htaccess: the parent starts
 * what starts programs only where the server's configuration names one; and an
 * .htaccess file is written by those whose programs the server does not run. */

/* -- SSECommand ------------------------------------------------------------ */

static void keep(const cmd_parms *cmd, sse_command_t *command)
{
    sse_server_conf_t *conf = sse_directives_server(cmd);

    command->complaint = apr_pcalloc(cmd->pool, sizeof(*command->complaint));
    command->file = cmd->directive->filename;
    command->line = cmd->directive->line_num;
    if (!conf->commands) {
        conf->commands =
            apr_array_make(cmd->pool, 4, sizeof(const sse_command_t *));
    }
    APR_ARRAY_PUSH(conf->commands, const sse_command_t *) = command;
}

static const char *add_args(const cmd_parms *cmd,
                            const apr_array_header_t *words,
                            sse_command_t *command)
{
    const ap_expr_info_t *expr;
    const char *wrong = NULL;
    int i;

    command->args =
        apr_array_make(cmd->pool, words->nelts, sizeof(const ap_expr_info_t *));
    for (i = 1; i < words->nelts && !wrong; ++i) {
        wrong = sse_directives_expr(cmd, APR_ARRAY_IDX(words, i, const char *),
                                    &expr);
        APR_ARRAY_PUSH(command->args, const ap_expr_info_t *) = expr;
    }
    return wrong;
}

static const char *set_command(cmd_parms *cmd, void *dir_conf, const char *args)
{
    sse_dir_conf_t *conf = dir_conf;
    sse_command_t *command = apr_pcalloc(cmd->pool, sizeof(*command));
    apr_array_header_t *words;
    const char *wrong = sse_directives_check_config(cmd);

    wrong = wrong ? wrong : sse_directives_words(cmd, args, INT_MAX, &words);
    if (wrong) {
        return wrong;
    }
    command->program = APR_ARRAY_IDX(words, 0, const char *);
    if (words->nelts == 1 && !ap_cstr_casecmp(command->program, "none")) {
        conf->command = command;
        command->program = NULL;
        return NULL;
    }
    if (command->program[0] != '/') {
        return sse_directives_refuse(cmd, command->program,
                                     "an absolute path, such as /usr/bin/tail, "
                                     "and after it the program's arguments; or "
                                     "none alone");
    }
    if (words->nelts - 1 > ARGS_MAX) {
        return apr_psprintf(cmd->pool, "%s takes %d arguments at most",
                            cmd->cmd->name, ARGS_MAX);
    }
    wrong = add_args(cmd, words, command);
    if (!wrong) {
        keep(cmd, command);
        conf->command = command;
    }
    return wrong;
}

/* -- The others ------------------------------------------------------------ */

static const char *set_word(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    const char *wrong = sse_directives_check_config(cmd);

    return wrong ? wrong : sse_directives_set_word(cmd, dir_conf, arg);
}

static const char *set_linger(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    sse_dir_conf_t *conf = dir_conf;
    const char *wrong = sse_directives_check_config(cmd);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_time(arg, &n) || n > LINGER_MAX) {
        return sse_directives_refuse(cmd, arg, "0 to 24h: " SSE_VALUES_TIME);
    }
    conf->command_linger = n;
    return NULL;
}

static const char *set_max(cmd_parms *cmd, void *dir_conf, const char *arg)
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    apr_int64_t n;

    if (wrong) {
        return wrong;
    }
    if (!sse_values_count(arg, &n) || n < 1 || n > SSE_COMMAND_MAX_MOST) {
        return sse_directives_refuse(cmd, arg, MAX_ALLOWED);
    }
    sse_directives_server(cmd)->command_max = (int)n;
    return NULL;
}

static const sse_directives_word_t format = {
    offsetof(sse_dir_conf_t, command_format), "lines or sse", {"lines", "sse"}};

static const sse_directives_word_t share = {
    offsetof(sse_dir_conf_t, command_share), "On or Off", {"Off", "On"}};

const command_rec sse_directives_exec[] = {
    AP_INIT_RAW_ARGS("SSECommand", set_command, NULL, SSE_ANYWHERE,
                     "what sse-exec runs: a program's absolute path and its "
                     "arguments, which are expression strings; or none"),
    AP_INIT_TAKE1("SSECommandFormat", set_word, (void *)&format, SSE_ANYWHERE,
                  "lines or sse: whether each line of the output is an event, "
                  "or the output is an event stream"),
    AP_INIT_TAKE1("SSECommandShare", set_word, (void *)&share, SSE_ANYWHERE,
                  "On or Off: whether all subscribers of a channel share one "
                  "program"),
    AP_INIT_TAKE1("SSECommandLinger", set_linger, NULL, SSE_ANYWHERE,
                  "a time such as 10s: how long a shared program outlives its "
                  "last subscriber"),
    AP_INIT_TAKE1("SSECommandMax", set_max, NULL, SSE_IN_SERVER,
                  "a count: the programs that may run at a time"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
