/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_backend.h
 * A proxied request whose client leaves ends at the back end, too.
 *
 * mod_proxy reads a response from its back end, and learns that the client has
 * left only when it has something to write.  So where SSEWatch is Abort, a
 * filter on what mod_proxy reads lets the watcher know of the socket that the
 * thread waits for, and the watcher shuts that one when it shuts the client's.
 *
 * It is known only while the thread is within that read.  Then the socket is
 * this request's alone: mod_proxy gives a connection back to its pool between
 * two reads, and never while it reads.
 *
 * Only what reads through filters has this: mod_proxy_http and mod_proxy_uwsgi
 * do, FastCGI, AJP, SCGI and HTTP/2 back ends do not.  And only the body is
 * read so: an error in a response's head would count against the back end, and
 * may take it out of its balancer.
 *
 * Threads: the request's.
 */

#ifndef SSE_BACKEND_H
#define SSE_BACKEND_H

/** register_hooks. */
void sse_backend_register(void);

#endif /* SSE_BACKEND_H */
