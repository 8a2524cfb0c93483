/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The supervisor of programs, in a process of its own: what children ask of it,
 * how programs end, and that nothing of them is left. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <sys/resource.h>

#include "exec.h"

static char output[65536];

static const char *read_fd(int fd, const char *text)
{
    return read_until(fd, text, output, sizeof(output));
}

static int has_exited(link_t *link, int status)
{
    int type = link_get(link);

    if (type != SSE_EXEC_EXITED || link->got.value != status) {
        printf("#   message %d, status %lld, why %u, error %d\n", type,
               (long long)link->got.value, link->got.why, link->got.error);
        return 0;
    }
    return 1;
}

/* @return the reason; 0: it did not fail */
static unsigned failed(link_t *link)
{
    int type = link_get(link);

    link_drop_fds(link);
    return type == SSE_EXEC_FAILED ? link->got.why : 0;
}

/* Starts it, and waits until it has said "go". */
static pid_t started(link_t *link, apr_uint64_t id, const char *text)
{
    script_t s;

    link_order(link, SSE_EXEC_START, id, script(&s, text));
    if (link_get(link) != SSE_EXEC_STARTED || link->n != 2) {
        return 0;
    }
    return strstr(read_fd(link->fds[0], "go"), "go") ? link->got.pid : 0;
}

static int is_gone(pid_t pid) { return kill(pid, 0) && errno == ESRCH; }

static void test_start(const supervisor_t *supervisor)
{
    link_t link = link_open(supervisor);
    script_t s;

    link_order(&link, SSE_EXEC_START, 5,
               script(&s, "echo out; echo err >&2; exit 3"));
    is_num(link_get(&link), SSE_EXEC_STARTED, "a program is started");
    is_num(link.got.id, 5, "by its number");
    read_fd(link.fds[0], NULL);
    is_str(output, "out\n", "its output");
    read_fd(link.fds[1], NULL);
    is_str(output, "err\n", "its errors");
    link_drop_fds(&link);
    ok(has_exited(&link, 3 << 8), "its exit is told");

    link_order(&link, SSE_EXEC_START, 6, script(&s, "kill -9 $$"));
    is_num(link_get(&link), SSE_EXEC_STARTED, "one that dies at once");
    link_drop_fds(&link);
    ok(has_exited(&link, SIGKILL), "its signal is told");
    link_close(&link);
}

static void test_bad(const supervisor_t *supervisor)
{
    static const char *const missing[] = {"/nowhere/program", NULL};
    link_t link = link_open(supervisor);
    sse_exec_order_t order;
    script_t s;

    order = *script(&s, "");
    order.argv = missing;
    link_order(&link, SSE_EXEC_START, 1, &order);
    is_num(failed(&link), SSE_EXEC_WHY_EXEC, "a program that is missing");
    is_num(link.got.error, ENOENT, "and why");
    link_order(&link, SSE_EXEC_JOIN, 2, &order);
    is_num(failed(&link), SSE_EXEC_WHY_EXEC, "also a shared one");
    order = *script(&s, "");
    order.dir = "/nowhere";
    link_order(&link, SSE_EXEC_START, 3, &order);
    is_num(failed(&link), SSE_EXEC_WHY_DIR, "a directory that is missing");
    link_send(&link, SSE_EXEC_START, 4, -1);
    is_num(failed(&link), SSE_EXEC_WHY_BAD, "no order at all");
    link_send(&link, SSE_EXEC_START, 5, link.fd);
    is_num(failed(&link), SSE_EXEC_WHY_BAD, "something else for an order");
    link_send(&link, SSE_EXEC_STOP, 99, -1);
    link_send(&link, SSE_EXEC_RETURN, 99, link.fd);
    link_send(&link, 77, 99, link.fd);
    ok(started(&link, 6, "echo go; sleep 60"), "it goes on");
    link_drop_fds(&link);
    link_order(&link, SSE_EXEC_START, 6, script(&s, ""));
    is_num(failed(&link), SSE_EXEC_WHY_BAD, "a number that is taken");
    if (write(link.fd, "x", 1) < 0) {
        abort();
    }
    is_num(link_get(&link), -1, "what is no message ends the connection");
    link_close(&link);
}

