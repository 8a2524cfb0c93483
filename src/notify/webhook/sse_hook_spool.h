/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_spool.h
 * The webhooks' queue on disk: what is to be told to a target waits here, over
 * the death of its child, of the server, and over restarts.
 *
 * A call is one message to one target.  It is written to the end of a file
 * before anybody tries to send it, and finished by writing one byte in its
 * place.  So what waits takes no memory, however much it is.  An OPEN that was
 * sent stays until its CLOSE is added: who finds it without one after a crash
 * makes the CLOSE.  In memory are the sizes and counts of the files, and 16
 * bytes for each open stream and target.
 *
 * Files.  A queue is a directory "hooks.OWNER.N" in the store's directory, with
 * segments "NNNNNN" that grow at their ends (sse_hook_segment.h).  A segment
 * goes when it has neither calls that wait nor opens without their close; one
 * that is half empty and has only such opens is copied to the end.  Each child
 * writes to a queue of its own, so that no child waits for another one, nor
 * for the disk, since only a crash of the machine loses what it has not
 * written yet.
 *
 * Dead owners.  A queue is claimed by renaming it to "hooks.CLAIMER.N", which
 * is one step for all of its segments: of all claimers one succeeds, an OPEN
 * and its CLOSE are always in one queue, and where the claimer dies as well,
 * the queue is claimed again.  It stays a queue by itself until it is empty.
 * Its opens without a close are told to the claimer (on_orphan), whose CLOSE
 * goes to the end of that same queue.  Whatever is interrupted by SIGKILL is
 * done again: a call may come twice, with the same id, and none is lost.
 *
 * Bounds are on what waits: for a PUBLISH half of them; for a CLOSE what the
 * disk has, as each comes of an OPEN that had room.  Where there are several
 * targets each may take three times as much as is left, so that one that is
 * down leaves room for the others.  As much again may have been claimed, which
 * is not counted.
 *
 * A directory that was moved or removed: what is in the files is written anew
 * where the directory should be, as soon as that can be done.
 *
 * It needs APR only, no httpd, and logs nothing.
 *
 * Threads: sse_spool_open() in child_init; sse_spool_add() and
 * sse_spool_waiting() any: one lock, held over one write or two, with signals
 * blocked; sse_spool_next() and sse_spool_done() one thread, the sender;
 * sse_spool_claim() one at a time, any other thread, but not the loop.
 */

#ifndef SSE_HOOK_SPOOL_H
#define SSE_HOOK_SPOOL_H

#include <apr_pools.h>
#include <apr_time.h>

#include "event/sse_event.h"
#include "event/sse_room.h"

typedef struct sse_spool_t sse_spool_t;

typedef enum {
    SSE_CALL_OPEN,
    SSE_CALL_CLOSE,
    SSE_CALL_PUBLISH,
    SSE_CALL_FIRST,
    SSE_CALL_LAST
} sse_call_type_e;

typedef struct {
    sse_call_type_e type;
    int is_silent;      /**< an OPEN that is not sent: kept so that its close
                             can be told after a crash */
    apr_time_t time;    /**< when it happened */
    sse_slice_t target; /**< one line, opaque here: sse_hook_target.h */
    sse_slice_t id;     /**< SSE-Hook-Id, the same over retries and crashes */
    sse_slice_t stream; /**< OPEN and CLOSE: pairs them, with target.  Empty:
                             an OPEN that will have no CLOSE here (the target
                             wants none), a CLOSE that needs no OPEN */
    sse_slice_t body;   /**< a JSON object */
} sse_call_t;

/** Where a call is.  All zero: before the first.  Grows as calls are added, and
 *  stays what it is while others come and go. */
typedef struct {
    apr_uint32_t segment, offset;
} sse_spool_at_t;

/** Make this owner's queue.  Closed with the pool: what waits stays on disk,
 *  for others to claim.
 *  @param dir the store's directory
 *  @param owner its name, without '/'
 *  @param max_calls,max_bytes what may wait
 *  @return APR_SUCCESS; or why there can be no queue */
apr_status_t sse_spool_open(sse_spool_t **spool, const char *dir,
                            const char *owner, apr_uint64_t max_calls,
                            apr_uint64_t max_bytes, apr_pool_t *pool);

/** Add a call; the sender is to be woken after that.
 *  @return APR_SUCCESS; APR_ENOSPC: not added, the bound is reached or the disk
 *          is full; APR_NOTFOUND: not added, a CLOSE of a stream whose OPEN is
 *          not here (it was refused, or has its CLOSE already); or the cause */
apr_status_t sse_spool_add(sse_spool_t *spool, const sse_call_t *call);

/** The next call that waits, in the order of adding.
 *  @param target only this target's; NULL: any
 *  @param at in: from where; out: where the call is
 *  @param call out: its slices lie in room, until that is used again
 *  @param room of the caller's: grows as needed, sse_room_free() it
 *  @return APR_SUCCESS; APR_EOF: none at present, and at is where to go on from
 *          when some were added; or why a file cannot be read: what is behind
 *          in it is passed over, call again */
apr_status_t sse_spool_next(sse_spool_t *spool, const sse_slice_t *target,
                            sse_spool_at_t *at, sse_call_t *call,
                            sse_room_t *room);

/** The call there was sent, or given up.  Again without effect. */
void sse_spool_done(sse_spool_t *spool, sse_spool_at_t at);

/** How many calls wait, and the bytes that they take. */
void sse_spool_waiting(sse_spool_t *spool, apr_uint64_t *calls,
                       apr_uint64_t *bytes);

/** Whether there is any queue in that directory.  child_init. */
int sse_spool_is_left(const char *dir);

/** @return whether this owner still lives, or is none */
typedef int sse_spool_alive_fn(void *baton, const char *owner);

/** An OPEN whose owner died without a CLOSE.  It may add the CLOSE, with its
 *  stream and target; if it adds none, it is asked again by later claims. */
typedef void sse_spool_orphan_fn(void *baton, const sse_call_t *open);

/**
 * Claim the queues of dead owners: their calls wait here from then on, in their
 * order, and on_orphan is called for each OPEN without a CLOSE.  No more are
 * claimed while as many calls of dead owners wait as the bounds allow.
 * @return APR_SUCCESS; APR_EAGAIN: something is left, try later; or why the
 *         directory or one of the queues cannot be used
 */
apr_status_t sse_spool_claim(sse_spool_t *spool, sse_spool_alive_fn *is_alive,
                             sse_spool_orphan_fn *on_orphan, void *baton,
                             apr_pool_t *pool);

#endif /* SSE_HOOK_SPOOL_H */
