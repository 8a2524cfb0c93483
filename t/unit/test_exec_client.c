/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A child's connection to the supervisor of programs, with a loop and a
 * supervisor that are real: a child has no descriptor left, it stands still, or
 * the supervisor hangs. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <httpd.h>
#include <http_log.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/resource.h>

#include "exec.h"
#include "exec/sse_exec_client.h"
#include "exec/sse_exec_supervisor.h"
#include "loop/sse_log.h"
#include "loop/sse_loop.h"
#include "sse_atomic.h"

module sse_module;

static sse_loop_t *loop;
static server_rec server;
static supervisor_t supervisor;
static int lost, unread, exited; /* atomic: how often that was told */

/* -- What the client stands on --------------------------------------------- */

int sse_exec_supervisor_door(void) { return supervisor.door; }

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char logged[8192]; /* lock */

void sse_log_later(const char *file, int line, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
    pthread_mutex_lock(&lock);
    strncat(logged, fmt, sizeof(logged) - strlen(logged) - 1);
    pthread_mutex_unlock(&lock);
}

/* -- A program and its owner ----------------------------------------------- */

typedef struct {
    sse_exec_program_t program;
    int fds[2]; /* its output and errors, where it is not shared */
    int how;    /* atomic: of a shared one that is to be read */
    sse_exec_message_t answer;
} owner_t;

static void on_own(sse_exec_program_t *program, int out, int err, int value,
                   int rest)
{
    owner_t *owner = sse_owner_of(program, owner_t, program);

    sse_exec_close(&out);
    sse_exec_close(&err);
    sse_exec_close(&rest);
    sse_atomic_store(&owner->how, value);
}

static void on_exited(sse_exec_program_t *program, int status,
                      apr_int64_t restart_msec, apr_status_t error)
{
    sse_atomic_add(&exited, 1);
}

static void on_lost(sse_exec_program_t *program) { sse_atomic_add(&lost, 1); }

static void on_unread(sse_exec_program_t *program)
{
    sse_atomic_add(&unread, 1);
}

static const sse_exec_program_events_t events = {on_own, on_exited, on_lost,
                                                 on_unread};

static void close_fds(owner_t *owner)
{
    sse_exec_close(&owner->fds[0]);
    sse_exec_close(&owner->fds[1]);
}

/* Programs are looked for by a variable of their environment, in which this
 * process is, as the test may run twice at a time.  name "": any of them. */
static const char *variable_of(const char *name, char variable[64])
{
    snprintf(variable, 64, "POOR=%ld-%s", (long)getpid(), name);
    return variable;
}

static int count_programs(const char *name)
{
    char variable[64];

    return count_env(variable_of(name, variable));
}

static apr_status_t start(owner_t *owner, const char *key, const char *name)
{
    char variable[64];
    const char *env[] = {"PATH=/usr/bin:/bin", variable_of(name, variable),
                         NULL};
    sse_exec_order_t order;
    script_t s;

    memset(owner, 0, sizeof(*owner));
    owner->program.events = &events;
    owner->fds[0] = owner->fds[1] = -1;
    order = *script(&s, "exec sleep 60");
    order.env = env;
    order.key = key;
    order.key_len = strlen(key);
    order.linger = apr_time_from_sec(60);
    return sse_exec_client_start(&owner->program, &order, *key != '\0',
                                 owner->fds, &owner->answer);
}

typedef struct {
    sse_task_t task;
    owner_t *owner;
    const char *rest; /* returned, if there is any */
    int is_done;      /* atomic */
} stop_t;

static void do_stop(sse_task_t *task)
{
    stop_t *stop = sse_owner_of(task, stop_t, task);

    if (stop->rest) {
        sse_exec_client_return(&stop->owner->program, stop->rest,
                               strlen(stop->rest));
    }
    else {
        sse_exec_client_stop(&stop->owner->program);
    }
    sse_atomic_store(&stop->is_done, 1);
}

