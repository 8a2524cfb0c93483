/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/notify/sse_ended.c: claimers run when a child has ended, one after the
 * other, and again when something is left; who is dead, and who is not.  The
 * test plays the loop, the worker, and httpd. */

#include <apr_general.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/sse_broadcast.h"
#include "loop/sse_workers.h"
#include "notify/sse_ended.h"
#include "shared/sse_counters.h"
#include "tap.h"

module sse_module;

/* -- httpd's part, the loop's and the worker's ----------------------------- */

static apr_pool_t *pool;
static apr_hash_t *retained;
static server_rec server;

void *ap_retained_data_get(const char *key)
{
    return apr_hash_get(retained, key, APR_HASH_KEY_STRING);
}

void *ap_retained_data_create(const char *key, apr_size_t size)
{
    void *data = apr_pcalloc(pool, size);

    apr_hash_set(retained, apr_pstrdup(pool, key), APR_HASH_KEY_STRING, data);
    return data;
}

int(ap_get_server_module_loglevel)(const server_rec *s, int index)
{
    return APLOG_TRACE8;
}

void ap_log_error_(const char *file, int line, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
}

#define MOST 4

static struct {
    sse_broadcast_fn *on_ended; /* NULL: nobody listens */
    sse_broadcast_t *broadcast;
    uv_timer_cb on_timer[MOST]; /* of those that were started */
    uv_timer_t *timers[MOST];
    uint64_t msec; /* the last one's */
    int n_timers;
    sse_task_t *tasks[MOST];
    int n_tasks;
    sse_job_t *jobs[MOST];
    sse_workers_e kind; /* the last one's */
    int n_jobs;
    int refuses; /* no thread can be made */
} played;

uv_loop_t *sse_loop_uv(sse_loop_t *loop) { return NULL; }

int sse_loop_post(sse_loop_t *loop, sse_task_t *task)
{
    played.tasks[played.n_tasks++] = task;
    return 1;
}

apr_status_t sse_broadcast_open(sse_broadcast_t *broadcast, sse_loop_t *loop,
                                int fd, sse_broadcast_fn *fn)
{
    played.broadcast = broadcast;
    played.on_ended = fn;
    return APR_SUCCESS;
}

apr_status_t sse_broadcast_listen(sse_broadcast_t *broadcast, int on)
{
    return APR_SUCCESS;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer) { return 0; }

int uv_timer_start(uv_timer_t *timer, uv_timer_cb fn, uint64_t msec,
                   uint64_t repeat)
{
    played.timers[played.n_timers] = timer;
    played.on_timer[played.n_timers++] = fn;
    played.msec = msec;
    return 0;
}

int uv_is_active(const uv_handle_t *handle)
{
    int i;

    for (i = 0; i < played.n_timers; ++i) {
        if ((const uv_handle_t *)played.timers[i] == handle) {
            return 1;
        }
    }
    return 0;
}

apr_status_t sse_workers_try(sse_workers_e kind, sse_job_t *job)
{
    if (played.refuses) {
        return APR_EAGAIN;
    }
    played.kind = kind;
    played.jobs[played.n_jobs++] = job;
    return APR_SUCCESS;
}

static void run_jobs(void)
{
    int i, jobs = played.n_jobs;

    played.n_jobs = 0;
    for (i = 0; i < jobs; ++i) {
        played.jobs[i]->run(played.jobs[i]);
    }
    for (i = 0; i < played.n_tasks; ++i) {
        played.tasks[i]->run(played.tasks[i]);
    }
    played.n_tasks = 0;
}

static void run_timers(void)
{
    int i, timers = played.n_timers;

    played.n_timers = 0;
    for (i = 0; i < timers; ++i) {
        played.on_timer[i](played.timers[i]);
    }
}

static void end_child(void) { played.on_ended(played.broadcast); }

/* -- Claimers -------------------------------------------------------------- */

static char order[20];
static int left; /* so often "b" has something left */

static apr_status_t claim(void *baton, apr_pool_t *p)
{
    size_t len = strlen(order);

    apr_cpystrn(order + len, baton, sizeof(order) - len);
    if (*(char *)baton == 'e') {
        end_child(); /* another one, meanwhile */
        *(char *)baton = 'f';
    }
    return *(char *)baton == 'b' && left-- > 0 ? APR_EAGAIN : APR_SUCCESS;
}

static void test_claimers(void)
{
    char ends[] = "e";

    ok(!played.on_ended, "who has nothing to claim is not woken");
    sse_ended_add(SSE_WORKERS_CRASH, claim, "a");
    ok(played.on_ended != NULL, "who has, is");
    sse_ended_add(SSE_WORKERS_CLAIM, claim, "b");
    end_child();
    is_num(played.n_jobs, 2, "workers are asked");
    is_num(played.kind, SSE_WORKERS_CLAIM, "of the kinds that were told");
    run_jobs();
    is_str(order, "ab", "each runs");
    is_num(played.n_timers, 0, "nothing is left");
    left = 2;
    *order = '\0';
    end_child();
    end_child();
    run_jobs();
    is_str(order, "ab", "once for all that have ended");
    is_num(played.n_timers, 1, "one has something left");
    is_num(played.msec, 1000, "again after a second");
    run_timers();
    run_jobs();
    run_timers();
    run_jobs();
    is_str(order, "abbb", "as often as needed");
    is_num(played.n_timers, 0, "and no more");
    *order = '\0';
    played.refuses = 1;
    end_child();
    is_num(played.n_timers, 2, "no threads: again after a second");
    played.refuses = 0;
    run_timers();
    run_jobs();
    is_str(order, "ab", "then they run");
    sse_ended_add(SSE_WORKERS_CLAIM, claim, ends);
    *order = '\0';
    end_child();
    played.n_jobs = 0; /* the others' workers are busy */
    played.jobs[played.n_jobs++] = played.jobs[2];
    run_jobs();
    is_str(order, "ef", "a child that ends meanwhile is looked for");
}

/* -- Owners ---------------------------------------------------------------- */

static int is_alive(const char *owner)
{
    return sse_ended_is_alive(NULL, owner);
}

static const char *name_of(apr_time_t born, pid_t pid, const char *end)
{
    return apr_psprintf(pool, "%" APR_UINT64_T_HEX_FMT ".%x%s",
                        (apr_uint64_t)born, (unsigned)pid, end);
}

static void test_owners(void)
{
    apr_time_t born = apr_time_now();
    pid_t pid;
    int status;

    sse_counters_prepare(pool, 4);
    sse_counters_enter(getpid(), born);
    sse_ended_init(&server, NULL, -1, born, 1);
    is_str(sse_ended_owner(), name_of(born, getpid(), ""), "who this is");
    is_num(is_alive(sse_ended_owner()), 1, "it lives");
    is_num(is_alive(name_of(born - 1, getpid(), "")), 0,
           "an earlier one of that pid does not");
    is_num(is_alive("lock"), 1, "what is no owner is left alone");
    sse_counters_leave(getpid());
    is_num(is_alive(sse_ended_owner()), 0, "it has ended");

    sse_ended_init(&server, NULL, -1, born, 0);
    is_str(sse_ended_owner(), name_of(born, getpid(), "u"),
           "one that is not in the counters says so");
    is_num(is_alive(sse_ended_owner()), 1, "and lives");
    if (!(pid = fork())) {
        _exit(0);
    }
    waitpid(pid, &status, 0);
    is_num(is_alive(name_of(born, pid, "u")), 0, "until its process is gone");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    retained = apr_hash_make(pool);
    test_owners();
    test_claimers();
    apr_pool_destroy(pool);
    return done_testing();
}
