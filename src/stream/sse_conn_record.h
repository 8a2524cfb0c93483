/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_conn_record.h
 * What this module remembers about each client connection.
 *
 * Threads: any, while the connection lives; members as tagged.
 */

#ifndef SSE_CONN_RECORD_H
#define SSE_CONN_RECORD_H

#include <httpd.h>

#include "loop/sse_peer.h"
#include "stream/sse_threads.h"

struct sse_async_conn_t;
struct sse_h2_conn_t;
struct sse_splice_conn_t;

/** Lives in the connection's pool. */
typedef struct {
    struct sse_async_conn_t *async; /**< the connection's owner's; NULL: it has
                                         had no asynchronous stream */
    sse_threads_conn_t threads;     /**< HTTP/2; see there */
    sse_peer_probing_t probing;     /**< the stream's; what its socket had */
    struct sse_h2_conn_t *h2;       /**< the requests on a connection that has
                                         spoken HTTP/2 from its first byte; else
                                         NULL */
    struct sse_splice_conn_t *splice; /**< const once HTTP/2 has begun; NULL: no
                                           stream on it can be spliced */
    int is_processing; /**< the connection's owner's: its hooks are running */
} sse_conn_record_t;

/** pre_connection hook: make the record.  The connection's thread. */
int sse_conn_record_create(conn_rec *c, void *csd);

/** The connection's record; NULL: c is one of mod_http2's secondary
 *  connections. */
sse_conn_record_t *sse_conn_record(conn_rec *c);

#endif /* SSE_CONN_RECORD_H */
