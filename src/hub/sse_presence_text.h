/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_presence_text.h
 * What is kept with each member in the store: the settings of its location,
 * since others have to make it leave when its child has died.
 *
 * Threads: any; no shared state.
 */

#ifndef SSE_PRESENCE_TEXT_H
#define SSE_PRESENCE_TEXT_H

#include "config/sse_config.h"
#include "mod_sse.h"

typedef struct {
    sse_presence_mode_e mode;
    apr_interval_time_t grace; /**< SSEPresenceGrace */
    int grace_all;
    apr_interval_time_t poll_grace; /**< after the end of a stream that polls */
    sse_history_t history;          /**< of the comings and goings */
    sse_slice_t route;              /**< see sse_listener_t */
} sse_presence_settings_t;

/** @return in pool */
sse_slice_t sse_presence_write(const sse_presence_settings_t *settings,
                               apr_pool_t *pool);

/** The route is part of the text.
 *  @return 0: it was not written by sse_presence_write(); then settings are
 *          those of SSE_PRESENCE_OFF, without grace */
int sse_presence_read(sse_slice_t text, sse_presence_settings_t *settings);

/** How long a stream that has ended for this reason may be away. */
apr_interval_time_t sse_presence_grace(const sse_presence_settings_t *settings,
                                       sse_close_reason_e reason);

#endif /* SSE_PRESENCE_TEXT_H */