static void test_stop(const supervisor_t *supervisor)
{
    link_t link = link_open(supervisor);
    long long began;
    pid_t pid;

    pid = started(&link, 1, "echo go; sleep 60");
    link_send(&link, SSE_EXEC_STOP, 1, -1);
    ok(has_exited(&link, SIGTERM), "a program is told to end");
    ok(is_gone(pid), "and no zombie is left");
    ok(eventually(is_gone(-pid)), "nor others of its group");
    link_drop_fds(&link);

    started(&link, 2, "trap '' TERM; echo go; while :; do sleep 1; done");
    began = msec_now();
    link_send(&link, SSE_EXEC_STOP, 2, -1);
    ok(has_exited(&link, SIGKILL), "one that ignores that is killed");
    ok(msec_now() - began >= quick.kill, "after its time");
    read_fd(link.fds[0], NULL);
    is_str(output, "", "its output ends, as none of its group has it");
    link_drop_fds(&link);

    started(&link, 3, "echo go; kill -STOP $$; exit 1");
    usleep(100000);
    link_send(&link, SSE_EXEC_STOP, 3, -1);
    ok(has_exited(&link, SIGTERM), "one that is stopped is told, too");
    link_drop_fds(&link);
    link_close(&link);
}

static void test_rest(const supervisor_t *supervisor)
{
    link_t link = link_open(supervisor);
    pid_t pid;

    pid = started(&link, 1, "sleep 60 & echo go");
    ok(has_exited(&link, 0), "a program forks and ends");
    read_fd(link.fds[0], NULL);
    is_str(output, "", "who keeps its pipe is ended");
    ok(eventually(is_gone(-pid)), "with all of the group");
    link_drop_fds(&link);

    started(&link, 2,
            "(trap '' TERM; while :; do sleep 1; done) & sleep 0.1; "
            "echo go");
    ok(has_exited(&link, 0), "another one");
    read_fd(link.fds[0], NULL);
    is_str(output, "", "whose rest ignores SIGTERM: it is killed");
    link_drop_fds(&link);
    link_close(&link);
}

/* A moment that is long enough on any machine. */
static void test_last_words(void)
{
    sse_exec_times_t times = quick;
    supervisor_t supervisor;
    link_t link;
    script_t s;
    int out;

    times.rest = WAIT_MSEC;
    supervisor = supervisor_with(&times);
    link = link_open(&supervisor);
    link_order(&link, SSE_EXEC_START, 1,
               script(&s, "(sleep 0.05; echo late) & echo go"));
    is_num(link_get(&link), SSE_EXEC_STARTED, "a program");
    out = dup(link.fds[0]);
    link_drop_fds(&link);
    ok(has_exited(&link, 0), "forks and ends");
    read_fd(out, NULL);
    is_str(output, "go\nlate\n", "its rest is given a moment");
    close(out);
    link_close(&link);
    is_num(supervisor_stop(&supervisor), 0, "its supervisor ends");
}

static void test_escape(const supervisor_t *supervisor)
{
    link_t link = link_open(supervisor);
    script_t s;
    sse_exec_order_t order;
    char variable[32]; /* another run of this test has others */
    const char *env[] = {"PATH=/usr/bin:/bin", variable, NULL};

    snprintf(variable, sizeof(variable), "ESCAPE=%ld-", (long)getpid());
    order = *script(&s, "setsid sleep 61 & sleep 0.1; "
                        "setsid sh -c 'setsid sleep 62 & sleep 63; :' & "
                        "echo go; sleep 64; :");
    order.env = env;
    link_order(&link, SSE_EXEC_START, 1, &order);
    is_num(link_get(&link), SSE_EXEC_STARTED, "a program");
    read_fd(link.fds[0], "go");
    ok(eventually(count_env(variable) >= 6),
       "has others in sessions of their own");
    link_send(&link, SSE_EXEC_STOP, 1, -1);
    ok(has_exited(&link, SIGTERM), "it ends");
    ok(eventually(!count_env(variable)), "and they do");
    link_drop_fds(&link);

    order = *script(&s, "(setsid sleep 61 &); sleep 0.1; echo go; sleep 64; :");
    order.env = env;
    link_order(&link, SSE_EXEC_START, 2, &order);
    is_num(link_get(&link), SSE_EXEC_STARTED, "another program");
    read_fd(link.fds[0], "go");
    started(&link, 3, "echo go"); /* its end makes the supervisor look */
    ok(has_exited(&link, 0), "runs");
    ok(eventually(count_env(variable) >= 3), "with one that has left it");
    usleep((useconds_t)(quick.rest + quick.kill) * 1000);
    ok(count_env(variable) >= 3, "who has left it stays with it");
    link_send(&link, SSE_EXEC_STOP, 2, -1);
    ok(has_exited(&link, SIGTERM), "until it ends");
    ok(eventually(!count_env(variable)), "whole");
    link_drop_fds(&link);
    link_close(&link);
}

