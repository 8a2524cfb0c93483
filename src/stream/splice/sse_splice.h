/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice.h
 * The drive of streams over HTTP/2 that hold no thread, with the event MPM:
 * their frames go between those of mod_http2, to which they have ended.
 *
 * Threads: tagged.
 */

#ifndef SSE_SPLICE_H
#define SSE_SPLICE_H

#include <httpd.h>

#include "loop/sse_loop.h"
#include "mod_sse.h"

/* -- For mod_sse.c --------------------------------------------------------- */

/** register_hooks: the filters and hooks of spliced connections and of shadow
 *  requests. */
void sse_splice_register(void);

/** A handler of this name may open streams: its requests run so that they can
 *  be spliced.  Any thread.
 *  @param name copied */
void sse_splice_handler_add(const char *name);

/* -- For the stream -------------------------------------------------------- */

extern const struct sse_drive_t sse_splice_drive;

/** child_init, before the loop is started.
 *  @param is_on whether connections may be spliced in this child */
void sse_splice_init(sse_loop_t *loop, int is_on);

/** Whether a stream of this request may be spliced now.  Request thread. */
int sse_splice_may(request_rec *r);

/** It could not: say why in the log.  Request thread. */
void sse_splice_tell(request_rec *r);

/** A new stream of this drive.  Request thread. */
void sse_splice_prepare(sse_stream_t *stream);

/** Have the loop run the stream as soon as its handler has returned.  Request
 *  thread.
 *  @return SUSPENDED, for the handler to return */
int sse_splice_run(sse_stream_t *stream);

#endif /* SSE_SPLICE_H */
