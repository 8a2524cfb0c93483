/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_epoll.h"

#include <errno.h>
#include <sys/epoll.h>

/* What the place waits for does not matter: libuv sets that before it waits. */
static apr_status_t take_place(const uv_poll_t *poll)
{
    struct epoll_event event = {0};
    uv_os_fd_t fd;

    if (uv_fileno((const uv_handle_t *)poll, &fd)) {
        return EBADF;
    }
    event.data.fd = fd;
    return !epoll_ctl(uv_backend_fd(poll->loop), EPOLL_CTL_ADD, fd, &event) ||
                   errno == EEXIST
               ? APR_SUCCESS
               : errno;
}

apr_status_t sse_epoll_watch(uv_poll_t *poll, int events, uv_poll_cb on_poll)
{
    apr_status_t rv = -uv_poll_start(poll, events, on_poll);

    if (rv == APR_SUCCESS) {
        rv = take_place(poll);
    }
    if (rv != APR_SUCCESS) {
        uv_poll_stop(poll);
    }
    return rv;
}
