/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_conn.h
 * What can be asked of any httpd connection.
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

/** What a look at a TLS connection's input found. */
typedef enum {
    SSE_INPUT_NONE, /**< nothing for us: go on watching */
    SSE_INPUT_DATA, /**< a request, stray bytes, what cannot be read: leave */
    SSE_INPUT_END   /**< close_notify, or FIN */
} sse_input_e;

/** Look at the input, without blocking or consuming.
 *  @param bb an empty brigade to use */
sse_input_e sse_conn_look(conn_rec *c, apr_bucket_brigade *bb);

#endif /* SSE_CONN_H */
