/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The supervisor of programs ends, is killed, or loses its parent: nothing of
 * any program is left. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "exec.h"

/* In the environment of a test's programs; they are looked for by it. */
static char variable[64];

/* What ends by itself, what ignores that, what has left its group. */
static const char *const texts[] = {
    "echo go; sleep 60",
    "trap '' TERM; echo go; while :; do sleep 1; done",
    "setsid sh -c \"trap '' TERM; while :; do sleep 1; done\" & sleep 0.1; "
    "echo go; wait",
    "sleep 60 & sleep 60 & echo go; wait",
};
enum { TEXTS = sizeof(texts) / sizeof(*texts) };

static void start(link_t *link, apr_uint64_t id, const char *text)
{
    const char *env[] = {"PATH=/usr/bin:/bin", variable, NULL};
    char output[64];
    script_t s;

    script(&s, text);
    s.order.env = env;
    link_order(link, SSE_EXEC_START, id, &s.order);
    ok(link_get(link) == SSE_EXEC_STARTED &&
           strstr(read_until(link->fds[0], "go", output, sizeof(output)), "go"),
       "a program runs");
}

static void start_all(link_t *link)
{
    int i;

    for (i = 0; i < TEXTS; ++i) {
        start(link, (apr_uint64_t)i, texts[i]);
        link_drop_fds(link);
    }
    ok(count_env(variable) > TEXTS, "with more processes than one");
}

static void name_programs(const char *test)
{
    snprintf(variable, sizeof(variable), "TEST=%s-%ld", test, (long)getpid());
}

static void test_end(void)
{
    supervisor_t supervisor = supervisor_start();
    link_t link = link_open(&supervisor);
    int exited = 0, type;
    script_t s;

    name_programs("end");
    start_all(&link);
    kill(supervisor.pid, SIGTERM);
    usleep(50000);
    link_order(&link, SSE_EXEC_START, 77, script(&s, "sleep 60"));
    while ((type = link_get(&link)) == SSE_EXEC_EXITED) {
        ++exited;
    }
    ok(type == SSE_EXEC_FAILED && link.got.why == SSE_EXEC_WHY_LEAVING,
       "who is about to end starts nothing");
    while ((type = link_get(&link)) == SSE_EXEC_EXITED) {
        ++exited;
    }
    ok(exited >= 2, "ends are told meanwhile");
    is_num(type, -1, "then the connection ends");
    is_num(supervisor_stop(&supervisor), 0, "and the supervisor");
    is_num(count_env(variable), 0, "nothing is left");
    link_close(&link);
}

/* Killed: the kernel kills each first process, and the next supervisor ends
 * what these have started. */
static void test_killed(void)
{
    supervisor_t supervisor, next;
    link_t link, early;
    int door[2], i;

    make_door(door);
    supervisor = supervisor_on(door);
    link = link_open(&supervisor);
    name_programs("killed");
    start_all(&link);
    kill(supervisor.pid, SIGKILL);
    waitpid(supervisor.pid, NULL, 0);
    is_num(link_get(&link), -1, "it is killed: children see that");
    link_close(&link);
    early = link_open(&supervisor);
    is_num(link_next(&early, 50), 0, "who comes then waits");
    ok(count_env(variable) > 0, "something of programs is left");

    next = supervisor_on(door);
    ok(eventually(!count_env(variable)), "the next one ends that");
    name_programs("early");
    for (i = 0; i < 2; ++i) {
        start(&early, (apr_uint64_t)i, texts[0]);
        link_drop_fds(&early);
    }
    link_close(&early);
    ok(eventually(!count_env(variable)), "it works as the one before");
    close(door[0]);
    supervisor_stop(&next);
}

/* Another supervisor's programs are nobody else's. */
static void test_others(void)
{
    supervisor_t one = supervisor_start(), two;
    link_t link = link_open(&one);

    name_programs("others");
    start(&link, 1, texts[0]);
    two = supervisor_start();
    usleep((useconds_t)(quick.kill + 200) * 1000);
    ok(count_env(variable) > 0, "a second supervisor leaves them alone");
    is_num(supervisor_stop(&two), 0, "also when it ends");
    ok(count_env(variable) > 0, "they run");
    link_drop_fds(&link);
    link_close(&link);
    is_num(supervisor_stop(&one), 0, "until their own does");
    is_num(count_env(variable), 0, "nothing is left");
}

/* A process that has one, with a program, until it is killed. */
static void run_supervisor(int fd)
{
    const char *env[] = {"PATH=/usr/bin:/bin", variable, NULL};
    supervisor_t supervisor = supervisor_start();
    link_t link = link_open(&supervisor);
    char output[64];
    script_t s;

    script(&s, texts[1]);
    s.order.env = env;
    link_order(&link, SSE_EXEC_START, 1, &s.order);
    link_get(&link);
    read_until(link.fds[0], "go", output, sizeof(output));
    if (write(fd, &supervisor, sizeof(supervisor)) < 0) {
        abort();
    }
    pause();
    _exit(0);
}

/* The process that has made the supervisor is killed. */
static void test_parent(void)
{
    int fds[2], status;
    supervisor_t supervisor = {0, -1};
    pid_t parent;

    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (pipe(fds)) {
        abort();
    }
    name_programs("parent");
    parent = fork();
    if (parent == 0) {
        run_supervisor(fds[1]);
    }
    ok(read(fds[0], &supervisor, sizeof(supervisor)) == sizeof(supervisor) &&
           supervisor.pid > 0,
       "a supervisor of another process");
    ok(count_env(variable) > 0, "has a program");
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    ok(eventually(waitpid(supervisor.pid, &status, WNOHANG) == supervisor.pid),
       "its parent is killed: it ends");
    is_num(status, 0, "in good order");
    is_num(count_env(variable), 0, "nothing is left");
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    test_end();
    test_killed();
    test_others();
    test_parent();
    is_num(count_children(getpid()), 0, "no process is left");
    return done_testing();
}
