/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "exec/sse_exec_orphans.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux has less room for arguments and environment. */
#define ENV_MAX (8 * 1024 * 1024)

typedef struct {
    sse_exec_self_t supervisor;
    apr_uint64_t number;
} mark_t;

/* @return its length, or -1 */
static ssize_t read_proc(pid_t pid, const char *file, char *bytes,
                         apr_size_t size)
{
    char path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    n = read(fd, bytes, size - 1);
    close(fd);
    bytes[n > 0 ? n : 0] = '\0';
    return n;
}

static int read_process(pid_t pid, sse_exec_process_t *process)
{
    char bytes[1024], *at;
    unsigned long long began;
    long parent, group;

    /* The name in parentheses may have any character. */
    if (read_proc(pid, "stat", bytes, sizeof(bytes)) <= 0 ||
        !(at = strrchr(bytes, ')')) ||
        sscanf(at + 1,
               " %c %ld %ld %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
               "%*d %*d %*d %*d %llu",
               &process->state, &parent, &group, &began) != 4) {
        return 0;
    }
    process->pid = pid;
    process->parent = (pid_t)parent;
    process->group = (pid_t)group;
    process->began = began;
    return 1;
}

void sse_exec_self_get(sse_exec_self_t *self)
{
    sse_exec_process_t process = {0};
    struct stat space = {0};

    if (stat("/proc/self/ns/pid", &space)) {
        space.st_ino = 0; /* a kernel without namespaces */
    }
    read_process(getpid(), &process);
    self->space = space.st_ino;
    self->began = process.began;
    self->pid = getpid();
}

void sse_exec_mark_make(const sse_exec_self_t *self, apr_uint64_t number,
                        char *mark, apr_size_t size)
{
    snprintf(mark, size, SSE_EXEC_MARK "=%llu-%ld-%llu-%llu",
             (unsigned long long)self->space, (long)self->pid,
             (unsigned long long)self->began, (unsigned long long)number);
}

/* Not that it has ended meanwhile. */
static int is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

int sse_exec_processes_each(sse_exec_process_fn *fn, void *baton)
{
    DIR *dir = opendir("/proc");
    int is_whole = dir || !is_shortage(errno);
    sse_exec_process_t process;
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        pid_t pid = (pid_t)atol(entry->d_name);

        if (pid <= 0 || pid == getpid()) {
            continue;
        }
        errno = 0;
        if (read_process(pid, &process)) {
            fn(baton, &process);
        }
        else if (is_shortage(errno)) {
            is_whole = 0;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return is_whole;
}

static char *read_env(pid_t pid, apr_size_t *len)
{
    apr_size_t size = 0, room = 0;
    char path[64], *bytes = NULL;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/environ", (long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    do {
        if (size == room) {
            room = room * 2 + 8192;
            bytes = realloc(bytes, room);
            if (!bytes) {
                abort();
            }
        }
        n = read(fd, bytes + size, room - size);
        size += n > 0 ? (apr_size_t)n : 0;
    } while (n > 0 && size < ENV_MAX);
    close(fd);
    *len = size;
    return bytes;
}

static int parse_mark(const char *value, mark_t *mark)
{
    unsigned long long space, began, number;
    long pid;

    if (sscanf(value, "%llu-%ld-%llu-%llu", &space, &pid, &began, &number) !=
        4) {
        return 0;
    }
    mark->supervisor.space = space;
    mark->supervisor.pid = (pid_t)pid;
    mark->supervisor.began = began;
    mark->number = number;
    return 1;
}

/* @return whether the process has a mark */
static int read_mark(pid_t pid, mark_t *mark)
{
    static const char name[] = SSE_EXEC_MARK "=";
    apr_size_t len = 0;
    char *env = read_env(pid, &len), *at = env, *nul;
    int found = 0;

    while (!found && env &&
           (nul = memchr(at, '\0', len - (apr_size_t)(at - env)))) {
        found = !strncmp(at, name, sizeof(name) - 1) &&
                parse_mark(at + sizeof(name) - 1, mark);
        at = nul + 1;
    }
    free(env);
    return found;
}

apr_uint64_t sse_exec_process_number(const sse_exec_self_t *self, pid_t pid)
{
    mark_t mark;

    return read_mark(pid, &mark) && mark.supervisor.space == self->space &&
                   mark.supervisor.pid == self->pid &&
                   mark.supervisor.began == self->began
               ? mark.number
               : 0;
}

/* Where /proc hides others' processes (hidepid), it hides a supervisor of the
 * same user, too, as that has changed its user. */
static int is_alive(const sse_exec_self_t *supervisor)
{
    sse_exec_process_t process;

    if (!read_process(supervisor->pid, &process)) {
        return !kill(supervisor->pid, 0) || errno != ESRCH;
    }
    return process.began == supervisor->began && process.state != 'Z';
}

int sse_exec_process_is_left(const sse_exec_self_t *self, pid_t pid)
{
    mark_t mark;

    return read_mark(pid, &mark) && mark.supervisor.space == self->space &&
           !is_alive(&mark.supervisor);
}
