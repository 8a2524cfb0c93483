/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hooks.h
 * The C hooks of mod_sse.h as a listener: stream_open, stream_close,
 * stream_crashed.
 */

#ifndef SSE_HOOKS_H
#define SSE_HOOKS_H

#include "notify/sse_listeners.h"

extern const sse_listener_t sse_hooks_listener;

#endif /* SSE_HOOKS_H */
