/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_broadcast.h"

#include <errno.h>
#include <httpd.h>
#include <http_config.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int sse_broadcast_make(const char *name)
{
    int *kept = ap_retained_data_get(name);

    if (!kept) {
        kept = ap_retained_data_create(name, sizeof(*kept));
        *kept = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return *kept;
}

void sse_broadcast_send(int fd)
{
    apr_uint64_t one = 1;

    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

/* The eventfd stays readable for ever; epoll_wait() takes the edge. */
static void on_poll(uv_poll_t *handle, int status, int events)
{
    sse_broadcast_t *broadcast = sse_owner_of(handle, sse_broadcast_t, poll);
    struct epoll_event event;

    sse_loop_begin_turn(broadcast->loop);
    while (epoll_wait(broadcast->epoll, &event, 1, 0) < 0 && errno == EINTR) {
    }
    broadcast->fn(broadcast);
}

apr_status_t sse_broadcast_open(sse_broadcast_t *broadcast, sse_loop_t *loop,
                                int fd, sse_broadcast_fn *fn)
{
    int err;

    broadcast->loop = loop;
    broadcast->fn = fn;
    broadcast->fd = fd;
    broadcast->is_listening = 0;
    broadcast->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (broadcast->epoll < 0) {
        return errno;
    }
    err = uv_poll_init(sse_loop_uv(loop), &broadcast->poll, broadcast->epoll);
    if (!err) {
        err = uv_poll_start(&broadcast->poll, UV_READABLE, on_poll);
    }
    return -err;
}

apr_status_t sse_broadcast_listen(sse_broadcast_t *broadcast, int on)
{
    struct epoll_event event = {0};
    int op = on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;

    if (broadcast->is_listening == on) {
        return APR_SUCCESS;
    }
    event.events = EPOLLIN | EPOLLET;
    if (epoll_ctl(broadcast->epoll, op, broadcast->fd, &event)) {
        return errno;
    }
    broadcast->is_listening = on;
    return APR_SUCCESS;
}
