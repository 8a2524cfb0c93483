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

#include "stream/wait/sse_threads.h"

struct sse_async_conn_t;

/** What this module keeps of each connection that a client has made; in its
 *  pool. */
typedef struct {
    struct sse_async_conn_t *async; /**< of the asynchronous drive, or NULL; the
                                      connection's owner's */
    sse_threads_conn_t threads;     /**< where it is HTTP/2; see there */
    struct sse_h2_conn_t *h2; /**< what comes over it, where that is HTTP/2
                                      from its first byte; or NULL */
} sse_conn_record_t;

/** pre_connection hook: make it.  The connection's thread. */
int sse_conn_pre_connection(conn_rec *c, void *csd);

/** NULL: it is no client's, but one of mod_http2's own.  Any thread while the
 *  connection lives. */
sse_conn_record_t *sse_conn_record(conn_rec *c);

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
