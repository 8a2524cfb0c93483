/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_conn.h
 * Facts about any httpd connection: its descriptor, TLS, whether its client may
 * half-close it, and what its input has.
 *
 * Over TLS a client shuts down its sending side with close_notify.  Since TLS
 * 1.3 this says nothing about the other direction (RFC 8446, 6.1); before, the
 * receiver had to answer with close_notify and close the connection, whatever
 * it still had to send (RFC 5246, 7.2.1).  In all versions a FIN without
 * close_notify is a truncation: the client or its network has failed.
 *
 * Threads: the connection's owner.
 */

#ifndef SSE_CONN_H
#define SSE_CONN_H

#include <httpd.h>

/** The connection's descriptor; -1: it has none (a secondary one of HTTP/2). */
int sse_conn_fd(conn_rec *c);

/** A connection of ours that runs a request in the place of mod_http2's
 *  connection for it.  Its module config begins with this. */
typedef struct {
    conn_rec *outer; /* request: mod_http2's; NULL: it was let go */
    int is_draft;    /* request: the request may yet be dropped, as if it had
                        not been: nobody is told of it */
    int is_taken;    /* atomic: mod_http2 has all of the response; when it has
                        sent that, it aborts its connection */
} sse_conn_inner_t;

/** NULL: it is a client's, or one of mod_http2's. */
sse_conn_inner_t *sse_conn_inner(conn_rec *c);

/** Whether its request may yet be dropped. */
int sse_conn_is_draft(conn_rec *c);

/** Whether it is aborted, or mod_http2's in whose place it runs.  Any thread
 *  that may look at c->aborted. */
int sse_conn_is_aborted(conn_rec *c);

/** Whether the connection uses TLS, so that its end may arrive as bytes. */
int sse_conn_is_tls(conn_rec *c);

/** Whether the client may shut down its sending side and still read.  Request
 *  thread. */
int sse_conn_may_half_close(request_rec *r);

/** What a look at a TLS connection's input found. */
typedef enum {
    SSE_INPUT_NONE, /**< nothing of interest: go on watching */
    SSE_INPUT_DATA, /**< a request, stray bytes, a read error, or half a close
                         that is kept: stop watching */
    SSE_INPUT_END   /**< the client has closed the connection */
} sse_input_e;

/** Look at the input without blocking or consuming any of it.
 *  @param bb an empty brigade to use; empty again afterwards
 *  @param half_keep whether close_notify without FIN is half a close */
sse_input_e sse_conn_look(conn_rec *c, apr_bucket_brigade *bb, int half_keep);

#endif /* SSE_CONN_H */
