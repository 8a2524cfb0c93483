/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The table of shared programs, and how requests and workers join them. */

#include "exec/sse_exec_shared.h"

#include <apr_strings.h>
#include <http_log.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "exec/sse_exec_shared_private.h"
#include "loop/sse_log.h"
#include "process/sse_leave.h"
#include "process/sse_signals.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

static struct {
    sse_loop_t *loop; /* const after child_init */
    /* Over it only the lock of the loop's queue is taken.  Taken with all
     * signals blocked: a prefork child's end destroys requests' pools. */
    pthread_mutex_t lock;
    pthread_cond_t joined;                 /* a state is JOINING no more */
    LIST_HEAD(, sse_exec_shared_t) shared; /* lock */
    int owned;                             /* atomic */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .joined = PTHREAD_COND_INITIALIZER};

sse_loop_t *sse_exec_shared_loop(void) { return all.loop; }

void sse_exec_shared_count_owned(int by) { sse_atomic_add(&all.owned, by); }

int sse_exec_shared_is_busy(void) { return sse_atomic_load(&all.owned) > 0; }

static void lock(sigset_t *before)
{
    sigset_t every;

    sigfillset(&every);
    pthread_sigmask(SIG_BLOCK, &every, before);
    pthread_mutex_lock(&all.lock);
}

