/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file hook_target.c
 * A target of webhooks that is faster than whoever calls it, for the benchmarks
 * and the soak: it answers each call with 204 over kept connections, and writes
 * a line to a file before that:
 *
 *   TIME ATTEMPT ID BODY
 *
 * TIME is CLOCK_MONOTONIC in ns when the call's first byte was read, ATTEMPT
 * and ID are SSE-Hook-Attempt and SSE-Hook-Id, BODY is as it came.
 *
 *   hook_target PORT FILE [MSEC]    each answer comes so much later
 *
 * Who wants it down ends it, and starts it again on the same port and file.
 *
 * Threads: one.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MSEC      1000000ull
#define CONNS_MAX 4096
#define TURN_MAX  256
#define ROOM      (2 * 1024 * 1024)

static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";

/** A connection, by its descriptor. */
typedef struct {
    char *buf; /**< ROOM bytes; NULL: not in use */
    size_t len;
    unsigned long long first; /**< when the present call's first byte came */
    unsigned long long due;   /**< when to answer; 0: nothing to answer */
} conn_t;

static struct {
    int epoll, listener;
    unsigned long long delay;
    FILE *record;
    conn_t conns[CONNS_MAX];
    int top; /* the largest descriptor so far */
} target;

static void die(const char *what)
{
    fprintf(stderr, "hook_target: %s: %s\n", what, strerror(errno));
    exit(1);
}

static unsigned long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000 * MSEC +
           (unsigned long long)now.tv_nsec;
}

static void watch(int fd)
{
    struct epoll_event event = {0};

    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(target.epoll, EPOLL_CTL_ADD, fd, &event)) {
        die("epoll_ctl");
    }
}

static void start(int port, const char *file)
{
    struct sockaddr_in sin = {0};
    int on = 1;

    signal(SIGPIPE, SIG_IGN);
    target.record = fopen(file, "ae");
    if (!target.record) {
        die(file);
    }
    target.epoll = epoll_create1(EPOLL_CLOEXEC);
    target.listener =
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(target.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sin.sin_family = AF_INET;
    sin.sin_port = htons((uint16_t)port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(target.listener, (struct sockaddr *)&sin, sizeof(sin)) ||
        listen(target.listener, 4096)) {
        die("listen");
    }
    watch(target.listener);
}

static void on_accept(void)
{
    int fd, on = 1;

    while ((fd = accept4(target.listener, NULL, NULL,
                         SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= CONNS_MAX) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        memset(&target.conns[fd], 0, sizeof(target.conns[fd]));
        target.conns[fd].buf = malloc(ROOM);
        if (!target.conns[fd].buf) {
            die("malloc");
        }
        target.top = fd > target.top ? fd : target.top;
        watch(fd);
    }
}

static void drop(int fd)
{
    free(target.conns[fd].buf);
    memset(&target.conns[fd], 0, sizeof(target.conns[fd]));
    close(fd);
}

/* A field's value in a head that ends with NUL; "-" where there is none. */
static int field(const char *head, const char *name, const char **value)
{
    const char *p = strcasestr(head, name);

    *value = "-";
    if (!p) {
        return 1;
    }
    p += strlen(name);
    p += strspn(p, " ");
    *value = p;
    return (int)strcspn(p, "\r");
}

static void record(const conn_t *conn, const char *head, const char *body,
                   size_t len)
{
    const char *attempt, *id;
    int attempt_len = field(head, "\nSSE-Hook-Attempt:", &attempt);
    int id_len = field(head, "\nSSE-Hook-Id:", &id);

    fprintf(target.record, "%llu %.*s %.*s %.*s\n", conn->first, attempt_len,
            attempt, id_len, id, (int)len, body);
}

static void send_answer(int fd)
{
    target.conns[fd].due = 0;
    if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0) {
        drop(fd);
    }
}

/* @return whether a call was whole */
static int take_call(int fd)
{
    conn_t *conn = &target.conns[fd];
    char *end = memmem(conn->buf, conn->len, "\r\n\r\n", 4);
    const char *value;
    size_t head, body;

    if (!end) {
        return 0;
    }
    head = (size_t)(end - conn->buf) + 4;
    end[2] = '\0';
    field(conn->buf, "\nContent-Length:", &value);
    body = strtoul(value, NULL, 10);
    end[2] = '\r';
    if (conn->len - head < body) {
        return 0;
    }
    end[2] = '\0';
    record(conn, conn->buf, conn->buf + head, body);
    conn->len -= head + body;
    memmove(conn->buf, conn->buf + head + body, conn->len);
    conn->due = now_ns() + target.delay;
    return 1;
}

static void on_readable(int fd)
{
    conn_t *conn = &target.conns[fd];
    unsigned long long now = now_ns();
    ssize_t n = recv(fd, conn->buf + conn->len, ROOM - conn->len, 0);

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            drop(fd);
        }
        return;
    }
    if (!conn->len) {
        conn->first = now;
    }
    conn->len += (size_t)n;
    take_call(fd);
}

/* @return how long to wait for the next one that is due, in ms */
static int answer_due(void)
{
    unsigned long long now, next = 0;
    int fd;

    fflush(target.record);
    now = now_ns();
    for (fd = 0; fd <= target.top; ++fd) {
        if (target.conns[fd].due && target.conns[fd].due <= now) {
            send_answer(fd);
        }
        else if (target.conns[fd].due &&
                 (!next || target.conns[fd].due < next)) {
            next = target.conns[fd].due;
        }
    }
    return next ? (int)((next - now) / MSEC) + 1 : -1;
}

int main(int argc, char **argv)
{
    struct epoll_event events[TURN_MAX];
    int i, n, wait = -1;

    if (argc < 3) {
        fputs("usage: hook_target PORT FILE [MSEC]\n", stderr);
        return 1;
    }
    start((int)strtol(argv[1], NULL, 10), argv[2]);
    target.delay = argc > 3 ? strtoull(argv[3], NULL, 10) * MSEC : 0;
    for (;;) {
        n = epoll_wait(target.epoll, events, TURN_MAX, wait);
        for (i = 0; i < n; ++i) {
            if (events[i].data.fd == target.listener) {
                on_accept();
            }
            else if (target.conns[events[i].data.fd].buf) {
                on_readable(events[i].data.fd);
            }
        }
        wait = answer_due();
    }
}
