/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_child.h
 * What each child process has: its store, its loop, its hub; and the hooks that
 * start and stop them.
 *
 * Made by child_init, and gone with the child.  Even a server whose
 * configuration does not use the module has them, since .htaccess may set a
 * handler; that costs a sleeping thread, with the event MPM two.
 *
 * Threads: the child's main thread.
 */

#ifndef SSE_CHILD_H
#define SSE_CHILD_H

#include <httpd.h>

/* Hooks: child_init, child_stopping. */
void sse_child_init(apr_pool_t *pchild, server_rec *s);
void sse_child_stopping(apr_pool_t *pchild, int graceful);

#endif /* SSE_CHILD_H */
