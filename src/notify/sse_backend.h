/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_backend.h
 * When the client of a proxied request leaves, the request at the back end ends
 * as well.
 *
 * While mod_proxy reads a response from its back end, it does not notice that
 * the client has left until it has something to write.  So where SSEWatch is
 * Abort, an input filter tells the watcher which socket the thread reads from,
 * and the watcher shuts that socket down together with the client's.
 *
 * The watcher knows the socket only during such a read.  Then the socket is
 * this request's alone: mod_proxy may return a connection to its pool between
 * two reads, but not during one.
 *
 * This works only for protocols that read through filters: mod_proxy_http and
 * mod_proxy_uwsgi do; FastCGI, AJP, SCGI and HTTP/2 back ends do not.  And only
 * for the body: an error in the head of a response would count against the back
 * end, which its balancer might then disable.
 *
 * Threads: the request's.
 */

#ifndef SSE_BACKEND_H
#define SSE_BACKEND_H

/** register_hooks. */
void sse_backend_register(void);

#endif /* SSE_BACKEND_H */
