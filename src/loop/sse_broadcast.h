/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_broadcast.h
 * Wakes all children of a server, of all generations: any process sends, and
 * every child that listens has a function called on its loop.
 *
 * A broadcast is one eventfd, made by the parent and kept over restarts.
 * Nobody reads it: each child watches it, edge-triggered, by an epoll
 * descriptor of its own, which becomes readable once for every write.  One
 * system call wakes any number of children.  A child that does not listen is
 * not woken; if none does, sending costs next to nothing.
 *
 * Threads: as stated for each function.
 */

#ifndef SSE_BROADCAST_H
#define SSE_BROADCAST_H

#include "loop/sse_loop.h"

typedef struct sse_broadcast_t sse_broadcast_t;
typedef void sse_broadcast_fn(sse_broadcast_t *broadcast);

/** A child's end of a broadcast; part of its owner. */
struct sse_broadcast_t {
    sse_loop_t *loop;     /* const */
    uv_poll_t poll;       /* loop */
    sse_broadcast_fn *fn; /* const */
    int fd;               /* const */
    int epoll;            /* const */
    int is_listening;     /* loop */
};

/** Parent: make the broadcast of that name, or find it again after a restart.
 *  It counts as sent: a child that begins to listen is called.
 *  @return its descriptor, or -1: errno */
int sse_broadcast_make(const char *name);

/** Any thread of any process. */
void sse_broadcast_send(int fd);

/** child_init, before the loop is started.
 *  @param fn called on the loop, soon after the child begins to listen, and
 *         then once for all sends since the last call */
apr_status_t sse_broadcast_open(sse_broadcast_t *broadcast, sse_loop_t *loop,
                                int fd, sse_broadcast_fn *fn);

/** Begin or cease to listen.  Loop, or child_init. */
apr_status_t sse_broadcast_listen(sse_broadcast_t *broadcast, int on);

#endif /* SSE_BROADCAST_H */
