/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create() and its seals */
#endif

#include "exec/sse_exec_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x53534558u

/* An order's first bytes; behind them, each with a NUL: key, dir, limit_name,
 * the arguments, the environment. */
typedef struct {
    apr_uint32_t magic, version;
    apr_uint32_t argc, envc;
    apr_uint32_t limit, server_limit;
    apr_uint32_t generation;
    apr_uint32_t key_len;
    apr_int64_t linger;
} head_t;

/* Bytes that are written, or read. */
typedef struct {
    char *at, *end;
} span_t;

static void *must(void *memory)
{
    if (!memory) {
        abort();
    }
    return memory;
}

void sse_exec_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* -- memfds ---------------------------------------------------------------- */

static apr_status_t write_all(int fd, const char *bytes, apr_size_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno != EINTR) {
            return errno;
        }
        if (n > 0) {
            bytes += n;
            len -= (apr_size_t)n;
        }
    }
    return APR_SUCCESS;
}

apr_status_t sse_exec_bytes_write(const void *bytes, apr_size_t len, int *out)
{
    int fd = memfd_create("sse-exec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    apr_status_t rv;

    if (fd < 0) {
        return errno;
    }
    rv = write_all(fd, bytes, len);
    /* The reader's memory is not what a page of ours becomes later. */
    if (rv == APR_SUCCESS &&
        fcntl(fd, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)) {
        rv = errno;
    }
    if (rv != APR_SUCCESS) {
        close(fd);
        return rv;
    }
    *out = fd;
    return APR_SUCCESS;
}

static apr_status_t read_all(int fd, char *bytes, apr_size_t len)
{
    apr_size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, bytes + done, len - done, (off_t)done);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return APR_EINVAL;
        }
        done += n > 0 ? (apr_size_t)n : 0;
    }
    return APR_SUCCESS;
}

apr_status_t sse_exec_bytes_read(int fd, apr_size_t most, void **bytes,
                                 apr_size_t *len)
{
    struct stat info;
    char *memory;

    /* Only memory has seals: reading it does not block. */
    if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &info) || info.st_size < 0 ||
        (apr_uint64_t)info.st_size > most) {
        return APR_EINVAL;
    }
    memory = must(malloc((apr_size_t)info.st_size + 1));
    if (read_all(fd, memory, (apr_size_t)info.st_size) != APR_SUCCESS) {
        free(memory);
        return APR_EINVAL;
    }
    memory[info.st_size] = '\0';
    *bytes = memory;
    *len = (apr_size_t)info.st_size;
    return APR_SUCCESS;
}

/* -- orders ---------------------------------------------------------------- */

int sse_exec_order_is_same_command(const sse_exec_order_t *a,
                                   const sse_exec_order_t *b)
{
    int i = 0;

    while (a->argv[i] && b->argv[i] && !strcmp(a->argv[i], b->argv[i])) {
        ++i;
    }
    return !a->argv[i] && !b->argv[i];
}

static apr_uint32_t count(const char *const *strings, apr_size_t *size)
{
    apr_uint32_t n;

    for (n = 0; strings[n]; ++n) {
        *size += strlen(strings[n]) + 1;
    }
    return n;
}

static void put(span_t *span, const char *bytes, apr_size_t len)
{
    memcpy(span->at, bytes, len);
    span->at += len;
    *span->at++ = '\0';
}

static void put_all(span_t *span, const char *const *strings)
{
    for (; *strings; ++strings) {
        put(span, *strings, strlen(*strings));
    }
}

apr_status_t sse_exec_order_write(const sse_exec_order_t *order, int *fd)
{
    apr_size_t size = sizeof(head_t) + order->key_len + 1 + strlen(order->dir) +
                      1 + strlen(order->limit_name) + 1;
    head_t head = {MAGIC, SSE_EXEC_VERSION, 0, 0, 0, 0, 0, 0, 0};
    apr_status_t rv;
    char *bytes;
    span_t span;

    head.argc = count(order->argv, &size);
    head.envc = count(order->env, &size);
    if (size > SSE_EXEC_ORDER_MAX) {
        return E2BIG;
    }
    head.limit = order->limit;
    head.server_limit = order->server_limit;
    head.generation = order->generation;
    head.key_len = (apr_uint32_t)order->key_len;
    head.linger = order->linger;
    span.at = bytes = must(malloc(size));
    memcpy(span.at, &head, sizeof(head));
    span.at += sizeof(head);
    put(&span, order->key, order->key_len);
    put(&span, order->dir, strlen(order->dir));
    put(&span, order->limit_name, strlen(order->limit_name));
    put_all(&span, order->argv);
    put_all(&span, order->env);
    rv = sse_exec_bytes_write(bytes, size, fd);
    free(bytes);
    return rv;
}

/* @return the next string, or NULL: there is none */
static const char *next(span_t *span)
{
    char *string = span->at;
    char *nul = memchr(string, '\0', (apr_size_t)(span->end - string));

    if (!nul) {
        return NULL;
    }
    span->at = nul + 1;
    return string;
}

