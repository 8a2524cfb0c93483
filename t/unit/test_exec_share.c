/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Shared programs in the supervisor: one for all children, whose output one of
 * them has at a time; restarts; linger. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <sys/stat.h>

#include "exec.h"

/* ms: one that the test waits for, and one that does not pass while it does
 * something. */
#define LINGER      300
#define LINGER_LONG (3 * WAIT_MSEC)

static char output[65536];

static const char *read_fd(int fd, const char *text)
{
    return read_until(fd, text, output, sizeof(output));
}

/* Each test has a channel of its own. */
static const sse_exec_order_t *shared(script_t *s, const char *key,
                                      const char *text)
{
    script(s, text);
    s->order.key = key;
    s->order.key_len = strlen(key);
    s->order.linger = apr_time_from_msec(LINGER);
    return &s->order;
}

static void join(link_t *link, apr_uint64_t id, const char *key,
                 const char *text)
{
    script_t s;

    link_order(link, SSE_EXEC_JOIN, id, shared(&s, key, text));
}

/* What lingers is that long there: the order of who came last holds. */
static void join_long(link_t *link, apr_uint64_t id, const char *key,
                      const char *text)
{
    script_t s;

    shared(&s, key, text);
    s.order.linger = apr_time_from_msec(LINGER_LONG);
    link_order(link, SSE_EXEC_JOIN, id, &s.order);
}

/* @return the program's pid, or -1 */
static pid_t joined(link_t *link, apr_uint64_t id)
{
    return link_get(link) == SSE_EXEC_JOINED && link->got.id == id
               ? link->got.pid
               : -1;
}

static int owns(link_t *link, apr_uint64_t id, int how, int n)
{
    int type = link_get(link);

    if (type == SSE_EXEC_OWN && link->got.id == id && link->got.value == how &&
        link->n == n) {
        return 1;
    }
    printf("#   message %d for %llu, value %lld, %d descriptors\n", type,
           (unsigned long long)link->got.id, (long long)link->got.value,
           link->n);
    return 0;
}

static int is_quiet(link_t *link) { return link_next(link, 100) == 0; }

static int is_gone(pid_t pid) { return kill(pid, 0) && errno == ESRCH; }

/* Counts up, a line each 20 ms. */
#define COUNTING "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"

static void test_one_for_all(const supervisor_t *supervisor)
{
    link_t a = link_open(supervisor), b = link_open(supervisor);
    pid_t pid;

    join(&a, 1, "one", COUNTING);
    pid = joined(&a, 1);
    ok(pid > 0, "joined: the program is started");
    ok(owns(&a, 1, SSE_EXEC_FRESH, 2), "who was first reads");
    ok(strstr(read_fd(a.fds[0], "2\n"), "1\n"), "from its beginning");
    link_drop_fds(&a);
    join_long(&b, 9, "one", "echo another");
    is_num(joined(&b, 9), pid, "another child joins the same");
    ok(is_quiet(&b), "and does not read");

    link_send(&a, SSE_EXEC_STOP, 1, -1);
    ok(owns(&b, 9, SSE_EXEC_TORN, 2), "until the first leaves it");
    ok(strstr(read_fd(b.fds[0], "\n"), "\n"), "it goes on");
    link_drop_fds(&b);
    ok(is_quiet(&a), "who has left is told nothing");
    link_send(&b, SSE_EXEC_STOP, 9, -1);
    usleep(LINGER * 1000);
    ok(!is_gone(pid), "the last has left: it lingers");
    join(&b, 10, "one", COUNTING);
    is_num(joined(&b, 10), pid, "for who comes then");
    ok(owns(&b, 10, SSE_EXEC_TORN, 2), "and reads");
    link_drop_fds(&b);
    link_send(&b, SSE_EXEC_STOP, 10, -1);
    ok(eventually(is_gone(pid)), "in the end it ends");
    ok(is_quiet(&b), "which nobody is told");
    link_close(&a);
    link_close(&b);
}

static void test_return(const supervisor_t *supervisor)
{
    link_t a = link_open(supervisor), b = link_open(supervisor);
    char rest[16] = "";
    int fd;

    join(&a, 1, "return", COUNTING);
    joined(&a, 1);
    ok(owns(&a, 1, SSE_EXEC_FRESH, 2), "one reads");
    join(&b, 1, "return", COUNTING);
    joined(&b, 1);
    link_drop_fds(&a);
    sse_exec_bytes_write("half a ", 7, &fd);
    link_send(&a, SSE_EXEC_RETURN, 1, fd);
    close(fd);
    ok(owns(&b, 1, SSE_EXEC_RETURNED, 3), "it returns: another one reads");
    ok(pread(b.fds[2], rest, sizeof(rest), 0) == 7 && !strcmp(rest, "half a "),
       "and has what the first has left");
    link_drop_fds(&b);
    link_send(&b, SSE_EXEC_RETURN, 1, -1);
    ok(is_quiet(&a) && is_quiet(&b), "nobody who has returned is asked again");
    join(&a, 2, "return", COUNTING);
    ok(joined(&a, 2) > 0, "who joins anew");
    ok(owns(&a, 2, SSE_EXEC_RETURNED, 2), "is");
    link_drop_fds(&a);

    link_close(&a);
    ok(is_quiet(&b), "also when a child is gone");
    link_send(&b, SSE_EXEC_STOP, 1, -1);
    link_close(&b);
}

