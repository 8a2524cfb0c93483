/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_crash.h
 * A child that is killed cannot tell of its streams' ends: another child tells
 * of them, once.
 *
 * Only where a listener wants to be told of crashes: a stream (or a watched
 * request) is entered into a registry beside the store before the C hooks are
 * told of its opening, and taken out when they have been told of its end.  When
 * a child has ended or begun, the entries of dead children are claimed.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_CRASH_H
#define SSE_CRASH_H

#include "loop/sse_loop.h"
#include "notify/sse_listeners.h"

/** child_init, before the loop is started.
 *  @param fd the broadcast that the parent sends when a child has ended
 *  @param dir where the registry is
 *  @param born when this child began, as the counters know it */
void sse_crash_init(server_rec *s, sse_loop_t *loop, int fd, const char *dir,
                    apr_time_t born, apr_pool_t *pool);

/** Enters each stream that opens, and takes it out at its end. */
extern const sse_listener_t sse_crash_listener;

#endif /* SSE_CRASH_H */