static void unlock(const sigset_t *before)
{
    pthread_mutex_unlock(&all.lock);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* -- What is kept of a plan ------------------------------------------------ */

static const char *const *copy_strings(apr_pool_t *pool,
                                       const char *const *strings)
{
    apr_array_header_t *copy = apr_array_make(pool, 32, sizeof(char *));

    for (; *strings; ++strings) {
        APR_ARRAY_PUSH(copy, const char *) = apr_pstrdup(pool, *strings);
    }
    APR_ARRAY_PUSH(copy, const char *) = NULL;
    return (const char *const *)(void *)copy->elts;
}

static void copy_plan(sse_exec_shared_t *shared,
                      const sse_exec_shared_plan_t *plan)
{
    apr_pool_t *pool = shared->pool;
    sse_exec_order_t *order =
        apr_pmemdup(pool, plan->order, sizeof(*plan->order));

    order->key = apr_pstrmemdup(pool, plan->order->key, plan->order->key_len);
    order->argv = copy_strings(pool, plan->order->argv);
    order->env = copy_strings(pool, plan->order->env);
    order->dir = apr_pstrdup(pool, plan->order->dir);
    order->limit_name = apr_pstrdup(pool, plan->order->limit_name);
    shared->plan = *plan;
    shared->plan.order = order;
    shared->plan.name = apr_pstrdup(pool, plan->name);

    shared->intake_conf.server = shared->server;
    shared->intake_conf.program = order->argv[0];
    shared->intake_conf.channel.ptr = order->key;
    shared->intake_conf.channel.len = order->key_len;
    shared->intake_conf.history = plan->history;
    shared->intake_conf.format = plan->format;
    shared->intake_conf.max_event = plan->max_event;
}

/* @param answer of the supervisor, who knows what other children have asked
 *        for */
static void complain_other(sse_exec_shared_t *shared,
                           const sse_exec_shared_plan_t *plan,
                           const sse_exec_message_t *answer, request_rec *r)
{
    int is_other = answer->type == SSE_EXEC_JOINED && answer->value;

    if ((is_other ||
         !sse_exec_order_is_same_command(shared->plan.order, plan->order)) &&
        sse_complain_is_due(&shared->complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "the channel %s has a shared program already, with "
                      "another name or other arguments than SSECommand gives "
                      "for this request: all subscribers get what that one "
                      "writes.  Let SSEChannel differ where arguments do.  Not "
                      "logged again for a minute",
                      plan->name);
    }
}

/* -- The table ------------------------------------------------------------- */

static void on_task(sse_task_t *task)
{
    sse_exec_shared_go_on(sse_owner_of(task, sse_exec_shared_t, task));
}

/* Under the lock. */
static sse_exec_shared_t *find(const sse_exec_order_t *order)
{
    sse_exec_shared_t *shared;

    LIST_FOREACH(shared, &all.shared, link)
    {
        if (shared->plan.order->key_len == order->key_len &&
            !memcmp(shared->plan.order->key, order->key, order->key_len)) {
            break;
        }
    }
    return shared;
}

static void unlist(sse_exec_shared_t *shared)
{
    if (shared->is_listed) {
        LIST_REMOVE(shared, link);
        shared->is_listed = 0;
    }
}

static void rejoin(sse_job_t *job);

static sse_exec_shared_t *create(request_rec *r,
                                 const sse_exec_shared_plan_t *plan)
{
    sse_exec_shared_t *shared = calloc(1, sizeof(*shared));

    if (!shared) {
        abort();
    }
    apr_pool_create(&shared->pool, NULL);
    apr_pool_tag(shared->pool, "sse_exec_shared");
    shared->program.events = &sse_exec_shared_events;
    shared->server = r->server;
    shared->state = SSE_EXEC_IS_JOINING;
    shared->task.run = on_task;
    shared->rejoin_job.run = rejoin;
    STAILQ_INIT(&shared->next);
    copy_plan(shared, plan);
    LIST_INSERT_HEAD(&all.shared, shared, link);
    shared->is_listed = 1;
    return shared;
}

int sse_exec_shared_remove(sse_exec_shared_t *shared)
{
    sigset_t before;
    int is_free;

    lock(&before);
    is_free = !shared->requests && shared->state != SSE_EXEC_IS_REJOINING;
    if (is_free) {
        unlist(shared);
    }
    unlock(&before);
    return is_free;
}

sse_exec_shared_state_e sse_exec_shared_state(sse_exec_shared_t *shared)
{
    sse_exec_shared_state_e state;
    sigset_t before;

    lock(&before);
    state = shared->state;
    unlock(&before);
    return state;
}

/* -- Joining --------------------------------------------------------------- */

static apr_status_t ask(sse_exec_shared_t *shared, sse_exec_message_t *answer)
{
    int fds[2] = {-1, -1};
    apr_status_t rv;

    memset(answer, 0, sizeof(*answer));
    rv = sse_exec_client_start(&shared->program, shared->plan.order, 1, fds,
                               answer);
    if (rv == APR_SUCCESS && answer->type == SSE_EXEC_FAILED) {
        rv = answer->error ? answer->error : APR_EGENERAL;
    }
    return rv;
}

/* Under the lock.  Whoever is told of a change by the loop is told under it, as
 * nobody may know the program after its removal. */
static void set_state(sse_exec_shared_t *shared, sse_exec_shared_state_e state)
{
    if (state == SSE_EXEC_IS_JOINED && shared->was_lost) {
        state = SSE_EXEC_IS_LOST;
    }
    shared->was_lost = 0;
    shared->state = state;
    sse_loop_post(all.loop, &shared->task);
}

/* Under the lock, which is released meanwhile. */
static void join_first(sse_exec_shared_t *shared, sigset_t *before)
{
    sse_exec_message_t answer;
    apr_status_t rv;

    unlock(before);
    rv = ask(shared, &answer);
    lock(before);
    shared->status = rv;
    shared->answer = answer;
    if (rv != APR_SUCCESS) {
        unlist(shared);
    }
    set_state(shared,
              rv == APR_SUCCESS ? SSE_EXEC_IS_JOINED : SSE_EXEC_IS_FAILED);
    pthread_cond_broadcast(&all.joined);
}

/* Under the lock. */
static void let_go(sse_exec_shared_t *shared)
{
    if (!--shared->requests) {
        sse_loop_post(all.loop, &shared->task);
    }
}

static apr_status_t on_request_gone(void *baton)
{
    sigset_t before;

    lock(&before);
    let_go(baton);
    unlock(&before);
    return APR_SUCCESS;
}

/* @return NULL: it could not be joined */
static sse_exec_shared_t *join(request_rec *r,
                               const sse_exec_shared_plan_t *plan,
                               sse_exec_message_t *answer, apr_status_t *rv)
{
    sse_exec_shared_t *shared;
    sigset_t before;

    lock(&before);
    shared = find(plan->order);
    if (shared) {
        ++shared->requests;
        while (shared->state == SSE_EXEC_IS_JOINING) {
            pthread_cond_wait(&all.joined, &all.lock);
        }
    }
    else {
        shared = create(r, plan);
        ++shared->requests;
        join_first(shared, &before);
    }
    if (shared->state == SSE_EXEC_IS_FAILED) {
        *rv = shared->status;
        *answer = shared->answer;
        let_go(shared);
        shared = NULL;
    }
    unlock(&before);
    return shared;
}

static apr_status_t reserve(void)
{
    apr_status_t rv = sse_workers_reserve(SSE_WORKERS_PROGRAMS);

    return rv == APR_SUCCESS ? sse_workers_reserve(SSE_WORKERS_REJOIN) : rv;
}

apr_status_t sse_exec_shared_join(request_rec *r,
                                  const sse_exec_shared_plan_t *plan,
                                  sse_exec_message_t *answer)
{
    sse_exec_shared_t *shared;
    apr_status_t rv = reserve();

    memset(answer, 0, sizeof(*answer));
    if (rv != APR_SUCCESS) {
        return rv;
    }
    sse_signals_hold();
    shared = join(r, plan, answer, &rv);
    if (shared) {
        apr_pool_cleanup_register(r->pool, shared, on_request_gone,
                                  apr_pool_cleanup_null);
        complain_other(shared, plan, &shared->answer, r);
    }
    sse_signals_let_go();
    return rv;
}

/* -- A supervisor that has died -------------------------------------------- */

void sse_exec_shared_lose(sse_exec_shared_t *shared)
{
    sigset_t before;

    lock(&before);
    if (shared->state == SSE_EXEC_IS_JOINED) {
        shared->state = SSE_EXEC_IS_LOST;
    }
    else {
        shared->was_lost = 1;
    }
    unlock(&before);
}

static void complain_rejoin(sse_exec_shared_t *shared, apr_status_t rv,
                            const sse_exec_message_t *answer)
{
    static sse_complaint_t complaint;

    if (rv != APR_SUCCESS && sse_complain_is_due(&complaint)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, shared->server,
                     "the program %s of the channel %s, which was lost, cannot "
                     "be had again%s; it is tried again.  Not logged again for "
                     "a minute",
                     shared->plan.order->argv[0], shared->plan.name,
                     answer->why == SSE_EXEC_WHY_LIMIT
                         ? ": SSECommandMax is reached"
                         : "");
    }
    if (rv == APR_SUCCESS && sse_complain_is_over(&complaint)) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, shared->server,
                     "programs can be had again");
    }
}

