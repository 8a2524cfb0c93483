/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_status.h
 * The handler "sse-status": a summary of the server as JSON.
 *
 * Threads: the request's.
 */

#ifndef SSE_STATUS_H
#define SSE_STATUS_H

/** register_hooks: the front end "sse-status", and the block in mod_status'
 *  pages. */
void sse_status_register(void);

#endif /* SSE_STATUS_H */
