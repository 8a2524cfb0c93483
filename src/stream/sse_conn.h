/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_conn.h
 * What can be asked of any httpd connection.
 *
 * Over TLS a client shuts down its sending side by close_notify: since TLS 1.3
 * this says nothing about the other direction (RFC 8446, 6.1).  Before, the
 * answer to it was to be close_notify and the end, whatever was still to be
 * sent (RFC 5246, 7.2.1).  A FIN without close_notify is a truncation in all
 * versions: the client, or its network, has failed.
 *
 * Threads: the connection's owner.
 */

#ifndef SSE_CONN_H
#define SSE_CONN_H

#include <httpd.h>

/** The connection's descriptor, or -1 where it has none of its own (HTTP/2). */
int sse_conn_fd(conn_rec *c);

/** Whether it speaks TLS, so that its end may come as bytes. */
int sse_conn_is_tls(conn_rec *c);

/** Whether its client may shut down its sending side and mean just that.
 *  Request thread. */
int sse_conn_may_half_close(request_rec *r);

/** What a look at a TLS connection's input found. */
typedef enum {
    SSE_INPUT_NONE, /**< nothing for us: go on watching */
    SSE_INPUT_DATA, /**< a request, stray bytes, what cannot be read: leave */
    SSE_INPUT_HALF, /**< close_notify, with or without FIN behind it */
    SSE_INPUT_END   /**< FIN without close_notify */
} sse_input_e;

/** Look at the input, without blocking or consuming.
 *  @param bb an empty brigade to use */
sse_input_e sse_conn_look(conn_rec *c, apr_bucket_brigade *bb);

#endif /* SSE_CONN_H */
