/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_stream.h
 * A program of one stream's own: what it writes is what the client gets.
 *
 * While the stream's queue is full the program's output is not read, so that
 * its pipe fills and it waits: nothing is dropped.  The stream ends, complete,
 * when the program's first process has ended and all that was in the pipe by
 * then has been sent; who else of its group may still have the pipe open does
 * not matter.  When the client leaves, the program is ended.
 *
 * Life: malloc'ed; freed when the stream has ended and so has the program.
 *
 * Threads: the request's; from the opening of the stream on, the loop's.
 */

#ifndef SSE_EXEC_STREAM_H
#define SSE_EXEC_STREAM_H

#include "exec/sse_exec_client.h"
#include "exec/sse_exec_parser.h"
#include "hub/sse_presence.h"
#include "stream/sse_stream.h"

typedef struct sse_exec_stream_t sse_exec_stream_t;

/** child_init, before the loop is started. */
void sse_exec_stream_init(sse_loop_t *loop);

/** Request thread: for sse_exec_stream_source to own.
 *  @param order what to run; lives until it was started
 *  @return never NULL */
sse_exec_stream_t *sse_exec_stream_create(server_rec *s,
                                          const sse_exec_order_t *order,
                                          sse_exec_format_e format,
                                          apr_size_t max_event);

/** Request thread, before its stream is opened: while it is open its client is
 *  on these channels.
 *  @param who of sse_presence_who(), whose reference is taken over; or NULL
 *  @param keys n of them, which live as long as the request */
void sse_exec_stream_join(sse_exec_stream_t *self, sse_presence_who_t *who,
                          const sse_slice_t *keys, int n);

/** Request thread: start the program, before its stream is opened.
 *  @return as sse_exec_client_start() */
apr_status_t sse_exec_stream_start(sse_exec_stream_t *self,
                                   sse_exec_message_t *answer);

/** The source of streams whose baton is one of these; their format is
 *  sse_format_sse. */
extern const sse_source_t sse_exec_stream_source;

#endif /* SSE_EXEC_STREAM_H */
