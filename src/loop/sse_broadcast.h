/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_broadcast.h
 * Waking all children of a server, whatever their generation: any process
 * sends, and every child that listens is called on its loop.
 *
 * A broadcast is one eventfd, made by the parent and kept over restarts.
 * Nobody reads it: each child has it in an epoll descriptor of its own,
 * edge-triggered, where every write shows once.  One system call wakes all,
 * however many they are; a child that does not listen is not woken, and where
 * none does, sending costs next to nothing.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_BROADCAST_H
#define SSE_BROADCAST_H

#include "loop/sse_loop.h"

typedef struct sse_broadcast_t sse_broadcast_t;
typedef void sse_broadcast_fn(sse_broadcast_t *broadcast);

/** One child's end of it; part of its owner. */
struct sse_broadcast_t {
    uv_poll_t poll;       /* loop */
    sse_broadcast_fn *fn; /* const */
    int fd;               /* const */
    int epoll;            /* const */
    int is_listening;     /* loop */
};

/** Parent: the broadcast of that name, made, or found again after a restart.
 *  It has been sent before: who begins to listen is called.
 *  @return its descriptor, or -1: errno */
int sse_broadcast_make(const char *name);

/** Any thread of any process. */
void sse_broadcast_send(int fd);

/** child_init, before the loop is started.
 *  @param fn called on the loop: soon after it begins to listen, and after that
 *         once for all that was sent since the last call */
apr_status_t sse_broadcast_open(sse_broadcast_t *broadcast, sse_loop_t *loop,
                                int fd, sse_broadcast_fn *fn);

/** Listen from now on, or no longer.  loop, or child_init. */
apr_status_t sse_broadcast_listen(sse_broadcast_t *broadcast, int on);

#endif /* SSE_BROADCAST_H */