static void test_broken(const supervisor_t *supervisor)
{
    link_t link = link_open(supervisor), other = link_open(supervisor);
    pid_t pid[3], others;
    int i;

    others = started(&other, 1, "echo go; sleep 60");
    for (i = 0; i < 3; ++i) {
        pid[i] = started(&link, (apr_uint64_t)i, "echo go; sleep 60");
        link_drop_fds(&link);
    }
    link_close(&link);
    ok(eventually(is_gone(pid[0]) && is_gone(pid[1]) && is_gone(pid[2])),
       "a child is gone: its programs end");
    ok(!is_gone(others), "those of others do not");
    link_send(&other, SSE_EXEC_STOP, 1, -1);
    ok(has_exited(&other, SIGTERM), "until they are told to");
    link_drop_fds(&other);
    link_close(&other);
}

static void test_limit(const supervisor_t *supervisor)
{
    link_t link = link_open(supervisor);
    sse_exec_order_t order;
    script_t s;
    int i;

    eventually(!count_children(supervisor->pid));
    order = *script(&s, "sleep 60");
    order.limit_name = "a";
    order.limit = 2;
    order.server_limit = 3;
    for (i = 1; i <= 2; ++i) {
        link_order(&link, SSE_EXEC_START, (apr_uint64_t)i, &order);
        is_num(link_get(&link), SSE_EXEC_STARTED, "below the host's limit");
        link_drop_fds(&link);
    }
    link_order(&link, SSE_EXEC_START, 3, &order);
    is_num(failed(&link), SSE_EXEC_WHY_LIMIT, "at it");
    is_num(link.got.value, 2, "which is told");
    order.limit_name = "b";
    link_order(&link, SSE_EXEC_START, 4, &order);
    is_num(link_get(&link), SSE_EXEC_STARTED, "another host has its own");
    link_drop_fds(&link);
    link_order(&link, SSE_EXEC_START, 5, &order);
    is_num(failed(&link), SSE_EXEC_WHY_LIMIT, "within the server's");
    is_num(link.got.value, 3, "which is told");
    order.limit_name = "";
    link_order(&link, SSE_EXEC_START, 6, &order);
    is_num(failed(&link), SSE_EXEC_WHY_LIMIT, "all count for the server");
    link_send(&link, SSE_EXEC_STOP, 1, -1);
    ok(has_exited(&link, SIGTERM), "one ends");
    eventually(count_children(supervisor->pid) == 2);
    link_order(&link, SSE_EXEC_START, 7, &order);
    is_num(failed(&link), SSE_EXEC_WHY_LIMIT, "the main server's own limit");
    order.limit = 3;
    order.server_limit = 0;
    link_order(&link, SSE_EXEC_START, 8, &order);
    is_num(link_get(&link), SSE_EXEC_STARTED, "is one of all");
    link_drop_fds(&link);
    link_close(&link);
}

