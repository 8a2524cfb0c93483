/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_wakeup.h"

#include <errno.h>
#include <httpd.h>
#include <http_config.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int sse_bell_make(const char *name)
{
    int *kept = ap_retained_data_get(name);

    if (!kept) {
        kept = ap_retained_data_create(name, sizeof(*kept));
        *kept = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return *kept;
}

void sse_bell_ring(int bell)
{
    apr_uint64_t one = 1;

    while (write(bell, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

/* The eventfd stays readable for ever; looking takes the edge. */
static void on_poll(uv_poll_t *handle, int status, int events)
{
    sse_wakeup_t *wakeup = sse_owner_of(handle, sse_wakeup_t, poll);
    struct epoll_event event;

    while (epoll_wait(wakeup->epoll, &event, 1, 0) < 0 && errno == EINTR) {
    }
    wakeup->fn(wakeup);
}

apr_status_t sse_wakeup_open(sse_wakeup_t *wakeup, sse_loop_t *loop, int bell,
                             sse_wakeup_fn *fn)
{
    int err;

    wakeup->fn = fn;
    wakeup->bell = bell;
    wakeup->is_listening = 0;
    wakeup->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (wakeup->epoll < 0) {
        return errno;
    }
    err = uv_poll_init(sse_loop_uv(loop), &wakeup->poll, wakeup->epoll);
    if (!err) {
        err = uv_poll_start(&wakeup->poll, UV_READABLE, on_poll);
    }
    return -err;
}

apr_status_t sse_wakeup_listen(sse_wakeup_t *wakeup, int on)
{
    struct epoll_event event = {0};
    int op = on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;

    if (wakeup->is_listening == on) {
        return APR_SUCCESS;
    }
    event.events = EPOLLIN | EPOLLET;
    if (epoll_ctl(wakeup->epoll, op, wakeup->bell, &event)) {
        return errno;
    }
    wakeup->is_listening = on;
    return APR_SUCCESS;
}
