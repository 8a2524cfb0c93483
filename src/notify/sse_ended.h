/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_ended.h
 * Who looks after what dead children have left: the registry of their streams,
 * their webhooks, their members of channels.
 *
 * A child that has ended cannot do it, and the parent runs no code but httpd's.
 * So the parent wakes all children, and each runs its claimers: functions that
 * find what belongs to owners which do not live any more, and take it, by some
 * step in which of all children one succeeds.  They run when a child begins, as
 * well, for what an earlier server has left, and again a second after one that
 * could not do all.
 *
 * An owner is a child, by a name that no other one has, also over restarts and
 * reused pids.
 *
 * Threads: sse_ended_init() and sse_ended_add() in child_init, before the loop
 * is started; claimers on workers, of the kinds that are named for them; the
 * rest any.
 */

#ifndef SSE_ENDED_H
#define SSE_ENDED_H

#include <httpd.h>

#include "loop/sse_loop.h"
#include "loop/sse_workers.h"

/** What to do where files beside the store cannot be used. */
#define SSE_ENDED_ADVICE                                                       \
    "see that the store's directory is there, has room, and belongs to the "   \
    "server's user"

/** Room for an owner's name, with its NUL. */
#define SSE_OWNER_SIZE 48

/** Take what dead owners have left.
 *  @return APR_SUCCESS; anything else: something is left, try again.  It has
 *          logged what the administrator has to do */
typedef apr_status_t sse_claim_fn(void *baton, apr_pool_t *pool);

/** @param fd the broadcast that the parent sends when a child has ended
 *  @param born when this child began, as the counters know it
 *  @param is_counted whether it has a slot in the counters */
void sse_ended_init(server_rec *s, sse_loop_t *loop, int fd, apr_time_t born,
                    int is_counted);

/** Have this claimer run on workers of that kind, one call at a time: on
 *  SSE_WORKERS_CLAIM, unless it calls code of other modules.  Aborts if there
 *  are more than four. */
void sse_ended_add(sse_workers_e kind, sse_claim_fn *claim, void *baton);

/** This child as an owner. */
const char *sse_ended_owner(void);

/** Whether this owner lives, or is no owner's name at all. */
int sse_ended_is_alive(void *baton, const char *owner);

#endif /* SSE_ENDED_H */
