/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Presence: what the loop queues, what the worker commits, who leaves without
 * his child; over a real store that can be made to fail. */

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <time.h>
#include <uv.h>

#include "config/sse_config.h"
#include "hub/sse_hub_private.h"
#include "hub/sse_presence_private.h"
#include "loop/sse_workers.h"
#include "notify/sse_ended.h"
#include "notify/sse_listeners.h"
#include "notify/sse_notes.h"
#include "presence.h"
#include "process/sse_leave.h"
#include "store/sse_store_provider.h"

module sse_module;

static apr_pool_t *pool;
static sse_store_t *store;
static sse_hub_t hub;

/* -- What presence stands on ----------------------------------------------- */

static sse_job_t *posted;   /* a job for the worker */
static sse_task_t *task;    /* for the loop */
static uv_timer_cb on_time; /* the timer's; NULL: it is not set */
static uv_timer_t *timer;
static sse_claim_fn *claimer;
static const char *dead = ""; /* the child that has died */
static char logged[512];

sse_hub_t *sse_hub(void) { return &hub; }

apr_status_t sse_workers_try(sse_workers_e kind, sse_job_t *job)
{
    posted = job;
    return APR_SUCCESS;
}

int sse_loop_post(sse_loop_t *loop, sse_task_t *t)
{
    task = t;
    return 1;
}

uv_loop_t *sse_loop_uv(sse_loop_t *loop) { return NULL; }

int uv_timer_init(uv_loop_t *loop, uv_timer_t *t) { return 0; }

int uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t timeout,
                   uint64_t repeat)
{
    on_time = cb;
    timer = t;
    return 0;
}

sse_leave_e sse_leave_how(void) { return SSE_STAY; }

const char *sse_close_name(sse_close_reason_e reason)
{
    return reason == SSE_CLOSE_CRASH      ? "crash"
           : reason == SSE_CLOSE_SHUTDOWN ? "shutdown"
           : reason == SSE_CLOSE_SERVER   ? "server"
                                          : "client";
}

const char *sse_ended_owner(void) { return "me"; }

int sse_ended_is_alive(void *baton, const char *owner)
{
    return strcmp(owner, dead) != 0;
}

void sse_ended_add(sse_workers_e kind, sse_claim_fn *claim, void *baton)
{
    claimer = claim;
}

static apr_interval_time_t ahead; /* of the machine's clock */

apr_time_t apr_time_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000 + ahead;
}

int(ap_get_server_module_loglevel)(const server_rec *s, int index)
{
    return APLOG_NOTICE;
}

void ap_log_error_(const char *file, int line, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
    apr_size_t len = strlen(logged);

    apr_snprintf(logged + len, sizeof(logged) - len, "%.30s|", fmt);
}

void ap_log_rerror_(const char *file, int line, int index, int level,
                    apr_status_t status, const request_rec *r, const char *fmt,
                    ...)
{
}

/* Of a request, which there is none of here. */
#define NOTHING(type, name)                                                    \
    type sse_conf_##name(const request_rec *r) { return 0; }
NOTHING(int, presence)
NOTHING(apr_interval_time_t, presence_grace)
NOTHING(int, presence_grace_all)
NOTHING(apr_interval_time_t, poll_wait)
NOTHING(apr_interval_time_t, retry)
NOTHING(const sse_history_t *, history)

/* -- A store that fails when it is told to, and says how often it is asked - */

static const sse_store_provider_t *real;
static apr_status_t failure; /* of each change */
static int no_room;          /* for those who join */
static int little_room;      /* 0, or for fewer of them in one call */
static int calls, most;      /* changes in one call */
static void (*meanwhile)(void);

static apr_status_t guarded_change(sse_store_t *s, sse_presence_t *changes,
                                   int n)
{
    apr_status_t rv = failure;
    int i, joining = 0;

    ++calls;
    most = n > most ? n : most;
    for (i = 0; i < n; ++i) {
        joining += changes[i].what == SSE_PRESENCE_JOIN;
    }
    if ((no_room && joining) || (little_room && joining >= little_room)) {
        rv = SSE_STORE_ESIZE;
    }
    if (meanwhile) {
        meanwhile();
    }
    return rv ? rv : real->change(s, changes, n);
}

static void guard(sse_store_t *s)
{
    static sse_store_provider_t guarded;

    real = s->provider;
    guarded = *real;
    guarded.change = guarded_change;
    s->provider = &guarded;
}

/* -- Listeners ------------------------------------------------------------- */

static char ends[256]; /* what they were told */

static void add_end(const char *what, const sse_subscriber_t *subscriber)
{
    apr_size_t len = strlen(ends);

    apr_snprintf(ends + len, sizeof(ends) - len, "%s=%.*s(%.*s) ", what,
                 (int)subscriber->channel.len, subscriber->channel.ptr,
                 (int)subscriber->route.len, subscriber->route.ptr);
}