/* Worker. */
static void rejoin(sse_job_t *job)
{
    sse_exec_shared_t *shared =
        sse_owner_of(job, sse_exec_shared_t, rejoin_job);
    sse_exec_message_t answer;
    apr_status_t rv = ask(shared, &answer);
    sigset_t before;

    complain_rejoin(shared, rv, &answer);
    lock(&before);
    set_state(shared,
              rv == APR_SUCCESS ? SSE_EXEC_IS_JOINED : SSE_EXEC_IS_LOST);
    unlock(&before);
}

void sse_exec_shared_rejoin(sse_exec_shared_t *shared)
{
    sigset_t before;
    int is_lost;

    lock(&before);
    is_lost = shared->state == SSE_EXEC_IS_LOST && shared->requests;
    if (is_lost) {
        shared->state = SSE_EXEC_IS_REJOINING;
    }
    unlock(&before);
    if (is_lost) {
        sse_workers_do(SSE_WORKERS_REJOIN, &shared->rejoin_job);
    }
}

/* -- The child leaves ------------------------------------------------------ */

static void on_leave(sse_leave_e how)
{
    sse_exec_shared_t *shared;
    sigset_t before;

    lock(&before);
    LIST_FOREACH(shared, &all.shared, link)
    {
        sse_loop_post(all.loop, &shared->task);
    }
    unlock(&before);
}

void sse_exec_shared_init(sse_loop_t *loop)
{
    all.loop = loop;
    LIST_INIT(&all.shared);
    sse_leave_add(on_leave);
}
