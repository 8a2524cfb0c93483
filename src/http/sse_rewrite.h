/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_rewrite.h
 * A location with one of our handlers keeps it.
 *
 * Many an .htaccess file passes every path without a file to one program (a
 * front controller), and a channel's path has no file.  mod_rewrite does that
 * in the fixups, by replacing the handler with its own.  So the request is
 * saved before mod_rewrite's fixups and restored after them.  A refusal or
 * redirect by mod_rewrite ends the fixups, and stands; variables and cookies
 * that it sets are kept.
 *
 * Rules of a server or virtual host, and ProxyPass, come before the locations.
 * Those of mod_rewrite do not change the handler; a request that mod_proxy has
 * taken stays with mod_proxy, which is logged.
 *
 * Threads: the request's.
 */

#ifndef SSE_REWRITE_H
#define SSE_REWRITE_H

#include <httpd.h>

/** fixups hook, between core.c and mod_rewrite.c. */
int sse_rewrite_before(request_rec *r);

/** fixups hook, between mod_rewrite.c on one side, mod_dir.c and mod_proxy.c
 *  on the other. */
int sse_rewrite_after(request_rec *r);

#endif /* SSE_REWRITE_H */
