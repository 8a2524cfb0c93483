/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_watcher.h
 * Close notification for requests that are no streams: static files, CGI,
 * proxied, another module's.
 *
 * While the handler runs on its own thread, and while the MPM writes the rest
 * of the response, the loop watches the client's socket.  If the client leaves
 * before the response is finished, listeners are told of that end; otherwise
 * the request ends as "complete", when httpd is about to log it.
 *
 * Once the last byte of the response has been produced, a client that closes
 * may simply have all it wanted: then the end depends on whether the rest could
 * be written.
 *
 * The close_notify of a TLS client is not seen here before its FIN, as only the
 * handler's thread may read from the connection.  An HTTP/2 stream has no
 * socket: its end shows in c->aborted, which the loop polls.
 *
 * Threads: the request's, except where tagged.
 */

#ifndef SSE_WATCHER_H
#define SSE_WATCHER_H

#include "config/sse_config.h"
#include "loop/sse_loop.h"
#include "notify/sse_callbacks.h"

/** child_init, before the loop is started. */
void sse_watcher_init(sse_loop_t *loop);

/** Whether the loop that watches is running. */
int sse_watcher_is_ready(void);

/** Begin to watch this request, unless it is watched already or is a stream.
 *  One that may yet be dropped (see sse_conn_inner_t) is not watched. */
void sse_watcher_arm(request_rec *r, sse_watch_mode_e mode);

/** It will not be dropped: begin to watch it if it has callbacks. */
void sse_watcher_settle(request_rec *r);

/**
 * Stop watching: the request becomes a stream, which watches its client itself.
 * @param is_open out: its opening has been told already
 * @return 0: the request has ended, which is told as the end of a watched one
 */
int sse_watcher_disarm(request_rec *r, int *is_open);

/** register_hooks: where SSEWatch is Abort, a proxied request ends at its back
 *  end as well. */
void sse_watcher_backend_register(void);

/** register_hooks: the filter that sees whether all of a response over HTTP/2
 *  was taken. */
void sse_watcher_output_register(void);

/** fixups hook: arm where SSEWatch says so. */
int sse_watcher_fixups(request_rec *r);

/** log_transaction hook: the response is over. */
int sse_watcher_log(request_rec *r);

#endif /* SSE_WATCHER_H */
