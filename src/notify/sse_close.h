/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_close.h
 * What a close reason is called, and whose it is.
 *
 * Threads: any.
 */

#ifndef SSE_CLOSE_H
#define SSE_CLOSE_H

#include "mod_sse.h"

/** The reason's name as logs have it; "unknown" for a value that is none. */
const char *sse_close_name(sse_close_reason_e reason);

/** Whether the client left or vanished. */
int sse_close_by_client(sse_close_reason_e reason);

#endif /* SSE_CLOSE_H */