static void on_first(const sse_subscriber_t *subscriber)
{
    add_end("first", subscriber);
}

static void on_last(const sse_subscriber_t *subscriber)
{
    add_end("last", subscriber);
}

static const sse_listener_t listener = {
    .mask = SSE_TELL_FIRST | SSE_TELL_LAST, .first = on_first, .last = on_last};

/* -- The tests' words ------------------------------------------------------ */

static void run_worker(void)
{
    sse_job_t *job;

    while ((job = posted) != NULL) {
        posted = NULL;
        job->run(job);
    }
    if (task) {
        task->run(task);
        task = NULL;
    }
}

static void run_timer(void)
{
    uv_timer_cb cb = on_time;

    on_time = NULL;
    if (cb) {
        cb(timer);
    }
    run_worker();
}

static sse_presence_who_t *person(const char *name, apr_interval_time_t grace)
{
    sse_presence_who_t *made = calloc(1, sizeof(*made));
    sse_presence_settings_t settings = {.mode = SSE_PRESENCE_ON,
                                        .grace = grace,
                                        .history = {100, 0, 0},
                                        .route = sse_slice("way")};

    made->refs = 1;
    made->person = made->user = sse_slice(name);
    made->text = sse_presence_write(&settings, pool);
    sse_presence_read(made->text, &made->settings);
    return made;
}

static sse_presence_entry_t *come(const char *name, const char *stream,
                                  apr_interval_time_t grace)
{
    sse_presence_who_t *made = person(name, grace);
    sse_presence_entry_t *entry =
        sse_presence_join(made, stream, sse_slice("c"));

    sse_presence_release(made);
    return entry;
}

static const char *there(void) { return who(store, "c"); }

static void begin(const char *name)
{
    pool = test_pool();
    store = test_store(name, "16m", pool);
    guard(store);
    hub.store = store;
    *logged = *ends = '\0';
    sse_presence_init(store, NULL, NULL);
    posted = NULL;
    claimer(NULL, pool); /* as when a child begins */
    run_worker();
}

static void test_queue(void)
{
    sse_presence_entry_t *ann, *bob;

    ann = come("ann", "s1", 0);
    is_str(there(), "", "the loop does not wait for the store");
    ok(sse_presence_is_busy(), "a change waits");
    run_worker();
    is_str(there(), "s1/s1=ann ", "the worker commits it");
    ok(!sse_presence_is_busy(), "none waits");
    bob = come("bob", "s2", 0);
    sse_presence_leave(ann, SSE_CLOSE_CLIENT);
    calls = 0;
    run_worker();
    is_str(there(), "s2/s2=bob ", "in one go");
    is_num(calls, 1, "and one transaction");
    is_str(ends, "first=c(way) ", "the first is told, with its route");
    sse_presence_leave(bob, SSE_CLOSE_CLIENT);
    run_worker();
    is_str(there(), "", "nobody is left");
    is_str(ends, "first=c(way) last=c(way) ", "which is told as well");
}

static sse_presence_entry_t *leaver;

static void leave_meanwhile(void)
{
    meanwhile = NULL;
    sse_presence_leave(leaver, SSE_CLOSE_CLIENT);
}

static void test_race(void)
{
    leaver = come("ann", "r1", 0);
    meanwhile = leave_meanwhile;
    calls = 0;
    run_worker();
    is_str(there(), "", "who leaves while he is being entered is gone");
    is_num(calls, 2, "after he was there");
    leaver = come("ann", "r2", 0);
    sse_presence_leave(leaver, SSE_CLOSE_CLIENT);
    *ends = '\0';
    run_worker();
    is_str(ends, "first=c(way) last=c(way) ", "a short visit is one, too");
    ok(!sse_presence_is_busy(), "nothing waits");
}

static void test_many(void)
{
    static sse_presence_entry_t *all[600];
    char stream[16];
    int i;

    for (i = 0; i < 600; ++i) {
        apr_snprintf(stream, sizeof(stream), "m%d", i);
        all[i] = come("ann", stream, 0);
    }
    calls = most = 0;
    run_worker();
    is_num(calls, 3, "many are entered by a few transactions");
    is_num(most, SSE_PRESENCE_BATCH, "which are bounded");
    for (i = 0; i < 600; ++i) {
        sse_presence_leave(all[i], SSE_CLOSE_CLIENT);
    }
    run_worker();
    is_str(there(), "", "and all leave");
}

static void test_failing(void)
{
    sse_presence_entry_t *ann = come("ann", "f1", 0), *bob, *eve;

    run_worker();
    *logged = '\0';
    failure = APR_ENOSPC;
    bob = come("bob", "f2", 0);
    run_worker();
    is_str(logged, "the event store does not take |", "it is logged");
    ok(on_time != NULL, "and tried again");
    eve = come("eve", "f3", 0);
    ok(!posted, "not with each change");
    sse_presence_leave(eve, SSE_CLOSE_CLIENT);
    sse_presence_leave(ann, SSE_CLOSE_CLIENT);
    *logged = '\0';
    run_timer();
    is_str(logged, "", "once a minute");
    is_str(there(), "f1/f1=ann ", "nothing has changed");
    failure = APR_SUCCESS;
    run_timer();
    is_str(there(), "f2/f2=bob ", "then all that is still so");
    is_str(logged, "the event store takes who is o|", "which is logged");
    ok(!sse_presence_is_busy(), "nothing waits");
    sse_presence_leave(bob, SSE_CLOSE_CLIENT);
    run_worker();
}

