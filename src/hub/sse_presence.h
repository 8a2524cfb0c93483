/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_presence.h
 * Presence: who is on a channel, in all children together, also when one of
 * them dies.
 *
 * Members are kept in the store (sse_store_presence_change()).  A stream is a
 * member of each of its channels where its location has SSEPresence, or where a
 * listener wants to be told of first and last subscribers
 * (sse_listeners_route()).  Elsewhere nothing is done.
 *
 * The loop only queues what changes.  A worker (SSE_WORKERS_PRESENCE) commits
 * that in batches, in order, each with the events "join" and "leave" that it
 * causes, which go to a channel of their own: namespace, NUL, 0x01, name.  If
 * the store takes nothing, the queue waits.  It has one entry at most for each
 * channel of a stream: of a stream that has come and gone meanwhile, none.
 *
 * Members whose child has died are claimed by any other child, or at the next
 * start: they leave as the reason "crash" says.  Who waits for the end of
 * SSEPresenceGrace leaves when that is over, whichever child finds out first.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_PRESENCE_H
#define SSE_PRESENCE_H

#include <httpd.h>

#include "event/sse_room.h"
#include "loop/sse_loop.h"
#include "mod_sse.h"
#include "store/sse_store.h"

/** Who the client of a stream is.  malloc'ed, reference-counted. */
typedef struct sse_presence_who_t sse_presence_who_t;
/** A stream on one channel, until the store knows that it has left. */
typedef struct sse_presence_entry_t sse_presence_entry_t;

/** child_init, after sse_ended_init() and before the loop is started. */
void sse_presence_init(sse_store_t *store, sse_loop_t *loop, server_rec *s);

/** Whether this child knows presence: its store does.  Any thread. */
int sse_presence_is_known(void);

/** Who the client of this request is.  Request thread.
 *  @param is_poll it comes by long polls: between two it is away, and stays
 *  @return NULL: its streams are members of nothing; or a reference */
sse_presence_who_t *sse_presence_who(request_rec *r, int is_poll);
void sse_presence_release(sse_presence_who_t *who); /**< any thread; or NULL */

/** The stream is on that channel from now on.  loop.
 *  @param stream its id
 *  @return for sse_presence_leave() */
sse_presence_entry_t *sse_presence_join(sse_presence_who_t *who,
                                        const char *stream, sse_slice_t key);

/** It no longer is.  loop.
 *  @param entry freed when that has been committed
 *  @param reason why its stream ended; SSE_CLOSE_NONE: it left the channel */
void sse_presence_leave(sse_presence_entry_t *entry, sse_close_reason_e reason);

/** Whether changes wait to be committed.  Any thread, signal handlers. */
int sse_presence_is_busy(void);

/* -- Reading --------------------------------------------------------------- */

/** The key of the channel to which the comings and goings of a channel are
 *  published.  Any thread.  @return in pool */
sse_slice_t sse_presence_key(sse_slice_t channel, apr_pool_t *pool);

/**
 * Who is on the channel, as JSON:
 * {"channel","streams","users","members":[{"stream","user","since"},...]}.
 * Without "members" where those on it are counted only.  Any thread; blocks as
 * the store's readers do.
 * @param tells_away whether those whose time of grace runs have "away":true: of
 *        what changes there no event tells
 * @param room all zero; to be freed, also after an error
 * @param json out: in room
 * @param last out: events after that id tell of what is not in there
 * @return as sse_store_presence_list(); APR_ENOMEM
 */
apr_status_t sse_presence_document(sse_slice_t channel, int tells_away,
                                   sse_room_t *room, sse_slice_t *json,
                                   sse_id_t *last);

#endif /* SSE_PRESENCE_H */
