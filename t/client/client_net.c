/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file client_net.c
 * Connections: connecting, sending, and reading HTTP/1.1 responses as they
 * come.
 */

#include "t/client/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_MAX  512
#define ADDRESSES 200

static struct {
    int epoll;
    struct sockaddr_in server;
    unsigned int opened;
    int receive;              /* SO_RCVBUF of new ones; 0: the kernel's */
    const net_layer_t *layer; /* of new ones */
    char buf[256 * 1024];
} net;

void net_start(int port)
{
    net.epoll = epoll_create1(EPOLL_CLOEXEC);
    net.server.sin_family = AF_INET;
    net.server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    net_to(port);
}

int net_to(int port)
{
    int before = ntohs(net.server.sin_port);

    net.server.sin_port = htons((uint16_t)port);
    return before;
}

void net_over(const net_layer_t *layer) { net.layer = layer; }

static void watch(conn_t *conn, int op, uint32_t events)
{
    struct epoll_event event = {0};

    event.events = events;
    event.data.ptr = conn;
    if (epoll_ctl(net.epoll, op, conn->fd, &event)) {
        die("epoll_ctl: %s", strerror(errno));
    }
}

/* Each closed connection keeps its port for a minute.  Loopback has addresses
 * enough to go on with. */
static void bind_source(int fd)
{
    struct sockaddr_in sin = {0};
    int on = 1;

    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + net.opened++ % ADDRESSES);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&sin, sizeof(sin))) {
        die("bind: %s", strerror(errno));
    }
}

void net_open(conn_t *conn, const conn_events_t *events, void *baton)
{
    struct sockaddr_in sin = {0};
    socklen_t len = sizeof(sin);
    int on = 1;

    memset(conn, 0, sizeof(*conn));
    conn->events = events;
    conn->baton = baton;
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        die("socket: %s (see ulimit -n)", strerror(errno));
    }
    bind_source(conn->fd);
    if (net.receive) {
        setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &net.receive,
                   sizeof(net.receive));
    }
    if (connect(conn->fd, (struct sockaddr *)&net.server, sizeof(net.server))) {
        die("connect: %s", strerror(errno));
    }
    getsockname(conn->fd, (struct sockaddr *)&sin, &len);
    conn->addr = sin.sin_addr.s_addr;
    conn->port = sin.sin_port;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    conn->layer = net.layer;
    if (conn->layer && !conn->layer->open(conn)) {
        net_close(conn);
        return;
    }
    fcntl(conn->fd, F_SETFL, O_NONBLOCK);
    watch(conn, EPOLL_CTL_ADD, EPOLLIN);
}

void net_receive(int bytes) { net.receive = bytes; }

void net_close(conn_t *conn)
{
    if (conn->fd >= 0) {
        if (conn->layer) {
            conn->layer->close(conn);
        }
        close(conn->fd);
        conn->fd = -1;
    }
}

/* -- Sending --------------------------------------------------------------- */

void net_pause(conn_t *conn, int on)
{
    watch(conn, EPOLL_CTL_MOD, on ? 0 : EPOLLIN);
}

static void write_out(conn_t *conn)
{
    ssize_t n = conn->layer
                    ? conn->layer->write(conn, conn->out, conn->out_len)
                    : send(conn->fd, conn->out, conn->out_len, MSG_NOSIGNAL);

    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        conn->out_len = 0; /* reading will tell */
    }
    else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        die("send: %s", strerror(errno));
    }
    if (n > 0) {
        conn->out += n;
        conn->out_len -= (size_t)n;
    }
}