/* The child that reads is killed: another one goes on. */
static void test_owner_dies(const supervisor_t *supervisor)
{
    link_t a = link_open(supervisor), b = link_open(supervisor);
    link_t c = link_open(supervisor);
    pid_t pid;

    join(&a, 1, "dies", COUNTING);
    pid = joined(&a, 1);
    owns(&a, 1, SSE_EXEC_FRESH, 2);
    link_drop_fds(&a);
    join(&a, 2, "dies", COUNTING);
    joined(&a, 2);
    join_long(&b, 1, "dies", COUNTING);
    joined(&b, 1);
    link_close(&a);
    ok(owns(&b, 1, SSE_EXEC_TORN, 2), "it dies: another one reads");
    link_drop_fds(&b);
    link_close(&b);
    usleep(LINGER * 1000);
    ok(!is_gone(pid), "all are dead: the program lingers");
    join(&c, 1, "dies", COUNTING);
    is_num(joined(&c, 1), pid, "who comes then finds it");
    ok(owns(&c, 1, SSE_EXEC_TORN, 2), "and reads");
    link_drop_fds(&c);
    link_close(&c);
    ok(eventually(is_gone(pid)), "alone it ends");
}

static void test_linger_return(const supervisor_t *supervisor)
{
    link_t a = link_open(supervisor);
    pid_t pid;
    int fd;

    join(&a, 1, "linger", COUNTING);
    pid = joined(&a, 1);
    owns(&a, 1, SSE_EXEC_FRESH, 2);
    link_drop_fds(&a);
    sse_exec_bytes_write("x", 1, &fd);
    supervisor_hold(supervisor);
    link_send(&a, SSE_EXEC_RETURN, 1, fd);
    close(fd);
    link_send(&a, SSE_EXEC_STOP, 1, -1);
    join(&a, 2, "linger", COUNTING);
    supervisor_let_go(supervisor);
    is_num(joined(&a, 2), pid, "the last returns, leaves, and comes back");
    ok(owns(&a, 2, SSE_EXEC_RETURNED, 3), "with what it has returned");
    link_drop_fds(&a);
    usleep(2 * LINGER * 1000);
    ok(!is_gone(pid), "the linger is over with that");
    link_close(&a);
}

/* It ends by itself, again and again.  When the test sees something says only
 * that so much time has passed since it began. */
static void test_restart(const supervisor_t *supervisor)
{
    int pauses[] = {quick.again, 2 * quick.again, quick.again_most,
                    quick.again_most};
    link_t a = link_open(supervisor), b = link_open(supervisor);
    long long began = msec_now(), paused = 0;
    unsigned i;

    join(&a, 1, "again", "echo here; exit 7");
    ok(joined(&a, 1) > 0, "a program that ends");
    for (i = 0; i < sizeof(pauses) / sizeof(*pauses); ++i) {
        ok(owns(&a, 1, SSE_EXEC_FRESH, 2), "is read");
        ok(msec_now() - began >= paused, "after all pauses so far");
        if (i == 0) {
            join(&b, 1, "again", "echo here; exit 7");
        }
        read_fd(a.fds[0], NULL);
        is_str(output, "here\n", "to its end");
        link_drop_fds(&a);
        ok(link_get(&a) == SSE_EXEC_EXITED && a.got.value == 7 << 8,
           "which is told");
        is_num(a.got.value2, pauses[i], "with the pause, which doubles");
        paused += pauses[i];
    }
    ok(joined(&b, 1) >= 0, "another child has joined meanwhile");
    ok(is_quiet(&b), "and is not bothered");
    link_close(&a);
    link_close(&b);
}

