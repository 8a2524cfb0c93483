/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Orders and messages: what is written is read again, and what nobody of ours
 * has written is refused. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "exec/sse_exec_wire.h"
#include "tap.h"

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    while (readdir(dir)) {
        ++n;
    }
    closedir(dir);
    return n;
}

static const char *const few_args[] = {"/bin/echo", "", "a b\n", NULL};
static const char *const few_env[] = {"A=1", "B=", NULL};

static sse_exec_order_t an_order(void)
{
    sse_exec_order_t order = {0};

    order.key = "host\0/events/x";
    order.key_len = 14;
    order.argv = few_args;
    order.env = few_env;
    order.dir = "/tmp";
    order.limit_name = "www.example.org";
    order.limit = 7;
    order.server_limit = 100;
    order.generation = 3;
    order.linger = apr_time_from_sec(10);
    return order;
}

static int same_strings(const char *const *a, const char *const *b)
{
    for (; *a && *b; ++a, ++b) {
        if (strcmp(*a, *b)) {
            return 0;
        }
    }
    return !*a && !*b;
}

static void test_order(void)
{
    sse_exec_order_t order = an_order(), *got = NULL;
    int fd = -1, before = count_fds();

    is_num(sse_exec_order_write(&order, &fd), APR_SUCCESS, "written");
    ok(fcntl(fd, F_GETFD) & FD_CLOEXEC, "a program would not inherit it");
    is_num(sse_exec_order_read(fd, &got), APR_SUCCESS, "read");
    is_mem(got->key, got->key_len, order.key, order.key_len, "the key");
    ok(same_strings(got->argv, few_args), "arguments, also an empty one");
    ok(same_strings(got->env, few_env), "environment");
    is_str(got->dir, "/tmp", "directory");
    is_str(got->limit_name, "www.example.org", "what the limit counts");
    ok(got->limit == 7 && got->server_limit == 100 && got->generation == 3 &&
           got->linger == apr_time_from_sec(10),
       "numbers");
    free(got);
    close(fd);
    is_num(count_fds(), before, "no descriptor is left");
}

static void test_many(void)
{
    const char **args = calloc(10001, sizeof(*args));
    char *large = malloc(SSE_EXEC_ORDER_MAX + 1);
    sse_exec_order_t order = an_order(), *got = NULL;
    int i, fd;

    for (i = 0; i < 10000; ++i) {
        args[i] = i ? "an argument" : "/bin/true";
    }
    order.argv = args;
    is_num(sse_exec_order_write(&order, &fd), APR_SUCCESS, "10,000 arguments");
    is_num(sse_exec_order_read(fd, &got), APR_SUCCESS, "are read");
    ok(got && same_strings(got->argv, args), "as they were");
    free(got);
    close(fd);

    memset(large, 'x', SSE_EXEC_ORDER_MAX);
    large[SSE_EXEC_ORDER_MAX] = '\0';
    args[1] = large;
    args[2] = NULL;
    is_num(sse_exec_order_write(&order, &fd), E2BIG, "too large an order");
    large[200 * 1024] = '\0';
    is_num(sse_exec_order_write(&order, &fd), APR_SUCCESS, "200 KB");
    is_num(sse_exec_order_read(fd, &got), APR_SUCCESS, "are read");
    is_str(got->argv[1], large, "as they were");
    free(got);
    close(fd);
    free(large);
    free(args);
}

static apr_status_t read_bytes(const void *bytes, apr_size_t len)
{
    sse_exec_order_t *got = NULL;
    apr_status_t rv;
    int fd = -1;

    sse_exec_bytes_write(bytes, len, &fd);
    rv = sse_exec_order_read(fd, &got);
    if (rv == APR_SUCCESS) {
        free(got);
    }
    close(fd);
    return rv;
}

/* Each byte changed, each length: refused, or an order; never anything else
 * (AddressSanitizer sees to that). */