static void stop_with(owner_t *owner, const char *rest)
{
    stop_t stop = {{.run = do_stop}, owner, rest, 0};

    sse_loop_post(loop, &stop.task);
    eventually(sse_atomic_load(&stop.is_done));
}

/* -- Descriptors ----------------------------------------------------------- */

static struct rlimit whole;

/* Room for so many more, and no gap below. */
static void allow(int more)
{
    struct rlimit limit = whole;
    int fds[8] = {0}, i;

    for (i = 0; i <= more; ++i) {
        fds[i] = dup(0);
    }
    limit.rlim_cur = (rlim_t)fds[more];
    setrlimit(RLIMIT_NOFILE, &limit);
    for (i = 0; i <= more; ++i) {
        close(fds[i]);
    }
}

static void allow_all(void) { setrlimit(RLIMIT_NOFILE, &whole); }

static int is_running(const owner_t *owner)
{
    return !kill(owner->answer.pid, 0);
}

/* An order takes one, the program's output two. */
static void test_own(void)
{
    static owner_t first, second;
    int more;

    is_num(start(&first, "", "first"), APR_SUCCESS, "a program");
    is_num(first.answer.type, SSE_EXEC_STARTED, "runs");
    for (more = 0; more < 3; ++more) {
        allow(more);
        is_num(start(&second, "", "second"), EMFILE,
               "without descriptors enough for it another one does not");
        allow_all();
        ok(second.fds[0] < 0 && second.fds[1] < 0, "it has none");
    }
    allow(3);
    is_num(start(&second, "", "third"), APR_SUCCESS, "with enough it does");
    allow_all();
    ok(eventually(!count_programs("second")),
       "what was started meanwhile is ended");
    ok(is_running(&first), "the first one runs on");
    is_num(sse_atomic_load(&lost), 0, "none of them is lost");
    ok(eventually(*supervisor.running == 2), "two are counted");
    stop_with(&first, NULL);
    stop_with(&second, NULL);
    ok(eventually(sse_atomic_load(&exited) == 2), "they are ended");
    close_fds(&first);
    close_fds(&second);
}

static void test_shared(void)
{
    static owner_t first, second, third;
    int ended = sse_atomic_load(&exited);

    is_num(start(&first, "", "beside"), APR_SUCCESS, "a program");
    allow(3);
    is_num(start(&second, "enough", "enough"), APR_SUCCESS,
           "a shared one is joined,");
    ok(eventually(sse_atomic_load(&second.how)), "and given to read");
    allow(1);
    is_num(start(&third, "key", "shared"), APR_SUCCESS, "another one");
    ok(eventually(sse_atomic_load(&unread)), "which cannot be read");
    allow_all();
    is_num(start(&third, "key", "shared"), APR_SUCCESS, "it is joined again");
    ok(eventually(sse_atomic_load(&third.how) == SSE_EXEC_FRESH),
       "and read, from its beginning");
    is_num(count_programs("shared"), 1, "it is the same process");
    ok(is_running(&first), "the first one runs on");
    is_num(sse_atomic_load(&lost), 0, "none of them is lost");
    stop_with(&first, NULL);
    stop_with(&second, NULL);
    stop_with(&third, NULL);
    ok(eventually(sse_atomic_load(&exited) == ended + 1), "it is ended");
    close_fds(&first);
}

/* It is to return what it has read, and cannot. */
static void test_return(void)
{
    link_t link = link_open(&supervisor);
    static owner_t owner;
    sse_exec_order_t order;
    script_t s;

    is_num(start(&owner, "return", "return"), APR_SUCCESS, "a shared program");
    ok(eventually(sse_atomic_load(&owner.how)), "is read");
    order = *script(&s, "");
    order.key = "return";
    order.key_len = 6;
    link_order(&link, SSE_EXEC_JOIN, 1, &order);
    is_num(link_get(&link), SSE_EXEC_JOINED, "another child joins it");
    allow(0);
    stop_with(&owner, "half a li");
    allow_all();
    is_num(link_get(&link), SSE_EXEC_OWN, "and has it then");
    is_num(link.got.value, SSE_EXEC_TORN, "from the next line on");
    link_drop_fds(&link);
    link_close(&link);
}

