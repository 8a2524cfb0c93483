/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file exec.h
 * For tests of the supervisor of programs: a supervisor in a process of its
 * own, connections to it as children have them, programs as shell scripts.
 *
 * Threads: the test's one thread.
 */

#ifndef SSE_TEST_EXEC_H
#define SSE_TEST_EXEC_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exec/sse_exec_loop.h"
#include "exec/sse_exec_spawn.h"
#include "exec/sse_exec_wire.h"
#include "tap.h"

/* A sanitizer makes all of it slower. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WAIT_MSEC 20000
#else
#define WAIT_MSEC 10000
#endif

/* Short, but for what no test waits for. */
static const sse_exec_times_t quick = {
    .kill = 700,
    .leave = 500,
    .rest = 200,
    .again = 100,
    .again_most = 400,
    .steady = 60000,
    .scan = 50,
};

typedef struct {
    pid_t pid;
    int door;
    volatile apr_uint32_t *running; /* how many programs, as it tells */
} supervisor_t;

/* The supervisor's. */
static volatile apr_uint32_t *supervisor_running;

static inline void supervisor_count(apr_uint32_t n) { *supervisor_running = n; }

typedef struct {
    int fd;
    sse_exec_message_t got; /* the last message */
    int fds[SSE_EXEC_FDS], n;
} link_t;

static inline long long msec_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until cond holds, WAIT_MSEC at most: whether it did. */
#define eventually(cond)                                                       \
    ({                                                                         \
        long long until_ = msec_now() + WAIT_MSEC;                             \
        int holds_;                                                            \
        while (!(holds_ = (cond)) && msec_now() < until_) {                    \
            usleep(5000);                                                      \
        }                                                                      \
        holds_;                                                                \
    })

static inline supervisor_t supervisor_on(const int door[2],
                                         const sse_exec_times_t *times)
{
    supervisor_t supervisor;
    pid_t parent = getpid();

    supervisor.running =
        mmap(NULL, sizeof(*supervisor.running), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (supervisor.running == MAP_FAILED) {
        abort();
    }
    supervisor.door = door[1];
    supervisor.pid = fork();
    if (supervisor.pid == 0) {
        sigset_t all;

        if (door[0] != 3) {
            dup2(door[0], 3);
        }
        sse_exec_spawn_close_from(4); /* the test's ends of connections */
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        supervisor_running = supervisor.running;
        sse_exec_loop_run(3, parent, times, supervisor_count);
        _exit(0);
    }
    return supervisor;
}

static inline void make_door(int door[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   door)) {
        abort();
    }
}

static inline supervisor_t supervisor_with(const sse_exec_times_t *times)
{
    supervisor_t supervisor;
    int door[2];

    make_door(door);
    supervisor = supervisor_on(door, times);
    close(door[0]);
    return supervisor;
}

static inline supervisor_t supervisor_start(void)
{
    return supervisor_with(&quick);
}

/* It stands still: what it is sent meanwhile it sees at once, in one turn. */
static inline void supervisor_hold(const supervisor_t *supervisor)
{
    kill(supervisor->pid, SIGSTOP);
    waitpid(supervisor->pid, NULL, WUNTRACED);
}

static inline void supervisor_let_go(const supervisor_t *supervisor)
{
    kill(supervisor->pid, SIGCONT);
}

/* @return its exit status, or -1: it does not end */
static inline int supervisor_wait(const supervisor_t *supervisor)
{
    int status = -1;
    pid_t pid;

    return eventually((pid = waitpid(supervisor->pid, &status, WNOHANG)) !=
                      0) &&
                   pid > 0
               ? status
               : -1;
}

static inline int supervisor_stop(const supervisor_t *supervisor)
{
    kill(supervisor->pid, SIGTERM);
    close(supervisor->door);
    return supervisor_wait(supervisor);
}

static inline link_t link_open(const supervisor_t *supervisor)
{
    sse_exec_message_t message = {0};
    link_t link = {0};
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
        abort();
    }
    message.type = SSE_EXEC_CONNECT;
    message.pid = getpid();
    sse_exec_message_send(supervisor->door, &message, &ends[1], 1);
    close(ends[1]);
    link.fd = ends[0];
    return link;
}

/* The next message: its type, or 0: there is none; -1: the other end is gone */
static inline int link_next(link_t *link, int msec)
{
    struct pollfd polled = {link->fd, POLLIN, 0};
    apr_status_t rv;

    if (poll(&polled, 1, msec) <= 0) {
        return 0;
    }
    rv = sse_exec_message_receive(link->fd, &link->got, link->fds, &link->n);
    return rv == APR_SUCCESS ? (int)link->got.type : -1;
}