void net_send(conn_t *conn, const char *bytes, size_t len)
{
    conn->out = bytes;
    conn->out_len = len;
    conn->state = READ_HEAD;
    conn->head_len = 0;
    write_out(conn);
    if (conn->out_len) {
        watch(conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
}

/* -- Reading --------------------------------------------------------------- */

static void reply_is_whole(conn_t *conn)
{
    conn->state = READ_HEAD;
    conn->head_len = 0;
    if (conn->events->on_reply) {
        conn->events->on_reply(conn);
    }
}

static void head_is_whole(conn_t *conn)
{
    const char *length;

    if (strncmp(conn->head, "HTTP/1.1 ", 9) != 0) {
        die("no HTTP/1.1 response: %.60s", conn->head);
    }
    conn->status = (int)strtol(conn->head + 9, NULL, 10);
    conn->left = 0;
    if (strstr(conn->head, "\r\nTransfer-Encoding: chunked\r\n")) {
        conn->state = READ_CHUNK_SIZE;
    }
    else {
        length = strstr(conn->head, "\r\nContent-Length: ");
        if (length) {
            conn->left = strtoull(length + 18, NULL, 10);
        }
        else if (strstr(conn->head, "\r\nConnection: close\r\n")) {
            conn->left = UINT64_MAX; /* until on_gone */
        }
        else {
            die("a response of unknown length: %.200s", conn->head);
        }
        conn->state = READ_LENGTH;
    }
    if (conn->events->on_head) {
        conn->events->on_head(conn);
    }
    if (conn->state == READ_LENGTH && !conn->left) {
        reply_is_whole(conn);
    }
}

static const char *read_head(conn_t *conn, const char *p, const char *end)
{
    size_t had = conn->head_len;
    size_t room = sizeof(conn->head) - 1 - had;
    size_t more = (size_t)(end - p) < room ? (size_t)(end - p) : room;
    size_t from = had > 3 ? had - 3 : 0;
    const char *empty;

    memcpy(conn->head + had, p, more);
    empty = memmem(conn->head + from, had + more - from, "\r\n\r\n", 4);
    if (!empty) {
        conn->head_len = had + more;
        if (more == room) {
            die("a response's head is too long");
        }
        return end;
    }
    conn->head_len = (size_t)(empty - conn->head) + 4;
    conn->head[conn->head_len - 2] = '\0';
    p += conn->head_len - had;
    head_is_whole(conn);
    return p;
}

static const char *read_body(conn_t *conn, const char *p, const char *end)
{
    size_t len = (size_t)(end - p);

    if (len > conn->left) {
        len = (size_t)conn->left;
    }
    conn->left -= len;
    if (conn->events->on_body) {
        conn->events->on_body(conn, p, len);
    }
    if (!conn->left) {
        if (conn->state == READ_LENGTH) {
            reply_is_whole(conn);
        }
        else {
            conn->state = READ_CHUNK_END;
        }
    }
    return p + len;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *read_chunk_size(conn_t *conn, const char *p, const char *end)
{
    int digit;

    while (p < end && (digit = hex_digit(*p)) >= 0) {
        conn->left = conn->left * 16 + (unsigned int)digit;
        ++p;
    }
    if (p < end) {
        conn->state = READ_CHUNK_NAME;
    }
    return p;
}

/* @return whether the line's end was there */
static int skip_line(const char **p, const char *end)
{
    const char *nl = memchr(*p, '\n', (size_t)(end - *p));

    *p = nl ? nl + 1 : end;
    return nl != NULL;
}

/* The server sends no trailer fields: one empty line. */
static const char *read_framing(conn_t *conn, const char *p, const char *end)
{
    if (!skip_line(&p, end)) {
        return p;
    }
    if (conn->state == READ_TRAILER) {
        reply_is_whole(conn);
    }
    else if (conn->state == READ_CHUNK_END) {
        conn->left = 0;
        conn->state = READ_CHUNK_SIZE;
    }
    else {
        conn->state = conn->left ? READ_CHUNK : READ_TRAILER;
    }
    return p;
}

static void read_reply(conn_t *conn, const char *p, const char *end)
{
    while (p < end && conn->fd >= 0) {
        switch (conn->state) {
        case READ_HEAD:
            p = read_head(conn, p, end);
            break;
        case READ_LENGTH:
        case READ_CHUNK:
            p = read_body(conn, p, end);
            break;
        case READ_CHUNK_SIZE:
            p = read_chunk_size(conn, p, end);
            break;
        default:
            p = read_framing(conn, p, end);
            break;
        }
    }
}

static void read_once(conn_t *conn)
{
    ssize_t n = conn->layer ? conn->layer->read(conn, net.buf, sizeof(net.buf))
                            : recv(conn->fd, net.buf, sizeof(net.buf), 0);

    if (n > 0) {
        conn->received = now_ns();
        if (conn->raw) {
            conn->raw->on_bytes(conn, net.buf, (size_t)n);
        }
        else {
            read_reply(conn, net.buf, net.buf + n);
        }
    }
    else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        net_close(conn);
        if (!conn->events->on_gone) {
            die("the server closed a connection: %s",
                n ? strerror(errno) : "end of file");
        }
        conn->events->on_gone(conn);
    }
}

static void on_readable(conn_t *conn)
{
    do {
        read_once(conn);
    } while (conn->fd >= 0 && conn->layer && conn->layer->has_more(conn));
}

static void on_writable(conn_t *conn)
{
    write_out(conn);
    if (!conn->out_len) {
        watch(conn, EPOLL_CTL_MOD, EPOLLIN);
        if (conn->raw) {
            conn->raw->on_sent(conn);
        }
    }
}

static void on_ready(conn_t *conn, uint32_t events)
{
    if (conn->fd >= 0 && conn->out_len && (events & EPOLLOUT)) {
        on_writable(conn);
    }
    if (conn->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        on_readable(conn);
    }
}

void net_turn(int timeout_msec)
{
    struct epoll_event events[TURN_MAX];
    int i, n;

    n = epoll_wait(net.epoll, events, TURN_MAX, timeout_msec);
    for (i = 0; i < n; ++i) {
        on_ready(events[i].data.ptr, events[i].events);
    }
}

void net_wait(uint64_t ns)
{
    uint64_t until = now_ns() + ns, now;

    while ((now = now_ns()) < until) {
        net_turn((int)((until - now) / MSEC) + 1);
    }
}
