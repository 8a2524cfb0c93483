/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_wakeup.h
 * A bell that any process of a server rings, and that every child hears which
 * listens, whatever its generation.
 *
 * One eventfd for each kind of news, made by the parent and kept over restarts.
 * Nobody reads it: each child has it in an epoll descriptor of its own,
 * edge-triggered, where every write shows once.  One system call rings for all,
 * however many they are; a child that does not listen is not woken, and where
 * none does, ringing costs next to nothing.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_WAKEUP_H
#define SSE_WAKEUP_H

#include "loop/sse_loop.h"

typedef struct sse_wakeup_t sse_wakeup_t;
typedef void sse_wakeup_fn(sse_wakeup_t *wakeup);

/** One child's ear; part of its owner. */
struct sse_wakeup_t {
    uv_poll_t poll;    /* loop */
    sse_wakeup_fn *fn; /* const */
    int bell;          /* const */
    int epoll;         /* const */
    int is_listening;  /* loop */
};

/** Parent: the bell of that name, made or found again after a restart.  It has
 *  rung before: who begins to listen hears it.
 *  @return its descriptor, or -1: errno */
int sse_bell_make(const char *name);

/** Any thread of any process. */
void sse_bell_ring(int bell);

/** child_init, before the loop is started.
 *  @param fn called on the loop: soon after it begins to listen, and after that
 *         once for all that was rung since the last time */
apr_status_t sse_wakeup_open(sse_wakeup_t *wakeup, sse_loop_t *loop, int bell,
                             sse_wakeup_fn *fn);

/** Hear the bell from now on, or no longer.  loop, or child_init. */
apr_status_t sse_wakeup_listen(sse_wakeup_t *wakeup, int on);

#endif /* SSE_WAKEUP_H */