static void test_damaged(void)
{
    sse_exec_order_t order = an_order();
    void *whole;
    char *bytes;
    apr_size_t len, i;
    int fd, read = 0;

    sse_exec_order_write(&order, &fd);
    sse_exec_bytes_read(fd, SSE_EXEC_ORDER_MAX, &whole, &len);
    close(fd);
    bytes = whole;
    for (i = 0; i < len; ++i) {
        read += read_bytes(bytes, i) == APR_SUCCESS;
    }
    is_num(read, 0, "no order that is cut short is read");
    bytes = realloc(bytes, len + 1);
    bytes[len] = 'x';
    ok(read_bytes(bytes, len + 1), "nor one with more behind it");
    for (i = 0; i < 4; ++i) {
        bytes[i] ^= 0x40;
        read += read_bytes(bytes, len) == APR_SUCCESS;
        bytes[i] ^= 0x40;
    }
    is_num(read, 0, "nor what does not begin as one");
    for (i = 4; i < len; ++i) {
        char was = bytes[i];

        bytes[i] = '\xff';
        read_bytes(bytes, len);
        bytes[i] = '\0';
        read_bytes(bytes, len);
        bytes[i] = was;
    }
    is_num(read_bytes(bytes, len), APR_SUCCESS, "whole it is read");
    free(bytes);
}

static void test_bad_orders(void)
{
    static const char *const none[] = {NULL};
    static const char *const relative[] = {"echo", NULL};
    sse_exec_order_t order = an_order(), *got;
    int fd, ends[2];

    order.argv = none;
    sse_exec_order_write(&order, &fd);
    is_num(sse_exec_order_read(fd, &got), APR_EINVAL, "no program");
    close(fd);
    order.argv = relative;
    sse_exec_order_write(&order, &fd);
    is_num(sse_exec_order_read(fd, &got), APR_EINVAL, "no absolute path");
    close(fd);
    if (pipe(ends)) {
        abort();
    }
    is_num(sse_exec_order_read(ends[0], &got), APR_EINVAL,
           "a pipe, which nobody writes: refused, not waited for");
    close(ends[0]);
    close(ends[1]);
    is_num(sse_exec_order_read(-1, &got), APR_EINVAL, "nothing");
}

static void test_bytes(void)
{
    void *got;
    apr_size_t len;
    int fd;

    sse_exec_bytes_write("ab\0c", 4, &fd);
    is_num(sse_exec_bytes_read(fd, 4, &got, &len), APR_SUCCESS, "bytes");
    is_mem(got, len, "ab\0c", 4, "as they were");
    free(got);
    is_num(sse_exec_bytes_read(fd, 3, &got, &len), APR_EINVAL, "too many");
    ok(write(fd, "x", 1) < 0, "nobody changes them");
    close(fd);
    sse_exec_bytes_write("", 0, &fd);
    is_num(sse_exec_bytes_read(fd, 0, &got, &len), APR_SUCCESS, "no bytes");
    is_num(len, 0, "at all");
    free(got);
    close(fd);
}

static void pair(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
        abort();
    }
}

static void close_all(const int *fds, int n)
{
    while (n) {
        close(fds[--n]);
    }
}

static void test_messages(void)
{
    sse_exec_message_t message = {0}, got;
    int ends[2], fds[SSE_EXEC_FDS], mine[SSE_EXEC_FDS], n, i;
    int before = count_fds();

    pair(ends);
    is_num(sse_exec_message_receive(ends[1], &got, fds, &n), APR_EAGAIN,
           "no message: nothing waits");
    message.type = SSE_EXEC_OWN;
    message.id = 1ULL << 60;
    message.value = -5;
    for (i = 0; i < SSE_EXEC_FDS; ++i) {
        mine[i] = memfd_create("x", 0);
    }
    is_num(sse_exec_message_send(ends[0], &message, mine, SSE_EXEC_FDS),
           APR_SUCCESS, "sent with all descriptors");
    is_num(sse_exec_message_send(ends[0], &message, NULL, 0), APR_SUCCESS,
           "sent with none");
    close_all(mine, SSE_EXEC_FDS);
    is_num(sse_exec_message_receive(ends[1], &got, fds, &n), APR_SUCCESS,
           "received");
    ok(!memcmp(&got, &message, sizeof(got)), "as it was");
    is_num(n, SSE_EXEC_FDS, "with all descriptors");
    ok(fcntl(fds[2], F_GETFD) & FD_CLOEXEC, "which programs do not inherit");
    close_all(fds, n);
    sse_exec_message_receive(ends[1], &got, fds, &n);
    is_num(n, 0, "and with none");
    close(ends[0]);
    is_num(sse_exec_message_receive(ends[1], &got, fds, &n), APR_EOF,
           "the other end is gone: that is told");
    ok(sse_exec_message_send(ends[1], &message, NULL, 0) == EPIPE,
       "also to who sends, without a signal");
    close(ends[1]);
    is_num(count_fds(), before, "no descriptor is left");
}

