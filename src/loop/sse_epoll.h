/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_epoll.h
 * uv_poll_start() that may fail.
 *
 * libuv gives a descriptor to epoll when it waits next, and aborts the process
 * if there is no room for it: a user may watch so many (the sysctl
 * fs.epoll.max_user_watches), and the kernel may have no memory.  Here the
 * descriptor gets its place at once, and libuv finds it there.
 *
 * Threads: the loop's.
 */

#ifndef SSE_EPOLL_H
#define SSE_EPOLL_H

#include <apr_errno.h>
#include <uv.h>

/** @param events UV_READABLE and so on, at least one
 *  @return an error, ENOSPC where there is no room: it is not watched */
apr_status_t sse_epoll_watch(uv_poll_t *poll, int events, uv_poll_cb on_poll);

#endif /* SSE_EPOLL_H */
