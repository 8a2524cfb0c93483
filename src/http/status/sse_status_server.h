/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_status_server.h
 * The block in the pages of mod_status.
 *
 * Threads: the request's.
 */

#ifndef SSE_STATUS_SERVER_H
#define SSE_STATUS_SERVER_H

#include <httpd.h>

/** mod_status' hook. */
int sse_status_server(request_rec *r, int flags);

#endif /* SSE_STATUS_SERVER_H */
