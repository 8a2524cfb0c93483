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

/* It is told to, and how does not depend on when. */
static void test_told(void)
{
    sse_exec_times_t times = quick;
    supervisor_t supervisor;
    int exited = 0, type;
    link_t link;
    script_t s;

    times.leave = WAIT_MSEC; /* longer than any program needs to end */
    supervisor = supervisor_with(&times);
    link = link_open(&supervisor);
    name_programs("told");
    start(&link, 1, texts[0]);
    link_drop_fds(&link);
    start(&link, 2, texts[3]);
    link_drop_fds(&link);
    supervisor_hold(&supervisor);
    kill(supervisor.pid, SIGTERM);
    link_order(&link, SSE_EXEC_START, 77, script(&s, "sleep 60"));
    supervisor_let_go(&supervisor);
    while ((type = link_get(&link)) == SSE_EXEC_EXITED) {
        ++exited;
    }
    ok(type == SSE_EXEC_FAILED && link.got.why == SSE_EXEC_WHY_LEAVING,
       "who is about to end starts nothing");
    while ((type = link_get(&link)) == SSE_EXEC_EXITED) {
        ++exited;
    }
    is_num(exited, 2, "ends are told meanwhile");
    is_num(type, -1, "then the connection ends");
    is_num(supervisor_stop(&supervisor), 0, "and the supervisor");
    ok(eventually(!count_env(variable)), "nothing is left");
    link_close(&link);
}

static void test_end(void)
{
    supervisor_t supervisor = supervisor_start();
    link_t link = link_open(&supervisor);

    name_programs("end");
    start_all(&link);
    is_num(supervisor_stop(&supervisor), 0, "it waits for no program");
    ok(eventually(!count_env(variable)), "and nothing is left");
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
    supervisor = supervisor_on(door, &quick);
    link = link_open(&supervisor);
    name_programs("killed");
    start_all(&link);
    kill(supervisor.pid, SIGKILL);
    waitpid(supervisor.pid, NULL, 0);
    /* At once: any supervisor that starts on this machine ends it, too. */
    ok(count_env(variable) > 0, "it is killed: something of programs is left");
    is_num(link_get(&link), -1, "children see that");
    link_close(&link);
    early = link_open(&supervisor);
    is_num(link_next(&early, 50), 0, "who comes then waits");

    next = supervisor_on(door, &quick);
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
    link_t link = link_open(&one), other;

    name_programs("others");
    start(&link, 1, texts[0]);
    name_programs("own");
    two = supervisor_start();
    other = link_open(&two);
    start(&other, 1, "echo go"); /* so it has looked for what others left */
    link_drop_fds(&other);
    link_close(&other);
    name_programs("others");
    usleep((useconds_t)(quick.kill + 200) * 1000);
    ok(count_env(variable) > 0, "a second supervisor leaves them alone");
    is_num(supervisor_stop(&two), 0, "also when it ends");
    ok(count_env(variable) > 0, "they run");
    link_drop_fds(&link);
    link_close(&link);
    is_num(supervisor_stop(&one), 0, "until their own does");
    ok(eventually(!count_env(variable)), "nothing is left");
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
    supervisor_t supervisor = {0, -1, NULL};
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
    ok(eventually(!count_env(variable)), "nothing is left");
    close(fds[0]);
    close(fds[1]);
}

/* What a supervisor had no time to wait for is ours. */
static int has_children(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    return count_children(getpid()) > 0;
}

int main(void)
{
    test_told();
    test_end();
    test_killed();
    test_others();
    test_parent();
    ok(eventually(!has_children()), "no process is left");
    return done_testing();
}
