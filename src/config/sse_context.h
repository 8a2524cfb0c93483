/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_context.h
 * Where a directive of a location may stand, beyond what httpd checks.
 *
 * Threads: the one that reads the configuration; a request's for .htaccess.
 */

#ifndef SSE_CONTEXT_H
#define SSE_CONTEXT_H

#include <httpd.h>
#include <http_config.h>

/** Not in <Limit>, and in .htaccess only where AllowOverrideList names it.  To
 *  be asked before anything is set.
 *  @return NULL, or what the directive returns */
const char *sse_conf_check_limit(const cmd_parms *cmd);

#endif /* SSE_CONTEXT_H */