static void test_vanishes(const supervisor_t *supervisor)
{
    char path[] = "/tmp/test_exec_share.XXXXXX";
    static const char text[] = "#!/bin/sh\necho go\nexec sleep 60\n";
    link_t a = link_open(supervisor);
    sse_exec_order_t order;
    const char *argv[2] = {path, NULL};
    int fd = mkstemp(path);
    script_t s;
    pid_t pid;

    if (fd < 0 || write(fd, text, sizeof(text) - 1) < 0 || fchmod(fd, 0755)) {
        abort();
    }
    close(fd);
    order = *shared(&s, "vanishes", "");
    order.argv = argv;
    link_order(&a, SSE_EXEC_JOIN, 1, &order);
    pid = joined(&a, 1);
    ok(owns(&a, 1, SSE_EXEC_FRESH, 2), "a program runs");
    read_fd(a.fds[0], "go"); /* the shell has opened it */
    link_drop_fds(&a);
    unlink(path);
    kill(pid, SIGKILL);
    ok(link_get(&a) == SSE_EXEC_EXITED && a.got.value == SIGKILL &&
           a.got.error == 0,
       "it is killed");
    ok(link_get(&a) == SSE_EXEC_EXITED && a.got.error == ENOENT &&
           a.got.value == 127 << 8,
       "and is not there any more: that is told");
    ok(a.got.value2 == 2 * quick.again, "it is tried again, later");
    link_close(&a);
}

/* A restart of httpd brings another program for the channel. */
static void test_replaced(const supervisor_t *supervisor)
{
    link_t old = link_open(supervisor), new = link_open(supervisor);
    script_t s;
    pid_t pid;

    join(&old, 1, "new", "echo old; exec sleep 60");
    pid = joined(&old, 1);
    is_num(old.got.value, 0, "a program by its own arguments");
    owns(&old, 1, SSE_EXEC_FRESH, 2);
    link_drop_fds(&old);
    shared(&s, "new", "echo other; exec sleep 60");
    link_order(&new, SSE_EXEC_JOIN, 1, &s.order);
    is_num(joined(&new, 1), pid, "of the same generation: the same program");
    is_num(new.got.value, 1, "which is told to have other arguments");
    s.order.generation = 2;
    link_order(&new, SSE_EXEC_JOIN, 2, &s.order);
    is_num(joined(&new, 2), 0, "of the next one: another is to be started");
    ok(link_get(&old) == SSE_EXEC_EXITED && old.got.value == SIGTERM &&
           old.got.value2 == 0,
       "the old one is ended");
    ok(owns(&old, 1, SSE_EXEC_FRESH, 2), "who has read it reads the new one");
    read_fd(old.fds[0], "\n");
    is_str(output, "other\n", "from its beginning");
    link_drop_fds(&old);
    link_close(&old);
    ok(owns(&new, 1, SSE_EXEC_TORN, 2), "until it leaves");
    link_drop_fds(&new);
    link_close(&new);
}

/* Told to end after its linger, it is wanted again before it has ended: it does
 * so when the test kills it. */
static void test_comes_back(void)
{
    sse_exec_times_t times = quick;
    supervisor_t supervisor;
    link_t a;
    pid_t pid;
    int fd;

    times.kill = LINGER_LONG;
    supervisor = supervisor_with(&times);
    a = link_open(&supervisor);
    join(&a, 1, "back",
         "trap 'echo told; sleep 60' TERM; echo go; sleep 60 & wait");
    pid = joined(&a, 1);
    owns(&a, 1, SSE_EXEC_FRESH, 2);
    read_fd(a.fds[0], "go");
    fd = dup(a.fds[0]);
    link_drop_fds(&a);
    link_send(&a, SSE_EXEC_RETURN, 1, -1);
    link_send(&a, SSE_EXEC_STOP, 1, -1);
    ok(strstr(read_fd(fd, "told"), "told"), "a program is about to end");
    close(fd);
    join(&a, 2, "back", "echo new; exec sleep 60");
    is_num(joined(&a, 2), 0, "who joins is told at once");
    ok(owns(&a, 2, SSE_EXEC_RETURNED, 2), "reads what is left");
    link_drop_fds(&a);
    kill(-pid, SIGKILL);
    ok(link_get(&a) == SSE_EXEC_EXITED && a.got.value2 == 0, "sees it end");
    ok(owns(&a, 2, SSE_EXEC_FRESH, 2), "and has a new one");
    read_fd(a.fds[0], "\n");
    is_str(output, "new\n", "from its beginning");
    link_drop_fds(&a);
    link_close(&a);
    is_num(supervisor_stop(&supervisor), 0, "its supervisor ends");
}

int main(void)
{
    supervisor_t supervisor = supervisor_start();

    test_one_for_all(&supervisor);
    test_return(&supervisor);
    test_owner_dies(&supervisor);
    test_linger_return(&supervisor);
    test_restart(&supervisor);
    test_vanishes(&supervisor);
    test_replaced(&supervisor);
    test_comes_back();
    ok(eventually(!count_children(supervisor.pid)), "no process is left");
    ok(eventually(is_idle(&supervisor)), "and no descriptor");
    is_num(supervisor_stop(&supervisor), 0, "the supervisor ends");
    return done_testing();
}
