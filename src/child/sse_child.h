/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_child.h
 * What one child process has: its store, its loop, its hub.  The hooks that
 * make it, and that end it.
 *
 * Made by child_init, gone with the child.  A server whose configuration has
 * no use for the module makes it all the same, since a handler may be set by
 * .htaccess; it costs one sleeping thread.
 *
 * Threads: made before the child serves anything; const afterwards.
 */

#ifndef SSE_CHILD_H
#define SSE_CHILD_H

#include <httpd.h>
#include <mpm_common.h>

int sse_child_check_config(apr_pool_t *pconf, apr_pool_t *plog,
                           apr_pool_t *ptemp, server_rec *s);
int sse_child_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                          apr_pool_t *ptemp, server_rec *s);
void sse_child_init(apr_pool_t *pchild, server_rec *s);
void sse_child_stopping(apr_pool_t *pchild, int graceful);
void sse_child_ended(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                     mpm_child_status status);

#endif /* SSE_CHILD_H */