static void test_no_room(void)
{
    sse_presence_entry_t *ann = come("ann", "n1", 0), *bob;

    run_worker();
    ahead += apr_time_from_sec(61); /* what was logged may be again */
    *logged = '\0';
    no_room = 1;
    bob = come("bob", "n2", 0);
    sse_presence_leave(ann, SSE_CLOSE_CLIENT);
    run_worker();
    is_str(there(), "", "without room for more, some leave");
    run_timer();
    is_str(logged, "the event store does not take |", "who waits is logged");
    no_room = 0;
    run_timer();
    is_str(there(), "n2/n2=bob ", "and then others have it");
    is_str(logged,
           "the event store does not take |the event store takes who is o|",
           "which is logged when it is so, and not before");
    sse_presence_leave(bob, SSE_CLOSE_CLIENT);
    run_worker();
    is_str(there(), "", "and go");
}

static void test_little_room(void)
{
    static sse_presence_entry_t *all[50];
    char stream[16];
    int i;

    little_room = 4;
    for (i = 0; i < 50; ++i) {
        apr_snprintf(stream, sizeof(stream), "l%d", i);
        all[i] = come("ann", stream, 0);
    }
    *logged = '\0';
    run_worker();
    ok(!sse_presence_is_busy(), "those who do not fit together fit in turn");
    is_str(logged, "", "which is no failure");
    little_room = 0;
    for (i = 0; i < 50; ++i) {
        sse_presence_leave(all[i], SSE_CLOSE_CLIENT);
    }
    run_worker();
    is_str(there(), "", "all leave");
}

static void test_grace(void)
{
    sse_presence_entry_t *ann = come("ann", "g1", GRACE);

    run_worker();
    *ends = '\0';
    sse_presence_leave(ann, SSE_CLOSE_SHUTDOWN);
    run_worker();
    is_str(there(), "g1/g1=ann? ", "who may come back stays");
    ann = come("ann", "g2", GRACE);
    run_worker();
    is_str(there(), "g1/g2=ann ", "and has his place again");
    is_str(ends, "", "of which nobody is told");
    sse_presence_leave(ann, SSE_CLOSE_CLIENT);
    run_worker();
    is_str(there(), "", "by himself he leaves at once");
    ann = come("ann", "g3", 1);
    run_worker();
    sse_presence_leave(ann, SSE_CLOSE_SHUTDOWN);
    run_worker();
    ok(on_time != NULL, "his time runs");
    apr_sleep(1000);
    run_timer();
    is_str(there(), "", "and he leaves when it is over");
    is_str(ends, "last=c(way) first=c(way) last=c(way) ", "as the last one");
}

/* A member of another child. */
static void other(const char *stream, const char *owner, const char *name)
{
    sse_presence_who_t *made = person(name, 0);
    sse_presence_t c = {.what = SSE_PRESENCE_JOIN,
                        .channel = sse_slice("c"),
                        .stream = sse_slice(stream),
                        .owner = sse_slice(owner),
                        .text = made->text};

    c.person = c.user = made->user;
    real->change(store, &c, 1);
    sse_presence_release(made);
}

static void test_dead(void)
{
    sse_presence_entry_t *ann;

    other("d1", "other", "eve");
    other("d2", "another", "joe");
    *ends = '\0';
    ann = come("ann", "d3", 0);
    run_worker();
    is_str(ends, "", "not the first, as another child has one");
    is_str(there(), "d1/d1=eve d2/d2=joe d3/d3=ann ", "three children's");
    dead = "other";
    claimer(NULL, pool);
    run_worker();
    is_str(there(), "d2/d2=joe d3/d3=ann ", "one dies, and its member leaves");
    sse_presence_leave(ann, SSE_CLOSE_CLIENT);
    run_worker();
    dead = "another";
    failure = APR_ENOSPC;
    claimer(NULL, pool);
    run_worker();
    is_str(there(), "d2/d2=joe ", "a store that fails");
    failure = APR_SUCCESS;
    run_timer();
    is_str(there(), "", "is asked again");
    is_str(ends, "last=c(way) ", "the last one's child told nobody: this does");
}

int main(void)
{
    test_begin();
    sse_listeners_add(&listener);
    begin("presence");
    test_queue();
    test_race();
    test_many();
    test_failing();
    test_no_room();
    test_little_room();
    test_grace();
    test_dead();
    return test_end();
}
