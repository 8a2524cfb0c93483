/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_status.h
 * The handler "sse-status": what is going on in this server.
 *
 * Threads: the request's.
 */

#ifndef SSE_STATUS_H
#define SSE_STATUS_H

#include <httpd.h>

#define SSE_STATUS_HANDLER "sse-status" /**< what SetHandler calls it */

/** The content handler hook: DECLINED unless the handler is "sse-status". */
int sse_status_handler(request_rec *r);

/** register_hooks: a block in mod_status' pages, where that is loaded. */
void sse_status_register(void);

#endif /* SSE_STATUS_H */
