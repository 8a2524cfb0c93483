/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_presence_private.h
 * What sse_presence*.c share.
 *
 * Threads: tagged.  "worker": SSE_WORKERS_PRESENCE, of which there is one.
 */

#ifndef SSE_PRESENCE_PRIVATE_H
#define SSE_PRESENCE_PRIVATE_H

#include "hub/sse_presence.h"
#include "hub/sse_presence_text.h"

/** Changes in one transaction. */
#define SSE_PRESENCE_BATCH 256

struct sse_presence_who_t {
    apr_uint32_t refs;                /* atomic */
    sse_presence_settings_t settings; /* const, with all below */
    sse_slice_t person, user, text;
    char bytes[]; /* of these */
};

/** Any thread: another reference. */
sse_presence_who_t *sse_presence_acquire(sse_presence_who_t *who);

/** The event that tells of a change, to go with it.
 *  @param reason NULL: it has joined
 *  @return NULL, where members are only counted; or in pool */
const sse_append_t *sse_presence_event(const sse_presence_settings_t *settings,
                                       sse_slice_t channel, sse_slice_t name,
                                       sse_slice_t user, apr_time_t time,
                                       const char *reason, apr_pool_t *pool);

/** worker: tell of it if the change has made it the channel's first subscriber,
 *  or it was the last one. */
void sse_presence_tell(const sse_presence_t *change, sse_slice_t route,
                       sse_slice_t name, apr_time_t time);

/** worker: have the members of dead children leave.
 *  @return an error of the store: something is left */
apr_status_t sse_presence_claim(sse_store_t *store, server_rec *s);

/** worker: have those leave whose time of grace is over.
 *  @param due out: when the next one's is; 0: nobody waits
 *  @return likewise */
apr_status_t sse_presence_expire(sse_store_t *store, apr_time_t *due);

#endif /* SSE_PRESENCE_PRIVATE_H */