/* Many at a time, and a child that does not read for a while. */
static void test_flood(const supervisor_t *supervisor)
{
    enum { MANY = 400 };
    link_t link = link_open(supervisor);
    int i, n = 0, started_n = 0, fd = -1;
    script_t s;

    for (i = 0; i < MANY; ++i) {
        sse_exec_order_write(script(&s, "exit 0"), &fd);
        link_send(&link, SSE_EXEC_START, (apr_uint64_t)i, fd);
        close(fd);
    }
    while (n < MANY && link_get(&link) > 0) {
        started_n += link.got.type == SSE_EXEC_STARTED;
        n += link.got.type == SSE_EXEC_EXITED;
        link_drop_fds(&link);
    }
    is_num(started_n, MANY, "many programs at a time are started");
    is_num(n, MANY, "and their ends are told");
    link_close(&link);
}

static void test_count(const supervisor_t *supervisor)
{
    link_t link = link_open(supervisor);
    sse_exec_order_t order;
    script_t s;

    ok(eventually(!*supervisor->running), "no program runs: none is counted");
    ok(started(&link, 1, "sleep 60 & echo go; exec sleep 61"), "one with two");
    is_num(eventually(*supervisor->running == 1), 1, "processes counts once");
    link_drop_fds(&link);
    order = *script(&s, "sleep 60");
    order.key = "count";
    order.key_len = 5;
    order.linger = apr_time_from_sec(60);
    link_order(&link, SSE_EXEC_JOIN, 2, &order);
    ok(link_get(&link) == SSE_EXEC_JOINED && link_get(&link) == SSE_EXEC_OWN,
       "and a shared one");
    link_drop_fds(&link);
    ok(eventually(*supervisor->running == 2), "counts, too,");
    link_send(&link, SSE_EXEC_STOP, 2, -1);
    link_send(&link, SSE_EXEC_STOP, 1, -1);
    ok(has_exited(&link, SIGTERM), "the first one ends");
    is_num(*supervisor->running, 1, "while it lingers");
    order.linger = 0;
    link_order(&link, SSE_EXEC_JOIN, 4, &order);
    ok(link_get(&link) == SSE_EXEC_JOINED && link_get(&link) == SSE_EXEC_OWN,
       "and comes back");
    link_drop_fds(&link);
    link_send(&link, SSE_EXEC_STOP, 4, -1);
    ok(eventually(!*supervisor->running), "until it is ended");
    order.argv = (const char *const[]){"/nowhere/program", NULL};
    link_order(&link, SSE_EXEC_START, 3, &order);
    is_num(failed(&link), SSE_EXEC_WHY_EXEC, "one that is missing");
    is_num(*supervisor->running, 0, "never counts");
    link_close(&link);
}

static rlim_t first_free(pid_t pid)
{
    char path[64];
    rlim_t fd = 0;

    do {
        snprintf(path, sizeof(path), "/proc/%ld/fd/%ld", (long)pid, (long)fd);
    } while (!faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) && ++fd);
    return fd;
}

/* Which takes descriptors for that long. */
static int looks_through_proc(pid_t pid)
{
    char path[64], to[16];
    int fd, looks = 0;

    for (fd = 0; fd < 256; ++fd) {
        snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)pid, fd);
        looks |= readlink(path, to, sizeof(to)) > 5 && !memcmp(to, "/proc", 5);
    }
    return looks;
}

/* The supervisor gets no descriptor more than it has. */
static void allow(const supervisor_t *supervisor, int more)
{
    static struct rlimit had;
    struct rlimit none;

    if (more) {
        prlimit(supervisor->pid, RLIMIT_NOFILE, &had, NULL);
    }
    else {
        supervisor_hold(supervisor);
        while (looks_through_proc(supervisor->pid)) {
            supervisor_let_go(supervisor);
            usleep(5000);
            supervisor_hold(supervisor);
        }
        prlimit(supervisor->pid, RLIMIT_NOFILE, NULL, &had);
        none = had;
        none.rlim_cur = first_free(supervisor->pid);
        prlimit(supervisor->pid, RLIMIT_NOFILE, &none, NULL);
        supervisor_let_go(supervisor);
    }
}

