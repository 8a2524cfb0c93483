/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_gap.h
 * The event "sse-gap": something is missing here, and the client shall know.
 *
 * It has an id, the one in front of the event that follows: a client that comes
 * back after a gap is not told of the same gap again, even where no event has
 * followed yet.
 *
 * Threads: any.
 */

#ifndef SSE_GAP_H
#define SSE_GAP_H

#include "stream/sse_buf.h"

/** @param after the last id the client has, as it gave it: any text
 *  @param oldest the first id kept, of those that follow if there are any;
 *         0: none is kept
 *  @param id what the client is to come back with: all up to it was sent or is
 *         told of by this; 0: as before */
sse_buf_t *sse_gap_create(const char *after, sse_id_t oldest, sse_id_t id);

/** The same for an id of our own. */
sse_buf_t *sse_gap_after(sse_id_t after, sse_id_t oldest, sse_id_t id);

#endif /* SSE_GAP_H */
