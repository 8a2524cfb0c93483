/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "loop/sse_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux 6.15; of no effect before. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif

/* The kernel's own bounds. */
#define KEEP_MOST     32767
#define RTO_MAX_LEAST 1000
#define RTO_MAX_MOST  120000

/* The pending error of the socket, which is cleared. */
static int socket_error(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) ? 0 : err;
}

/* ETIMEDOUT is that of the keepalive probes; an ICMP message that arrives
 * meanwhile makes it a host or network error (tcp(7)). */
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

/* Out-of-band data is always watched for, so that the socket is watched for
 * errors even if nothing else is wanted. */
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

/* A client may send it, and on_poll() would be called until it is read. */
static void drop_urgent(int fd)
{
    char byte;

    while (recv(fd, &byte, 1, MSG_OOB | MSG_DONTWAIT) < 0 && errno == EINTR) {
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    sse_peer_t *peer = handle->data;

    sse_loop_begin_turn(peer->loop);
    /* libuv reports a mere error as whatever is watched for. */
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
    peer->loop = loop;
    peer->events = events;
    peer->fd = fd;
    peer->is_own = 0;
    peer->want = 0;
    peer->half_keep = half_keep;
    peer->half_seen = 0;
    peer->paused = 0;
    peer->told = 0;
    update(peer);
    return APR_SUCCESS;
}

/* libuv aborts if a descriptor that it watches has been closed. */
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

static void update_open(sse_peer_t *peer)
{
    if (!peer->told && !peer->paused &&
        !uv_is_closing((uv_handle_t *)&peer->poll)) {
        update(peer);
    }
}

void sse_peer_want(sse_peer_t *peer, int which, int on)
{
    int want = on ? (peer->want | which) : (peer->want & ~which);

    if (want != peer->want) {
        peer->want = want;
        update_open(peer);
    }
}

void sse_peer_pause(sse_peer_t *peer)
{
    peer->paused = 1;
    uv_poll_stop(&peer->poll);
}

void sse_peer_resume(sse_peer_t *peer)
{
    peer->paused = 0;
    update_open(peer);
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

/* -- Whether it answers ---------------------------------------------------- */

static int get(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof(value);

    return getsockopt(fd, level, name, &value, &len) ? 0 : value;
}

static void set(int fd, int level, int name, int value)
{
    setsockopt(fd, level, name, &value, sizeof(value));
}

static int at_least(int value, int least)
{
    return value < least ? least : value;
}

static int at_most(int value, int most) { return value > most ? most : value; }

/* Probing begins after half of the time-out.  The kernel counts in seconds. */
static void set_probing(int fd, int seconds)
{
    int idle = at_least(seconds / 2, 1), rest = at_least(seconds - idle, 1);
    int every = at_least(rest / 3, 1);

    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, at_most(idle, KEEP_MOST));
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, at_most(every, KEEP_MOST));
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, (rest + every - 1) / every);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

static int is_probed_by(int fd, int seconds)
{
    return get(fd, SOL_SOCKET, SO_KEEPALIVE) &&
           get(fd, IPPROTO_TCP, TCP_KEEPIDLE) <= seconds / 2;
}

/* TCP_RTO_MAX_MS bounds the time between retransmissions, so that a peer which
 * had stopped reading long before it vanished is found in time, too. */
static void save_and_set(int fd, int seconds, sse_peer_probing_t *had)
{
    had->is_set = 1;
    had->seconds = seconds;
    had->keepalive = get(fd, SOL_SOCKET, SO_KEEPALIVE);
    had->idle = get(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    had->interval = get(fd, IPPROTO_TCP, TCP_KEEPINTVL);
    had->count = get(fd, IPPROTO_TCP, TCP_KEEPCNT);
    had->rto_max = get(fd, IPPROTO_TCP, TCP_RTO_MAX_MS);
    set_probing(fd, seconds);
    set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS,
        at_most(at_least(seconds * 250, RTO_MAX_LEAST), RTO_MAX_MOST));
}

void sse_peer_probe(int fd, apr_interval_time_t timeout,
                    sse_peer_probing_t *had)
{
    int seconds = (int)apr_time_sec(timeout + APR_USEC_PER_SEC - 1);

    if (fd < 0) {
        return;
    }
    if (!had) {
        if (timeout && !is_probed_by(fd, seconds)) {
            set_probing(fd, seconds);
        }
        return;
    }
    if (had->is_set && had->seconds == seconds) {
        return;
    }
    sse_peer_unprobe(fd, had);
    if (timeout) {
        save_and_set(fd, seconds, had);
    }
}

void sse_peer_unprobe(int fd, sse_peer_probing_t *had)
{
    if (!had->is_set || fd < 0) {
        return;
    }
    had->is_set = 0;
    set(fd, SOL_SOCKET, SO_KEEPALIVE, had->keepalive);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, had->idle);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, had->interval);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, had->count);
    set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, had->rto_max);
}

static int get_info(int fd, struct tcp_info *info)
{
    socklen_t len = sizeof(*info);

    memset(info, 0, sizeof(*info));
    return fd >= 0 && !getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len);
}

/* With data in flight: the last acknowledgement is older than the last
 * transmission.  If the window is closed, Linux answers at most two window
 * probes a second, so one may be unanswered. */
static int is_unanswered(const struct tcp_info *info)
{
    return info->tcpi_unacked
               ? info->tcpi_last_ack_recv > info->tcpi_last_data_sent
               : info->tcpi_probes > 1;
}

sse_peer_answer_e sse_peer_ask(int fd, apr_uint64_t now, apr_uint64_t dead,
                               apr_uint64_t *since)
{
    apr_uint64_t tried = *since;
    struct tcp_info info;
    int left = 0;

    *since = 0;
    if (ioctl(fd, SIOCOUTQ, &left) || !left || !get_info(fd, &info)) {
        return SSE_PEER_HAS_ALL;
    }
    if (!is_unanswered(&info)) {
        return SSE_PEER_WAITED;
    }
    if (!info.tcpi_unacked) {
        return info.tcpi_last_ack_recv >= dead ? SSE_PEER_DEAD
                                               : SSE_PEER_WAITED;
    }
    /* An answer since then was to an earlier transmission. */
    if (!tried || now - tried > info.tcpi_last_ack_recv) {
        tried = now - info.tcpi_last_data_sent;
    }
    *since = tried;
    return now - tried >= dead ? SSE_PEER_DEAD : SSE_PEER_WAITED;
}

/* Linux 4.1; glibc's tcp_info ends before it. */
apr_uint64_t sse_peer_acknowledged(int fd)
{
    struct {
        struct tcp_info info;
        apr_uint64_t pacing_rate, max_pacing_rate, bytes_acked;
    } more;
    socklen_t len = sizeof(more);

    memset(&more, 0, sizeof(more));
    if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &more, &len)) {
        return 0;
    }
    return len == sizeof(more) ? more.bytes_acked : 0;
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

/* If the kernel has ended the connection, only the time is known. */
static int is_silent(int fd, apr_interval_time_t dead)
{
    struct tcp_info info;

    return dead && get_info(fd, &info) &&
           (info.tcpi_state == TCP_CLOSE || is_unanswered(&info)) &&
           info.tcpi_last_ack_recv >= apr_time_as_msec(dead) * 9 / 10;
}

sse_close_reason_e sse_peer_write_reason(int fd, apr_status_t status,
                                         apr_interval_time_t dead)
{
    return is_dead(APR_TO_OS_ERROR(status)) || is_silent(fd, dead)
               ? SSE_CLOSE_DEAD_PEER
               : SSE_CLOSE_WRITE_ERROR;
}
