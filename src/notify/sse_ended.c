/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_ended.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_log.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop/sse_broadcast.h"
#include "shared/sse_counters.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* How soon to try again: no thread could be made, or something is left. */
#define RETRY_MSEC 1000

#define CLAIMERS_MAX 4

/* Behind the name of an owner that is not in the counters. */
#define UNCOUNTED 'u'

typedef struct {
    sse_claim_fn *fn;   /* const */
    void *baton;        /* const */
    sse_workers_e kind; /* const */
    sse_job_t job;
    apr_uint32_t ended; /* atomic: broadcasts that no worker has seen yet */
    uv_timer_t retry;   /* loop */
    sse_task_t retry_task;
} claimer_t;

static struct {
    char owner[SSE_OWNER_SIZE];       /* const after child_init: all to fd */
    claimer_t claimers[CLAIMERS_MAX]; /* the first n */
    int n;
    server_rec *server;
    sse_loop_t *loop;
    int fd;
    sse_broadcast_t broadcast; /* loop */
} self;

/* -- Owners ---------------------------------------------------------------- */

const char *sse_ended_owner(void) { return self.owner; }

int sse_ended_is_alive(void *baton, const char *owner)
{
    char *end;
    apr_time_t born = (apr_time_t)strtoull(owner, &end, 16);
    pid_t pid;

    if (*end != '.') {
        return 1;
    }
    pid = (pid_t)strtoul(end + 1, &end, 16);
    if (*end == UNCOUNTED) {
        return pid > 0 && (!kill(pid, 0) || errno == EPERM);
    }
    return sse_counters_is_alive(pid, born);
}

/* -- Claiming -------------------------------------------------------------- */

/* @return whether something is left */
static int claim(const claimer_t *claimer)
{
    apr_pool_t *pool;
    apr_status_t rv;

    apr_pool_create(&pool, NULL);
    apr_pool_tag(pool, "sse_ended");
    rv = claimer->fn(claimer->baton, pool);
    apr_pool_destroy(pool);
    return rv != APR_SUCCESS;
}

/* One at a time; children that end meanwhile are looked for before it
 * returns. */
static void run(sse_job_t *job)
{
    claimer_t *claimer = sse_owner_of(job, claimer_t, job);
    apr_uint32_t ended;
    int is_left;

    do {
        ended = sse_atomic_load(&claimer->ended);
        is_left = claim(claimer);
    } while (!sse_atomic_cas(&claimer->ended, ended, 0));
    if (is_left) {
        sse_loop_post(self.loop, &claimer->retry_task);
    }
}

static void push(uv_timer_t *timer)
{
    claimer_t *claimer = sse_owner_of(timer, claimer_t, retry);

    if (sse_workers_try(claimer->kind, &claimer->job) != APR_SUCCESS) {
        uv_timer_start(timer, push, RETRY_MSEC, 0);
    }
}

static void look(claimer_t *claimer)
{
    if (sse_atomic_add(&claimer->ended, 1) == 1) {
        push(&claimer->retry);
    }
}

/* Called when this child begins as well, for those that ended before. */
static void on_ended(sse_broadcast_t *broadcast)
{
    int i;

    for (i = 0; i < self.n; ++i) {
        look(&self.claimers[i]);
    }
}

static void on_retry(uv_timer_t *timer)
{
    look(sse_owner_of(timer, claimer_t, retry));
}

static void on_left(sse_task_t *task)
{
    claimer_t *claimer = sse_owner_of(task, claimer_t, retry_task);

    if (!uv_is_active((uv_handle_t *)&claimer->retry)) {
        uv_timer_start(&claimer->retry, on_retry, RETRY_MSEC, 0);
    }
}

/* -- Making it ------------------------------------------------------------- */

void sse_ended_init(server_rec *s, sse_loop_t *loop, int fd, apr_time_t born,
                    int is_counted)
{
    apr_snprintf(self.owner, sizeof(self.owner),
                 "%" APR_UINT64_T_HEX_FMT ".%x%c", (apr_uint64_t)born,
                 (unsigned)getpid(), is_counted ? '\0' : UNCOUNTED);
    self.server = s;
    self.loop = loop;
    self.fd = fd;
}

/* A child that has nothing to claim is not woken. */
static void listen_once(void)
{
    apr_status_t rv =
        sse_broadcast_open(&self.broadcast, self.loop, self.fd, on_ended);

    if (rv == APR_SUCCESS) {
        rv = sse_broadcast_listen(&self.broadcast, 1);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, self.server,
                     "this child is not told when others end, and will not "
                     "tell of what they leave (stream_crashed, webhooks, "
                     "presence); see its limit on descriptors");
    }
}

void sse_ended_add(sse_workers_e kind, sse_claim_fn *fn, void *baton)
{
    claimer_t *claimer = &self.claimers[self.n];

    if (self.n == CLAIMERS_MAX) {
        abort();
    }
    claimer->fn = fn;
    claimer->baton = baton;
    claimer->kind = kind;
    claimer->job.run = run;
    claimer->retry_task.run = on_left;
    uv_timer_init(sse_loop_uv(self.loop), &claimer->retry);
    if (self.n++ == 0) {
        listen_once();
    }
}
