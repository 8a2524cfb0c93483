/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hub.h
 * Getting the store's events to the subscriptions of this child.
 *
 * Woken by any child's publishing (its own as well), the hub reads what is new
 * in the log, in order, formats each event that has a subscriber here once, and
 * pushes it to the streams concerned.  Without subscriptions it is not woken.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_HUB_H
#define SSE_HUB_H

#include <httpd.h>

#include "loop/sse_loop.h"
#include "store/sse_store.h"

typedef struct sse_hub_t sse_hub_t;

/** child_init, before the loop is started.
 *  @param fd the broadcast that every publisher sends */
apr_status_t sse_hub_create(sse_hub_t **hub, sse_loop_t *loop,
                            sse_store_t *store, int fd, server_rec *s,
                            apr_pool_t *pool);

/** This child's hub, with its store; NULL: they could not be opened, or the
 *  loop could not be started, see the log.  Any thread. */
sse_hub_t *sse_hub(void);

/** child_init, when the loop has been started: sse_hub() gives it. */
void sse_hub_use(sse_hub_t *hub);

/**
 * The store's key of a channel of this host: namespace, NUL, name.  Any thread.
 * @param key out: in pool
 * @return 0: the name is not 1 to SSE_CHANNEL_MAX bytes of UTF-8 without
 *         control characters
 */
int sse_hub_key(const server_rec *s, const char *name, apr_pool_t *pool,
                sse_slice_t *key);

#endif /* SSE_HUB_H */