static void test_poor(const supervisor_t *supervisor)
{
    int rest = -1, was_idle = eventually(is_idle(supervisor));
    link_t link = link_open(supervisor), next = link_open(supervisor);
    sse_exec_order_t order;
    script_t s, t;
    pid_t pid;

    ok(was_idle, "nothing is about to be closed");
    pid = started(&link, 1, "echo go; sleep 60");
    link_drop_fds(&link);
    order = *script(&s, "sleep 60");
    order.key = "poor";
    order.key_len = 4;
    link_order(&link, SSE_EXEC_JOIN, 2, &order);
    ok(link_get(&link) == SSE_EXEC_JOINED && link_get(&link) == SSE_EXEC_OWN,
       "a child reads a shared program");
    link_drop_fds(&link);
    link_order(&next, SSE_EXEC_JOIN, 1, &order);
    is_num(link_get(&next), SSE_EXEC_JOINED, "and another one has joined it");
    link_send(&next, SSE_EXEC_START, 9, -1);
    is_num(failed(&next), SSE_EXEC_WHY_BAD, "whose order is closed by now");

    allow(supervisor, 0);
    link_order(&link, SSE_EXEC_START, 3, script(&t, "sleep 60"));
    is_num(failed(&link), SSE_EXEC_WHY_FORK, "no descriptor for an order");
    is_num(link.got.error, EMFILE, "which is told");
    is_num(link.got.id, 3, "of that order");
    sse_exec_bytes_write("hal", 3, &rest);
    link_send(&link, SSE_EXEC_RETURN, 2, rest);
    close(rest);
    ok(link_get(&next) == SSE_EXEC_OWN && link.got.id,
       "nor for what is left of an output: the other child has that");
    is_num(next.got.value, SSE_EXEC_TORN, "which may begin within a line");
    link_drop_fds(&next);
    allow(supervisor, 1);

    ok(!is_gone(pid), "the programs of that child run on");
    ok(started(&link, 4, "echo go; sleep 60"), "and it starts others later");
    link_drop_fds(&link);
    link_close(&link);
    link_close(&next);
}

/* What it cannot see is not gone. */
static void test_blind(const supervisor_t *supervisor)
{
    int was_idle = eventually(is_idle(supervisor));
    link_t link = link_open(supervisor);
    char variable[32];
    const char *env[] = {"PATH=/usr/bin:/bin", variable, NULL};
    sse_exec_order_t order;
    script_t s;
    pid_t pid;

    ok(was_idle, "nothing is about to be closed");
    snprintf(variable, sizeof(variable), "BLIND=%ld-", (long)getpid());
    order = *script(&s, "sleep 61 & echo go; sleep 64; :");
    order.env = env;
    link_order(&link, SSE_EXEC_START, 1, &order);
    is_num(link_get(&link), SSE_EXEC_STARTED, "a program");
    read_fd(link.fds[0], "go");
    link_drop_fds(&link);
    ok(eventually(count_env(variable) == 3), "has others");
    pid = link.got.pid;
    link_send(&link, SSE_EXEC_START, 9, -1);
    is_num(failed(&link), SSE_EXEC_WHY_BAD, "its descriptors are closed");

    allow(supervisor, 0);
    kill(pid, SIGKILL);
    ok(has_exited(&link, SIGKILL), "it ends, while no descriptor is left");
    usleep((useconds_t)(quick.rest + quick.kill) * 1000);
    allow(supervisor, 1);
    ok(eventually(!count_env(variable)), "when there is one the others end");
    link_close(&link);
}

static void test_clean(const supervisor_t *supervisor)
{
    is_num(eventually(!count_children(supervisor->pid)), 1,
           "no process is left");
    ok(eventually(is_idle(supervisor)), "and no descriptor");
}

int main(void)
{
    supervisor_t supervisor = supervisor_start();

    test_start(&supervisor);
    test_bad(&supervisor);
    test_stop(&supervisor);
    test_rest(&supervisor);
    test_last_words();
    test_escape(&supervisor);
    test_broken(&supervisor);
    test_limit(&supervisor);
    test_flood(&supervisor);
    test_count(&supervisor);
    test_poor(&supervisor);
    test_blind(&supervisor);
    test_clean(&supervisor);
    is_num(supervisor_stop(&supervisor), 0, "it ends when it is told to");
    return done_testing();
}
