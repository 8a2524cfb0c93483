/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_rewrite.h
 * A location whose handler is ours keeps it.
 *
 * Most applications come with an .htaccess file that gives every path which is
 * no file to one program (a front controller), and a channel's path is no file.
 * mod_rewrite does so in the fixups, after the configuration has chosen the
 * handler, by putting a handler of its own in its place.  So the request is
 * noted before mod_rewrite's fixups, and put back as it was behind them.  What
 * mod_rewrite refuses or redirects ends the fixups, and so stays as it is;
 * variables and cookies that it has set stay as well.
 *
 * Rules of a server or virtual host, and ProxyPass, work before any location is
 * looked at.  mod_rewrite's leave the handler alone; what mod_proxy has taken
 * stays there, and the log says so.
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
