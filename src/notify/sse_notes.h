/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_notes.h
 * The log notes of a stream or a watched request: sse-stream, sse-close,
 * sse-events, sse-channel, sse-user, sse-session; and the names of close
 * reasons, one of which is sse-close.
 *
 * sse-user is who the application (SSEAuthorize) has said the client is, else
 * the user that httpd has authenticated, if any; sse-session is the
 * application's word.  Other parts read them where they need the user.
 *
 * Set once, at the opening.  At the end only the bytes of the values change:
 * that takes no memory from the request's pool, which another thread may be
 * using.
 *
 * Threads: any; sse_notes_create() the request's; sse_notes_end() only once.
 */

#ifndef SSE_NOTES_H
#define SSE_NOTES_H

#include "mod_sse.h"

/** The reason's name as logs have it; "unknown" for a value that is none. */
const char *sse_close_name(sse_close_reason_e reason);

/** Whether the client left or vanished. */
int sse_close_by_client(sse_close_reason_e reason);

/** The values, in the request's pool. */
typedef struct {
    char id[40];
    char reason[16];
    char events[24];
} sse_notes_t;

/** A request that was watched before it became a stream keeps its id.
 *  @param channels lives as long as the request */
sse_notes_t *sse_notes_create(request_rec *r, const char *channels);

void sse_notes_end(sse_notes_t *notes, sse_close_reason_e reason,
                   apr_uint64_t events);

#endif /* SSE_NOTES_H */
