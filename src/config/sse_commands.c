/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "config/sse_commands.h"

#include <apr_file_info.h>
#include <http_log.h>

#include "config/sse_config.h"

APLOG_USE_MODULE(sse);

/* @return NULL: it looks like a program */
static const char *fault_of(const char *program, apr_status_t *rv,
                            apr_pool_t *ptemp)
{
    apr_int32_t any = APR_UEXECUTE | APR_GEXECUTE | APR_WEXECUTE;
    apr_finfo_t info;

    *rv = apr_stat(&info, program, APR_FINFO_TYPE | APR_FINFO_PROT, ptemp);
    if (*rv != APR_SUCCESS) {
        return "the program is not there";
    }
    if (info.filetype != APR_REG) {
        return "that is no file";
    }
    return info.protection & any ? NULL : "the file is not executable";
}

static void look_at(const server_rec *s, const sse_command_t *command,
                    apr_pool_t *ptemp)
{
    apr_status_t rv;
    const char *fault = fault_of(command->program, &rv, ptemp);

    if (fault) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                     "SSECommand %s (%s:%d): %s; requests are answered 500 "
                     "until it can be run",
                     command->program, command->file, command->line, fault);
    }
}

void sse_commands_warn(const server_rec *main_server, apr_pool_t *ptemp)
{
    const apr_array_header_t *commands;
    const server_rec *s;
    int i;

    for (s = main_server; s; s = s->next) {
        commands = sse_conf_commands(s);
        for (i = 0; commands && i < commands->nelts; ++i) {
            look_at(s, APR_ARRAY_IDX(commands, i, const sse_command_t *),
                    ptemp);
        }
    }
}
