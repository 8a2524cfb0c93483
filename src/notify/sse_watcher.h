/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_watcher.h
 * Close notification for requests that are no streams: static files, CGI,
 * proxied, another module's.
 *
 * While the handler runs on its own thread, and while the MPM writes what is
 * left of the response, the loop watches the client's socket.  A client that
 * leaves before the response was finished ends the request for those who asked
 * to be told; a response that was sent ends it as "complete", when httpd is
 * about to log it.
 *
 * Once the response's last byte has been produced, a client that closes may
 * simply have all it wanted: then the end is decided by whether the rest could
 * be written.
 *
 * A TLS client's close_notify is not seen before its FIN here, as only the
 * handler's thread may read from the connection.  An HTTP/2 stream has no
 * socket: its end shows in c->aborted, where the loop looks.
 *
 * Life: malloc'ed; counted: the request's reference and, while it is watched,
 * the loop's.
 *
 * Threads: the request's, but for what is tagged.
 */

#ifndef SSE_WATCHER_H
#define SSE_WATCHER_H

#include "config/sse_config.h"
#include "loop/sse_loop.h"
#include "notify/sse_callbacks.h"

/** child_init, before the loop is started. */
void sse_watcher_init(sse_loop_t *loop);

/** Whether the loop runs that watches. */
int sse_watcher_is_ready(void);

/** Begin to watch, unless it is watched already, or a stream. */
void sse_watcher_arm(request_rec *r, sse_watch_mode_e mode);

/**
 * It becomes a stream, which watches its client itself.
 * @param is_open out: stream_open has run for it already
 * @return 0: it had ended already, and that is told
 */
int sse_watcher_disarm(request_rec *r, int *is_open);

/** fixups hook: arm where SSEWatch says so. */
int sse_watcher_fixups(request_rec *r);

/** What watches this request so that its handler's reads are to fail (SSEWatch
 *  Abort), or NULL.  Valid for as long as the handler runs. */
struct sse_watcher_t *sse_watcher_of(request_rec *r);

/**
 * The handler's thread begins to wait for this descriptor, which is nobody
 * else's until sse_watcher_end_read(): when the client leaves, it is shut.
 * @return 0: the client has left
 */
int sse_watcher_begin_read(struct sse_watcher_t *watcher, int fd);
/** @return 0: the client has left meanwhile, or before */
int sse_watcher_end_read(struct sse_watcher_t *watcher);

/** log_transaction hook: the response is over. */
int sse_watcher_log(request_rec *r);

#endif /* SSE_WATCHER_H */
