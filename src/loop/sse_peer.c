/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the kernel has recorded against the connection; reading clears it. */
static int socket_error(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) ? 0 : err;
}

/* ETIMEDOUT is the user timeout's own; the host and network errors stand in
 * its place where an ICMP message came while it ran out (tcp(7)). */
static int is_dead(int err)
{
    return err == ETIMEDOUT || err == EHOSTUNREACH || err == ENETUNREACH;
}

static sse_close_reason_e reason_of(int err, int broken)
{
    if (is_dead(err)) {
        return SSE_CLOSE_DEAD_PEER;
    }
    return err || broken ? SSE_CLOSE_RESET : SSE_CLOSE_CLIENT;
}

static void tell_gone(sse_peer_t *peer, int broken)
{
    int err = socket_error(peer->fd);

    peer->told = 1;
    uv_poll_stop(&peer->poll);
    peer->events->on_gone(peer, reason_of(err, broken), err);
}

static void on_poll(uv_poll_t *handle, int status, int events);

/* While nothing else is wanted, out-of-band data stands in, which keeps the
 * socket watched for errors. */
static void update(sse_peer_t *peer)
{
    int watch = peer->want | UV_PRIORITIZED;

    if (!peer->half_seen) {
        watch |= UV_DISCONNECT;
    }
    uv_poll_start(&peer->poll, watch, on_poll);
}

static int is_broken(int fd)
{
    struct pollfd pfd = {fd, 0, 0};

    return poll(&pfd, 1, 0) > 0 && (pfd.revents & (POLLERR | POLLHUP));
}

/* A client may send some, and it would be told again until it is read. */
static void drop_urgent(int fd)
{
    char byte;

    while (recv(fd, &byte, 1, MSG_OOB | MSG_DONTWAIT) < 0 && errno == EINTR) {
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    sse_peer_t *peer = handle->data;

    /* What is only broken libuv tells as whatever is watched for. */
    if (status < 0 ||
        ((!events || (events & (UV_DISCONNECT | UV_PRIORITIZED))) &&
         is_broken(peer->fd))) {
        tell_gone(peer, 1);
        return;
    }
    if (events & UV_PRIORITIZED) {
        drop_urgent(peer->fd);
    }
    if (events & UV_DISCONNECT) {
        if (!peer->half_keep) {
            tell_gone(peer, 0);
            return;
        }
        peer->half_seen = 1;
        update(peer);
    }
    /* The first of the two may close the peer. */
    if ((events & UV_WRITABLE) && (peer->want & UV_WRITABLE)) {
        peer->events->on_writable(peer);
    }
    if ((events & UV_READABLE) && (peer->want & UV_READABLE) &&
        !uv_is_closing((uv_handle_t *)handle)) {
        peer->events->on_readable(peer);
    }
}

apr_status_t sse_peer_open(sse_peer_t *peer, sse_loop_t *loop, int fd,
                           int half_keep, const sse_peer_events_t *events)
{
    int err = uv_poll_init(sse_loop_uv(loop), &peer->poll, fd);

    if (err) {
        return -err;
    }
    peer->poll.data = peer;
    peer->events = events;
    peer->fd = fd;
    peer->is_own = 0;
    peer->want = 0;
    peer->half_keep = half_keep;
    peer->half_seen = 0;
    peer->told = 0;
    update(peer);
    return APR_SUCCESS;
}

/* libuv ends the process when a descriptor that it watches is none. */
apr_status_t sse_peer_open_shared(sse_peer_t *peer, sse_loop_t *loop, int fd,
                                  int half_keep,
                                  const sse_peer_events_t *events)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    apr_status_t rv;

    if (own < 0) {
        return errno;
    }
    rv = sse_peer_open(peer, loop, own, half_keep, events);
    peer->is_own = 1;
    if (rv != APR_SUCCESS) {
        close(own);
    }
    return rv;
}

void sse_peer_shut(const sse_peer_t *peer) { shutdown(peer->fd, SHUT_RDWR); }

void sse_peer_want(sse_peer_t *peer, int which, int on)
{
    int want = on ? (peer->want | which) : (peer->want & ~which);

    if (want != peer->want) {
        peer->want = want;
        if (!peer->told && !uv_is_closing((uv_handle_t *)&peer->poll)) {
            update(peer);
        }
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    sse_peer_t *peer = handle->data;

    if (peer->is_own) {
        close(peer->fd);
    }
    peer->events->on_closed(peer);
}

void sse_peer_close(sse_peer_t *peer)
{
    uv_close((uv_handle_t *)&peer->poll, on_handle_closed);
}

/* The user timeout takes the place of the probes' count: the kernel gives up
 * when it has run out and a probe is unanswered.  So probing begins at half of
 * it, often enough that the answer is late by a quarter at most. */
void sse_peer_set_dead(int fd, apr_interval_time_t timeout)
{
    unsigned int ms = (unsigned int)apr_time_as_msec(timeout);
    int on = 1, idle = (int)(ms / 2000), every = (int)(ms / 4000), count = 3;

    if (!timeout) {
        return;
    }
    idle = idle < 1 ? 1 : idle;
    every = every < 1 ? 1 : every;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

sse_close_reason_e sse_peer_look(int fd, int half_keep)
{
    struct pollfd pfd = {fd, half_keep ? 0 : POLLRDHUP, 0};

    if (poll(&pfd, 1, 0) <= 0 ||
        !(pfd.revents & (POLLRDHUP | POLLERR | POLLHUP))) {
        return SSE_CLOSE_NONE;
    }
    return reason_of(socket_error(fd), pfd.revents & (POLLERR | POLLHUP));
}

/* A peer that lives answers the probes, so that its last acknowledgement is
 * never as old as that. */
static int is_silent(int fd, apr_interval_time_t dead)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    memset(&info, 0, sizeof(info));
    return dead && fd >= 0 &&
           !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) &&
           info.tcpi_last_ack_recv >= apr_time_as_msec(dead) * 9 / 10;
}

sse_close_reason_e sse_peer_write_reason(int fd, apr_status_t status,
                                         apr_interval_time_t dead)
{
    return is_dead(APR_TO_OS_ERROR(status)) || is_silent(fd, dead)
               ? SSE_CLOSE_DEAD_PEER
               : SSE_CLOSE_WRITE_ERROR;
}
