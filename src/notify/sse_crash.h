/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_crash.h
 * A child that is killed tells nobody: another one tells of what was open in
 * it, once.
 *
 * Only where a module has taken the hook stream_crashed: then each opening is
 * entered into a registry beside the store, before stream_open runs, and taken
 * out when its end has been told.  When a child has ended, and when one begins,
 * what belongs to no living child is claimed.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_CRASH_H
#define SSE_CRASH_H

#include <httpd.h>

#include "loop/sse_loop.h"

/** child_init, before the loop is started.
 *  @param fd the broadcast that the parent sends when a child has ended
 *  @param dir where the registry is
 *  @param born when this child began, as the counters knows it */
void sse_crash_init(server_rec *s, sse_loop_t *loop, int fd, const char *dir,
                    apr_time_t born, apr_pool_t *pool);

/** Whether openings are registered at all.  Any thread. */
int sse_crash_is_on(void);

/** Enter it, by its log notes.  Request thread. */
void sse_crash_opened(request_rec *r);

/** Its end has been told.  Worker. */
void sse_crash_closed(request_rec *r);
#endif /* SSE_CRASH_H */
