/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_gap.h
 * The event "sse-gap": something is missing here, and the client shall know.
 *
 * Threads: any.
 */

#ifndef SSE_GAP_H
#define SSE_GAP_H

#include "stream/sse_buf.h"

/** @param after the last id the client has, as it gave it: any text
 *  @param oldest the first id kept, of those that follow if there are any;
 *         0: none is kept */
sse_buf_t *sse_gap_create(const char *after, sse_id_t oldest);

/** The same for an id of our own. */
sse_buf_t *sse_gap_after(sse_id_t after, sse_id_t oldest);

#endif /* SSE_GAP_H */
