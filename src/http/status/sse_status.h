/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_status.h
 * The handler "sse-status": what is going on, for people (a page, live),
 * programs (JSON), and monitors (metrics).
 *
 * Threads: the request's, but as stated.
 */

#ifndef SSE_STATUS_H
#define SSE_STATUS_H

#include "loop/sse_loop.h"
#include "store/sse_store.h"

/** register_hooks: the front end "sse-status", and the block in mod_status'
 *  pages. */
void sse_status_register(void);

/** post_config: the server has started, unless it had before. */
void sse_status_started(void);

/** child_init, before the loop is started.
 *  @param store what is told of */
void sse_status_init(sse_store_t *store, sse_loop_t *loop);

#endif /* SSE_STATUS_H */
