/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_status_channels.h
 * The channels of the request's host: a list by their names' beginning, and one
 * of them with who is on it; as JSON, or as a page.
 *
 * A list is bounded: a limit, and the name to go on after.
 *
 * Threads: the request's.
 */

#ifndef SSE_STATUS_CHANNELS_H
#define SSE_STATUS_CHANNELS_H

#include <httpd.h>

/** Whether the query asks for channels, or one. */
int sse_status_asks_for_channels(const request_rec *r);

/** Answer that. @return for the handler to return */
int sse_status_channels(request_rec *r, int as_page);

#endif /* SSE_STATUS_CHANNELS_H */