static inline int link_get(link_t *link) { return link_next(link, WAIT_MSEC); }

static inline void link_drop_fds(link_t *link)
{
    while (link->n) {
        close(link->fds[--link->n]);
    }
}

static inline void link_close(link_t *link) { close(link->fd); }

static inline void link_send(link_t *link, int type, apr_uint64_t id, int fd)
{
    sse_exec_message_t message = {0};

    message.type = (apr_uint32_t)type;
    message.id = id;
    while (sse_exec_message_send(link->fd, &message, &fd, fd >= 0) ==
           APR_EAGAIN) {
        usleep(1000);
    }
}

static inline void link_order(link_t *link, int type, apr_uint64_t id,
                              const sse_exec_order_t *order)
{
    int fd = -1;

    if (sse_exec_order_write(order, &fd) != APR_SUCCESS) {
        abort();
    }
    link_send(link, type, id, fd);
    close(fd);
}

/* An order for a shell script. */
typedef struct {
    const char *argv[4];
    sse_exec_order_t order;
} script_t;

static const char *const script_env[] = {"PATH=/usr/bin:/bin", "TEST=yes",
                                         NULL};

static inline const sse_exec_order_t *script(script_t *script, const char *text)
{
    memset(script, 0, sizeof(*script));
    script->argv[0] = "/bin/sh";
    script->argv[1] = "-c";
    script->argv[2] = text;
    script->order.argv = script->argv;
    script->order.env = script_env;
    script->order.key = "";
    script->order.dir = "/";
    script->order.limit_name = "";
    script->order.generation = 1;
    return &script->order;
}

/* What comes until the end, or until the text is there; at most size - 1 bytes,
 * WAIT_MSEC.  @return what */
static inline const char *read_until(int fd, const char *text, char *bytes,
                                     size_t size)
{
    struct pollfd polled = {fd, POLLIN, 0};
    size_t len = 0;

    bytes[0] = '\0';
    while (len < size - 1 && poll(&polled, 1, WAIT_MSEC) > 0) {
        ssize_t n = read(fd, bytes + len, size - 1 - len);

        if (n <= 0) {
            break;
        }
        bytes[len += (size_t)n] = '\0';
        if (text && strstr(bytes, text)) {
            break;
        }
    }
    return bytes;
}

/* Processes, without those that have ended, whose environment has that. */
static inline int count_env(const char *text)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    char path[64], bytes[65536];
    int n = 0;

    while ((entry = readdir(dir))) {
        ssize_t len;
        int fd;

        snprintf(path, sizeof(path), "/proc/%.16s/environ", entry->d_name);
        fd = atoi(entry->d_name) > 0 ? open(path, O_RDONLY) : -1;
        if (fd < 0) {
            continue;
        }
        len = read(fd, bytes, sizeof(bytes) - 1);
        close(fd);
        n += len > 0 && memmem(bytes, (size_t)len, text, strlen(text)) != NULL;
    }
    closedir(dir);
    return n;
}

/* Children of a process. */
static inline int count_children(pid_t parent)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    char path[64], bytes[1024];
    int n = 0;

    while ((entry = readdir(dir))) {
        FILE *file;
        char *at;
        long of = 0;

        snprintf(path, sizeof(path), "/proc/%.16s/stat", entry->d_name);
        file = atoi(entry->d_name) > 0 ? fopen(path, "r") : NULL;
        if (!file) {
            continue;
        }
        at = fgets(bytes, sizeof(bytes), file) ? strrchr(bytes, ')') : NULL;
        fclose(file);
        if (at && sscanf(at + 1, " %*c %ld", &of) == 1 && of == parent) {
            ++n;
        }
    }
    closedir(dir);
    return n;
}

/* Descriptors of a process. */
static inline int count_fds_of(pid_t pid)
{
    struct dirent *entry;
    char path[64];
    DIR *dir;
    int n = 0;

    snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        n += entry->d_name[0] != '.';
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

/* Whether a supervisor has no descriptors but the standard ones, which are the
 * test's, its door and its signals. */
static inline int is_idle(const supervisor_t *supervisor)
{
    int fd, n = 2;

    for (fd = 0; fd <= 2; ++fd) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return count_fds_of(supervisor->pid) == n;
}

#endif /* SSE_TEST_EXEC_H */
