/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "config/sse_context.h"

#include <apr_strings.h>
#include <http_log.h>

APLOG_USE_MODULE(sse);

/* The directives have the override bits of .htaccess files only so that they
 * may say this themselves: httpd's "not allowed here" does not help.  As httpd
 * has it, AllowOverride Nonfatal=Override makes a warning of it. */
static const char *sse_conf_check_htaccess(const cmd_parms *cmd)
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

/* httpd itself would let <Limit POST> around a directive that holds for every
 * method pass in silence. */
const char *sse_conf_check_limit(const cmd_parms *cmd)
{
    if (cmd->limited == -1) {
        return sse_conf_check_htaccess(cmd);
    }
    return apr_psprintf(cmd->pool,
                        "%s cannot stand in <Limit> or <LimitExcept>, since it "
                        "holds for all methods; put it before that section",
                        cmd->cmd->name);
}
