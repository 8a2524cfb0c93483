/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2() */
#endif

#include "exec/sse_exec_spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the new process says when it cannot become the program. */
typedef struct {
    apr_uint32_t why;
    apr_int32_t error;
} report_t;

/* The writing ends, and what is read from; the new process's. */
typedef struct {
    int null, out, err, result;
} ends_t;

enum { RESULT_FD = 3, FIRST_FREE };

static void close_by_list(int from)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        int fd = atoi(entry->d_name);

        if (fd >= from && fd != dirfd(dir)) {
            close(fd);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

void sse_exec_spawn_close_from(int fd)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)fd, UINT_MAX, 0) == 0) {
        return;
    }
#endif
    close_by_list(fd);
}

/* -- the new process ------------------------------------------------------ */

static void give_up(int fd, sse_exec_why_e why)
{
    report_t report = {why, errno};
    ssize_t written;

    do {
        written = write(fd, &report, sizeof(report));
    } while (written < 0 && errno == EINTR);
    _exit(127);
}

static void reset_signals(void)
{
    sigset_t none;
    int n;

    for (n = 1; n < NSIG; ++n) {
        signal(n, SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Whatever numbers they have now: out of the way first. */
static void place_fds(const ends_t *ends)
{
    int fds[FIRST_FREE], i;

    fds[0] = ends->null;
    fds[1] = ends->out;
    fds[2] = ends->err;
    fds[RESULT_FD] = ends->result;
    for (i = 0; i < FIRST_FREE; ++i) {
        fds[i] = fcntl(fds[i], F_DUPFD, FIRST_FREE);
        if (fds[i] < 0) {
            give_up(ends->result, SSE_EXEC_WHY_EXEC);
        }
    }
    for (i = 0; i < FIRST_FREE; ++i) {
        dup2(fds[i], i);
    }
    fcntl(RESULT_FD, F_SETFD, FD_CLOEXEC);
    sse_exec_spawn_close_from(FIRST_FREE);
}

static void become(const sse_exec_order_t *order, const char **env,
                   const ends_t *ends, pid_t supervisor)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor) {
        _exit(127); /* it has died before that held */
    }
    place_fds(ends);
    reset_signals();
    if (chdir(order->dir)) {
        give_up(RESULT_FD, SSE_EXEC_WHY_DIR);
    }
    execve(order->argv[0], (char *const *)order->argv, (char *const *)env);
    give_up(RESULT_FD, SSE_EXEC_WHY_EXEC);
}

/* -- the supervisor ------------------------------------------------------- */

static const char **make_env(const char *const *env, const char *mark)
{
    apr_size_t name_len = (apr_size_t)(strchr(mark, '=') - mark) + 1;
    apr_size_t n = 0, kept = 0;
    const char **copy;

    while (env[n]) {
        ++n;
    }
    copy = malloc((n + 2) * sizeof(*copy));
    if (!copy) {
        abort();
    }
    for (; *env; ++env) {
        if (strncmp(*env, mark, name_len)) {
            copy[kept++] = *env;
        }
    }
    copy[kept++] = mark;
    copy[kept] = NULL;
    return copy;
}

static void close_ends(ends_t *ends)
{
    sse_exec_close(&ends->null);
    sse_exec_close(&ends->out);
    sse_exec_close(&ends->err);
    sse_exec_close(&ends->result);
}

/* The reading end does not block. */
static int make_pipe(int *reader, int *writer)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC)) {
        return 0;
    }
    *reader = fds[0];
    *writer = fds[1];
    return fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0;
}

static int make_ends(sse_exec_spawn_t *spawn, ends_t *ends)
{
    ends->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return ends->null >= 0 && make_pipe(&spawn->out, &ends->out) &&
           make_pipe(&spawn->err, &ends->err) &&
           make_pipe(&spawn->result, &ends->result);
}

static apr_status_t fork_program(const sse_exec_order_t *order,
                                 const char *mark, const ends_t *ends,
                                 pid_t *pid)
{
    const char **env = make_env(order->env, mark);
    pid_t supervisor = getpid();
    apr_status_t rv = APR_SUCCESS;

    *pid = fork();
    if (*pid == 0) {
        become(order, env, ends, supervisor);
    }
    if (*pid < 0) {
        rv = errno;
    }
    else {
        /* Here, too: whoever comes first, the group is there from now on. */
        setpgid(*pid, *pid);
    }
    free(env);
    return rv;
}

apr_status_t sse_exec_spawn(const sse_exec_order_t *order, const char *mark,
                            sse_exec_spawn_t *spawn)
{
    ends_t ends = {-1, -1, -1, -1};
    apr_status_t rv;

    spawn->pid = 0;
    spawn->out = spawn->err = spawn->result = -1;
    rv = make_ends(spawn, &ends) ? APR_SUCCESS : errno;
    if (rv == APR_SUCCESS) {
        rv = fork_program(order, mark, &ends, &spawn->pid);
    }
    close_ends(&ends);
    if (rv != APR_SUCCESS) {
        sse_exec_close(&spawn->out);
        sse_exec_close(&spawn->err);
        sse_exec_close(&spawn->result);
    }
    return rv;
}

apr_status_t sse_exec_spawn_result(const sse_exec_spawn_t *spawn,
                                   sse_exec_why_e *why)
{
    report_t report;
    ssize_t n;

    do {
        n = read(spawn->result, &report, sizeof(report));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno;
    }
    if (n != sizeof(report)) {
        return APR_SUCCESS; /* closed by execve() */
    }
    *why = report.why;
    return report.error;
}
