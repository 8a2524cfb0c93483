/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Programs are started as strangers, and what cannot be started says why. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "exec.h"
#include "exec/sse_exec_spawn.h"

static char output[65536];

typedef struct {
    sse_exec_spawn_t spawn;
    sse_exec_why_e why;
    apr_status_t rv; /* of the result */
    int status;
} ran_t;

static void close_fds(sse_exec_spawn_t *spawn)
{
    close(spawn->out);
    close(spawn->err);
    close(spawn->result);
}

/* To its end; what it wrote is in output. */
static ran_t run(const sse_exec_order_t *order)
{
    ran_t ran;

    memset(&ran, 0, sizeof(ran));
    if (sse_exec_spawn(order, "SSE_PROGRAM=mark", &ran.spawn)) {
        abort();
    }
    eventually((ran.rv = sse_exec_spawn_result(&ran.spawn, &ran.why)) !=
               APR_EAGAIN);
    read_until(ran.spawn.out, NULL, output, sizeof(output));
    waitpid(ran.spawn.pid, &ran.status, 0);
    close_fds(&ran.spawn);
    return ran;
}

static void test_surroundings(void)
{
    static const char *const env[] = {"A=1", "SSE_PROGRAM=forged", "B=2", NULL};
    sse_exec_order_t order;
    script_t s;
    ran_t ran;
    int other = open("/dev/null", O_RDONLY); /* not close-on-exec */

    order = *script(&s, "pwd; echo \"$A$B\" $SSE_PROGRAM; cat; echo end");
    order.dir = "/usr";
    order.env = env;
    ran = run(&order);
    is_num(ran.rv, APR_SUCCESS, "a program runs");
    is_num(ran.status, 0, "and ends");
    is_str(output, "/usr\n12 mark\nend\n",
           "its directory, environment, an empty input");

    run(script(&s, "ls -l /proc/self/fd | grep -c ' -> '"));
    is_str(output, "4\n",
           "it has no descriptor but the standard ones (and "
           "that of the listing itself)");
    ran = run(script(&s, "ulimit -c 0; kill -SEGV $$"));
    ok(WIFSIGNALED(ran.status) && WTERMSIG(ran.status) == SIGSEGV,
       "signals kill it");
    close(other);
}

static void test_signals(void)
{
    sigset_t all, before;
    script_t s;
    char *at;

    signal(SIGPIPE, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    run(script(&s, "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"));
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, SIG_DFL);
    ok(strstr(output, "SigBlk:\t0000000000000000"), "no signal is blocked");
    at = strstr(output, "SigIgn:");
    /* The C library has two, 32 and 33, for itself. */
    ok(at && !(strtoull(at + 7, NULL, 16) & 0x7fffffff), "and none ignored");
}

static void test_group(void)
{
    sse_exec_spawn_t spawn;
    script_t s;
    int status;

    sse_exec_spawn(script(&s, "sleep 60 & sleep 60 & echo go; wait"),
                   "SSE_PROGRAM=mark", &spawn);
    is_num(getpgid(spawn.pid), spawn.pid, "it has a group of its own");
    read_until(spawn.out, "go", output, sizeof(output));
    is_str(output, "go\n", "it starts others");
    ok(!kill(-spawn.pid, SIGTERM), "who are told with it");
    ok(eventually(waitpid(spawn.pid, &status, WNOHANG) == spawn.pid) &&
           WTERMSIG(status) == SIGTERM,
       "and end");
    read_until(spawn.out, NULL, output, sizeof(output));
    ok(eventually(kill(-spawn.pid, 0) && errno == ESRCH), "all of them");
    close_fds(&spawn);
}

/* Forks a supervisor that starts a program and is killed. */
static void test_parent_dies(void)
{
    char name[16];
    int fds[2];
    pid_t pid;

    if (pipe(fds)) {
        abort();
    }
    pid = fork();
    if (pid == 0) {
        sse_exec_spawn_t spawn;
        script_t s;

        sse_exec_spawn(script(&s, "echo $$; exec sleep 60"), "SSE_PROGRAM=mark",
                       &spawn);
        read_until(spawn.out, "\n", name, sizeof(name));
        if (write(fds[1], name, sizeof(name)) < 0) {
            abort();
        }
        kill(getpid(), SIGKILL);
    }
    close(fds[1]);
    waitpid(pid, NULL, 0);
    ok(read(fds[0], name, sizeof(name)) > 0, "the program began");
    ok(eventually(kill((pid_t)atol(name), 0) && errno == ESRCH),
       "its supervisor's death kills it");
    close(fds[0]);
}

static void test_failures(void)
{
    static const char *const missing[] = {"/nowhere/program", NULL};
    static const char *const no_program[] = {"/etc/passwd", NULL};
    static const char *const folder[] = {"/etc", NULL};
    sse_exec_order_t order;
    script_t s;
    ran_t ran;

    order = *script(&s, "");
    order.argv = missing;
    ran = run(&order);
    ok(ran.rv == ENOENT && ran.why == SSE_EXEC_WHY_EXEC, "missing");
    is_num(WEXITSTATUS(ran.status), 127, "which has an exit status, too");
    order.argv = no_program;
    ran = run(&order);
    ok(ran.rv == EACCES && ran.why == SSE_EXEC_WHY_EXEC, "not executable");
    order.argv = folder;
    ran = run(&order);
    ok(ran.rv == EACCES && ran.why == SSE_EXEC_WHY_EXEC, "a folder");
    order = *script(&s, "");
    order.dir = "/nowhere";
    ran = run(&order);
    ok(ran.rv == ENOENT && ran.why == SSE_EXEC_WHY_DIR, "no such directory");
}

static void test_long(void)
{
    const char **args = calloc(10002, sizeof(*args));
    char *large = malloc(200 * 1024 + 1);
    sse_exec_order_t order;
    script_t s;
    ran_t ran;
    int i;

    order = *script(&s, "");
    args[0] = "/bin/sh";
    args[1] = "-c";
    args[2] = "echo $#";
    args[3] = "sh";
    for (i = 4; i < 10001; ++i) {
        args[i] = "an argument";
    }
    order.argv = args;
    ran = run(&order);
    is_num(ran.rv, APR_SUCCESS, "10,000 arguments");
    is_str(output, "9997\n", "arrive");

    memset(large, 'x', 200 * 1024);
    large[200 * 1024] = '\0';
    args[4] = large;
    args[5] = NULL;
    ran = run(&order);
    ok(ran.rv == E2BIG && ran.why == SSE_EXEC_WHY_EXEC,
       "an argument of 200 KB: the kernel refuses it");
    free(large);
    free(args);
}

static void test_no_leak(void)
{
    int before = count_fds_of(getpid()), i;
    script_t s;

    for (i = 0; i < 20; ++i) {
        run(script(&s, "exit 3"));
    }
    is_num(count_fds_of(getpid()), before, "no descriptor is left");
    is_num(count_children(getpid()), 0, "nor a process");
}

int main(void)
{
    test_surroundings();
    test_signals();
    test_group();
    test_parent_dies();
    test_failures();
    test_long();
    test_no_leak();
    return done_testing();
}
