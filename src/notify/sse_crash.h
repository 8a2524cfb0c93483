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
 * told of its opening, and taken out when they have been told of its end.  The
 * entries of dead children are claimed (sse_ended.h).
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_CRASH_H
#define SSE_CRASH_H

#include "notify/sse_listeners.h"

/** child_init, after sse_ended_init() and before the loop is started.
 *  @param dir where the registry is */
void sse_crash_init(server_rec *s, const char *dir, apr_pool_t *pool);

/** Enters each stream that opens, and takes it out at its end. */
extern const sse_listener_t sse_crash_listener;

#endif /* SSE_CRASH_H */