/* -- A supervisor that hangs ----------------------------------------------- */

typedef struct {
    pthread_t thread;
    owner_t owner;
    apr_status_t rv;
    long long msec; /* how long it took */
} asker_t;

static void *ask(void *baton)
{
    asker_t *asker = baton;
    long long began = msec_now();

    asker->rv = start(&asker->owner, "", "hung");
    asker->msec = msec_now() - began;
    return NULL;
}

static int log_has(const char *text)
{
    int has;

    pthread_mutex_lock(&lock);
    has = strstr(logged, text) != NULL;
    pthread_mutex_unlock(&lock);
    return has;
}

static void do_stall(sse_task_t *task) { sleep(5); }

static void do_nothing(sse_task_t *task) {}

/* It is this child's loop that stands still, with the answers unread. */
static void test_stalled(void)
{
    static asker_t asker;
    static sse_task_t stall = {.run = do_stall}, wakeup = {.run = do_nothing};
    int ended = sse_atomic_load(&exited);

    kill(supervisor.pid, SIGSTOP);
    pthread_create(&asker.thread, NULL, ask, &asker);
    usleep(5300000); /* by then it is asked whether it answers */
    sse_loop_post(loop, &stall);
    usleep(200000);
    sse_loop_post(loop, &wakeup); /* what the loop sees first */
    kill(supervisor.pid, SIGCONT);
    pthread_join(asker.thread, NULL);
    is_num(asker.rv, APR_SUCCESS, "an answer that came in time is seen late");
    ok(!log_has("does not answer"), "the supervisor is not blamed");
    stop_with(&asker.owner, NULL);
    close_fds(&asker.owner);
    ok(eventually(sse_atomic_load(&exited) == ended + 1), "it is ended");
}

static void test_hung(void)
{
    static asker_t first, second, third;
    static owner_t runs;
    int ended = sse_atomic_load(&exited);

    is_num(start(&runs, "", "runs"), APR_SUCCESS, "a program runs");
    kill(supervisor.pid, SIGSTOP);
    pthread_create(&first.thread, NULL, ask, &first);
    sleep(4);
    pthread_create(&second.thread, NULL, ask, &second);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    is_num(first.rv, APR_TIMEUP, "the supervisor hangs: no answer");
    is_num(second.rv, APR_TIMEUP, "nor to who came later");
    ok(first.msec >= 9900, "which is waited for");
    ok(second.msec < first.msec - 1000, "by nobody else longer than that");
    ask(&third);
    is_num(third.rv, APR_TIMEUP, "who comes now");
    ok(third.msec < first.msec / 2, "does not wait");
    ok(log_has("does not answer"), "the log tells");

    kill(supervisor.pid, SIGCONT);
    ok(eventually(start(&third.owner, "", "after") == APR_SUCCESS),
       "it goes on: so does all");
    ok(log_has("answers again"), "which the log tells, too");
    ok(eventually(!count_programs("hung")), "what it began late is ended");
    ok(is_running(&runs), "what ran runs on");
    is_num(sse_atomic_load(&lost), 0, "nothing is lost");
    stop_with(&runs, NULL);
    stop_with(&third.owner, NULL);
    ok(eventually(sse_atomic_load(&exited) == ended + 2), "until it is ended");
    close_fds(&runs);
    close_fds(&third.owner);
}

int main(void)
{
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    getrlimit(RLIMIT_NOFILE, &whole);
    supervisor = supervisor_start();
    sse_loop_create(&loop);
    sse_exec_client_init(loop, &server);
    sse_loop_start(loop, pool);
    test_own();
    test_shared();
    test_return();
    test_stalled();
    test_hung();
    ok(sse_loop_stop(loop, apr_time_from_sec(5)), "the loop ends");
    is_num(supervisor_stop(&supervisor), 0, "and the supervisor");
    ok(eventually(!count_programs("")), "nothing is left");
    return done_testing();
}