static void test_full(void)
{
    sse_exec_message_t message = {0};
    apr_status_t rv;
    int ends[2], n = 0;

    pair(ends);
    while (!(rv = sse_exec_message_send(ends[0], &message, NULL, 0))) {
        ++n;
    }
    is_num(rv, APR_EAGAIN, "no room: told, not waited for");
    ok(n > 100, "which some messages have");
    close(ends[0]);
    close(ends[1]);
}

static void send_raw(int fd, const void *bytes, apr_size_t len, int fds)
{
    struct iovec vec = {(void *)bytes, len};
    struct msghdr msg = {0};
    struct cmsghdr *cmsg;
    char control[256] = {0};
    int i;

    msg.msg_iov = &vec;
    msg.msg_iovlen = 1;
    msg.msg_control = control;
    msg.msg_controllen = CMSG_SPACE((apr_size_t)fds * sizeof(int));
    cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN((apr_size_t)fds * sizeof(int));
    for (i = 0; i < fds; ++i) {
        memcpy(CMSG_DATA(cmsg) + (apr_size_t)i * sizeof(int), &fd, sizeof(fd));
    }
    if (sendmsg(fd, &msg, 0) < 0) {
        abort();
    }
}

static void test_bad_messages(void)
{
    char bytes[sizeof(sse_exec_message_t) + 1] = {0};
    sse_exec_message_t got;
    int ends[2], fds[SSE_EXEC_FDS], n, before = count_fds();

    pair(ends);
    send_raw(ends[0], bytes, sizeof(bytes), 1);
    is_num(sse_exec_message_receive(ends[1], &got, fds, &n), APR_EINVAL,
           "too long");
    is_num(n, 0, "its descriptor is closed");
    send_raw(ends[0], bytes, 3, 2);
    is_num(sse_exec_message_receive(ends[1], &got, fds, &n), APR_EINVAL,
           "too short");
    send_raw(ends[0], bytes, sizeof(got), SSE_EXEC_FDS + 1);
    is_num(sse_exec_message_receive(ends[1], &got, fds, &n), APR_EINVAL,
           "one descriptor too many");
    send_raw(ends[0], bytes, sizeof(got), 30);
    is_num(sse_exec_message_receive(ends[1], &got, fds, &n), APR_EINVAL,
           "many too many");
    close(ends[0]);
    close(ends[1]);
    is_num(count_fds(), before, "no descriptor is left");
}

/* Room for so many descriptors more. */
static void allow(int more)
{
    struct rlimit limit;
    int fds[SSE_EXEC_FDS], i;

    getrlimit(RLIMIT_NOFILE, &limit);
    for (i = 0; i < more; ++i) {
        fds[i] = dup(0);
    }
    limit.rlim_cur = (rlim_t)dup(0);
    close((int)limit.rlim_cur);
    close_all(fds, more);
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void test_poor(void)
{
    sse_exec_message_t message = {0}, got;
    int ends[2], fds[SSE_EXEC_FDS], mine[2], n, i, before = count_fds();
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    message.id = 7;
    for (i = 0; i < 2; ++i) {
        pair(ends);
        mine[0] = ends[0];
        mine[1] = ends[1];
        sse_exec_message_send(ends[0], &message, mine, 2);
        sse_exec_message_send(ends[0], &message, NULL, 0);
        allow(i);
        is_num(sse_exec_message_receive(ends[1], &got, fds, &n), EMFILE,
               "no descriptor is free for a message's: told");
        is_num(got.id, 7, "with the message");
        is_num(n, 0, "and none of them");
        is_num(sse_exec_message_receive(ends[1], &got, fds, &n), APR_SUCCESS,
               "the next one comes whole");
        setrlimit(RLIMIT_NOFILE, &limit);
        close_all(ends, 2);
    }
    is_num(count_fds(), before, "no descriptor is left");
}

int main(void)
{
    test_order();
    test_many();
    test_damaged();
    test_bad_orders();
    test_bytes();
    test_messages();
    test_full();
    test_bad_messages();
    test_poor();
    return done_testing();
}