static int next_all(span_t *span, const char **strings, apr_uint32_t n)
{
    apr_uint32_t i;

    for (i = 0; i < n; ++i) {
        strings[i] = next(span);
        if (!strings[i]) {
            return 0;
        }
    }
    strings[n] = NULL;
    return 1;
}

/* @return whether the bytes are all of an order, whose strings then point at
 *         them */
static int parse(sse_exec_order_t *order, const char **strings,
                 const head_t *head, span_t *span)
{
    if (head->key_len >= (apr_size_t)(span->end - span->at) ||
        span->at[head->key_len] != '\0') {
        return 0;
    }
    order->key = span->at;
    order->key_len = head->key_len;
    span->at += head->key_len + 1;
    order->dir = next(span);
    order->limit_name = order->dir ? next(span) : NULL;
    order->argv = strings;
    order->env = strings + head->argc + 1;
    order->limit = head->limit;
    order->server_limit = head->server_limit;
    order->generation = head->generation;
    order->linger = head->linger;
    return order->limit_name && next_all(span, strings, head->argc) &&
           next_all(span, strings + head->argc + 1, head->envc) &&
           span->at == span->end && order->argv[0] &&
           order->argv[0][0] == '/' && order->dir[0] == '/' &&
           order->linger >= 0;
}

/* Every string has at least its NUL. */
static int is_head(const head_t *head, apr_size_t len)
{
    return len >= sizeof(*head) && head->magic == MAGIC &&
           head->version == SSE_EXEC_VERSION && head->argc <= len &&
           head->envc <= len && head->key_len < len;
}

apr_status_t sse_exec_order_read(int fd, sse_exec_order_t **out)
{
    sse_exec_order_t *order;
    const char **strings;
    apr_size_t len, room;
    void *bytes;
    span_t span;
    head_t head = {0};

    if (sse_exec_bytes_read(fd, SSE_EXEC_ORDER_MAX, &bytes, &len)) {
        return APR_EINVAL;
    }
    memcpy(&head, bytes, len < sizeof(head) ? len : sizeof(head));
    if (!is_head(&head, len)) {
        free(bytes);
        return APR_EINVAL;
    }
    room = ((apr_size_t)head.argc + head.envc + 2) * sizeof(*strings);
    order = must(malloc(sizeof(*order) + room + len));
    strings = (const char **)(order + 1);
    span.at = (char *)strings + room;
    span.end = span.at + len;
    memcpy(span.at, bytes, len);
    free(bytes);
    span.at += sizeof(head);
    if (!parse(order, strings, &head, &span)) {
        free(order);
        return APR_EINVAL;
    }
    *out = order;
    return APR_SUCCESS;
}

/* -- messages -------------------------------------------------------------- */

typedef union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(SSE_EXEC_FDS * sizeof(int))];
} control_t;

apr_status_t sse_exec_message_send(int socket,
                                   const sse_exec_message_t *message,
                                   const int *fds, int n)
{
    struct iovec vec = {(void *)message, sizeof(*message)};
    struct msghdr msg = {0};
    struct cmsghdr *cmsg;
    control_t control;
    ssize_t sent;

    msg.msg_iov = &vec;
    msg.msg_iovlen = 1;
    if (n > 0) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE((apr_size_t)n * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN((apr_size_t)n * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, (apr_size_t)n * sizeof(int));
    }
    do {
        sent = sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        return APR_SUCCESS;
    }
    /* So many descriptors are on their way that the kernel wants to see some
     * received first. */
    return errno == ETOOMANYREFS ? APR_EAGAIN : errno;
}

/* Takes what descriptors there are, however the message looks. */
static int take_fds(struct msghdr *msg, int *fds)
{
    struct cmsghdr *cmsg;
    int n = 0;

    for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
            n = (int)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds, CMSG_DATA(cmsg), (apr_size_t)n * sizeof(int));
        }
    }
    return n;
}

apr_status_t sse_exec_message_receive(int socket, sse_exec_message_t *message,
                                      int *fds, int *n)
{
    struct iovec vec = {message, sizeof(*message)};
    struct msghdr msg = {0};
    control_t control;
    ssize_t got;
    int is_whole;

    *n = 0;
    msg.msg_iov = &vec;
    msg.msg_iovlen = 1;
    msg.msg_control = control.bytes;
    /* Without the padding, where there were room for one more. */
    msg.msg_controllen = CMSG_LEN(SSE_EXEC_FDS * sizeof(int));
    do {
        got = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == ECONNRESET ? APR_EOF : errno;
    }
    *n = take_fds(&msg, fds);
    is_whole = got == sizeof(*message) && !(msg.msg_flags & MSG_TRUNC);
    if (is_whole && !(msg.msg_flags & MSG_CTRUNC)) {
        return APR_SUCCESS;
    }
    /* Where all that have room are there, it had more than any of ours. */
    is_whole = is_whole && *n < SSE_EXEC_FDS;
    while (*n) {
        close(fds[--*n]);
    }
    return got == 0 ? APR_EOF : is_whole ? EMFILE : APR_EINVAL;
}
