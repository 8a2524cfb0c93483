/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_presence.c
 * Scenario "presence": what it costs to know who is there, while a thousand
 * leave and as many come each second; what each follower of ?presence costs;
 * and what the list of 10,000 members does.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY   10000
#define FEW    200
#define RATE   1000 /* who leave, and who come, a second */
#define SLICE  (2 * SEC)
#define ROUNDS 5
#define SETTLE (300 * MSEC)
#define LISTS  20
/* Followers besides the first one. */
#define MORE 20

/* As often as two children that commit each 5 ms, as many events in each, and
 * of the same size. */
#define POSTS_EVERY (2500ull * 1000)
#define POST_EVENTS 5
#define EVENT       "data: %0126d\n\n"

/** What some slices have cost. */
typedef struct {
    uint64_t cpu;   /**< ns, of the server */
    uint64_t ns;    /**< of the clock */
    uint64_t pairs; /**< who left and came; or events */
    uint64_t reads; /**< of a follower or subscriber, that brought events */
} cost_t;

static struct {
    proc_children_t children;
    crowd_t off, count, few, many;
    watch_t few_watch, watch, more[MORE];
    samples_t few_joins, few_leaves, joins, leaves;
} self;

/* Of all ordinary subscribers. */
static uint64_t reads;

static void on_events(sub_t *sub, uint64_t more) { ++reads; }

static double us_each(const cost_t *cost)
{
    return (double)cost->cpu / 1000 / (double)cost->pairs;
}

/* -- Coming and going ------------------------------------------------------ */

/* As many as are due, that long after the beginning.
 * @param done how many have been
 * @return whether that is all of a slice */
static int change_due(crowd_t *crowd, uint64_t ns, uint64_t *done)
{
    uint64_t all = RATE * SLICE / SEC;

    while (*done < all && *done < ns * RATE / SEC) {
        crowd_change(crowd);
        ++*done;
    }
    return *done == all;
}

static void change_for(crowd_t *crowd, cost_t *cost)
{
    uint64_t begin = now_ns(), done = 0;

    while (!change_due(crowd, now_ns() - begin, &done)) {
        net_turn(1);
    }
    cost->ns += now_ns() - begin;
    cost->pairs += done;
}

/* @param watch a follower, or NULL
 * @param more others while it lasts, or NULL */
static void slice(crowd_t *crowd, watch_t *watch, watch_t *more, cost_t *cost)
{
    uint64_t cpu;
    int i;

    for (i = 0; more && i < MORE; ++i) {
        watch_open(&more[i], crowd);
    }
    net_wait(SETTLE);
    cpu = proc_cpu(&self.children);
    cost->reads -= watch ? watch->reads : 0;
    change_for(crowd, cost);
    if (watch) {
        watch_await(watch);
    }
    net_wait(SETTLE);
    cost->cpu += proc_cpu(&self.children) - cpu;
    if (watch) {
        cost->reads += watch->reads;
        watch_check(watch);
    }
    for (i = 0; more && i < MORE; ++i) {
        watch_await(&more[i]);
        watch_check(&more[i]);
        watch_close(&more[i]);
    }
}

/* -- Ordinary events ------------------------------------------------------- */

/* While as many come and go as elsewhere, where nobody is told of them: caches
 * are as cold. */
static void post_for(pub_t *pub, subs_t *subs, cost_t *cost)
{
    uint64_t begin, next, cpu, posts = SLICE / POSTS_EVERY, i = 0, done = 0;
    uint64_t all = subs->events + posts * POST_EVENTS * (uint64_t)subs->n;

    net_wait(SETTLE);
    cpu = proc_cpu(&self.children);
    cost->reads -= reads / (uint64_t)subs->n;
    begin = next = now_ns();
    while (!change_due(&self.off, now_ns() - begin, &done) || i < posts) {
        if (i < posts && !pub->busy && now_ns() >= next) {
            pub_post(pub);
            next += POSTS_EVERY;
            ++i;
        }
        net_turn(1);
    }
    if (!subs_await(subs, all, 10 * SEC)) {
        die("an ordinary event did not come");
    }
    cost->ns += now_ns() - begin;
    net_wait(SETTLE);
    cost->cpu += proc_cpu(&self.children) - cpu;
    cost->pairs += posts * POST_EVENTS;
    cost->reads += reads / (uint64_t)subs->n;
}

typedef struct {
    subs_t subs;
    pub_t pub;
} ordinary_t;

static void ordinary_open(ordinary_t *ordinary, const char *path, int n)
{
    char body[POST_EVENTS * 256];
    int i, len = 0;

    for (i = 0; i < POST_EVENTS; ++i) {
        len += snprintf(body + len, sizeof(body) - (size_t)len, EVENT, i);
    }
    memset(ordinary, 0, sizeof(*ordinary));
    ordinary->subs.on_events = on_events;
    subs_open(&ordinary->subs, n, path, "");
    pub_open(&ordinary->pub, path, "text/event-stream", body, (size_t)len);
}

static void ordinary_close(ordinary_t *ordinary)
{
    pub_close(&ordinary->pub);
    subs_close(&ordinary->subs);
}

/* -- Memory, and the list -------------------------------------------------- */

static long anonymous(void)
{
    long sum = 0;
    int i;

    for (i = 0; i < self.children.n; ++i) {
        sum += proc_value(self.children.pids[i], "status", "RssAnon");
    }
    return sum;
}

/* What each of 10,000 streams that nobody is told of takes, KB. */
static double memory_of_streams(void)
{
    crowd_t crowd = {0};
    long before = anonymous();
    double each;

    crowd_open(&crowd, "/present/off", MANY);
    net_wait(SEC);
    each = (double)(anonymous() - before) / MANY;
    crowd_close(&crowd);
    net_wait(5 * SEC); /* connections linger */
    return each;
}

/* The 10,000 come as fast as they can, and one follows. */
static void open_many(void)
{
    double streams = memory_of_streams();
    uint64_t begin = now_ns(), opened;
    crowd_t none = {.path = "/present/on/many"};
    long before;

    before = anonymous();
    self.many = none;
    watch_open(&self.watch, &self.many);
    crowd_open(&self.many, none.path, MANY);
    opened = now_ns();
    watch_await(&self.watch);
    figure("10,000 come at once, a second",
           MANY / ((double)(opened - begin) / SEC), "/s");
    figure("last one's head to the last event, at most",
           (double)(now_ns() - opened) / MSEC, "ms");
    net_wait(SEC);
    figure("memory per stream, SSEPresence Off", streams, "KB");
    figure("the same for a member, SSEPresence On",
           (double)(anonymous() - before) / MANY, "KB");
}

static void lists(void)
{
    uint64_t cpu = proc_cpu(&self.children);
    samples_t times = {0};
    watch_t watch;
    size_t bytes = 0;
    int i;

    for (i = 0; i < LISTS; ++i) {
        watch_open(&watch, &self.many);
        samples_add(&times, (double)(watch.listed - watch.begun) / MSEC);
        watch_check(&watch);
        bytes = watch.snapshot;
        watch_close(&watch);
        net_wait(50 * MSEC);
    }
    remark("the list of 10,000 members, 20 times:");
    figure("connect() to all of it, median", samples_at(&times, 0.5), "ms");
    figure("slowest", samples_at(&times, 1), "ms");
    figure("its size", (double)bytes / 1000, "kB");
    figure("server's CPU for each",
           (double)(proc_cpu(&self.children) - cpu) / MSEC / LISTS, "ms");
    samples_free(&times);
}

/* -- The figures ----------------------------------------------------------- */

static void tell_cost(const char *what, const cost_t *cost, const cost_t *off)
{
    char line[64];

    snprintf(line, sizeof(line), "%s, %.2f of that of Off", what,
             us_each(cost) / us_each(off));
    figure(line, us_each(cost), "us");
}

static void tell_delays(const char *who, samples_t *joins, samples_t *leaves)
{
    remark("to the follower, of %s members:", who);
    figure("connect() to join, median", samples_at(joins, 0.5), "ms");
    figure("connect() to join, p99", samples_at(joins, 0.99), "ms");
    figure("close() to leave, median", samples_at(leaves, 0.5), "ms");
    figure("close() to leave, p99", samples_at(leaves, 0.99), "ms");
}

/* us of the server for each event of one more follower or subscriber. */
static double each_more(const cost_t *one, const cost_t *more, int events)
{
    return (us_each(more) - us_each(one)) / MORE / events;
}

typedef struct {
    cost_t off, count, few, many, more; /* those who leave and come */
    cost_t one, ordinary;               /* ordinary events */
} costs_t;

static void tell(const costs_t *costs)
{
    double presence = each_more(&costs->many, &costs->more, 2);
    double ordinary = each_more(&costs->one, &costs->ordinary, 1);

    remark("server's CPU for one who leaves and one who comes:");
    figure("SSEPresence Off", us_each(&costs->off), "us");
    tell_cost("Count", &costs->count, &costs->off);
    tell_cost("On, 200 members", &costs->few, &costs->off);
    tell_cost("On, 10,000", &costs->many, &costs->off);
    tell_cost("On, 10,000, 21 followers", &costs->more, &costs->off);
    figure("came, and left, a second, 10,000 members",
           (double)costs->many.pairs * SEC / (double)costs->many.ns, "/s");
    tell_delays("200", &self.few_joins, &self.few_leaves);
    tell_delays("10,000", &self.joins, &self.leaves);
    remark("server's CPU for an event to one more follower (21 against 1):");
    figure("a join or a leave, 10,000 members", presence, "us");
    figure("an ordinary event as large, as often", ordinary, "us");
    figure("joins and leaves in one read",
           2 * (double)costs->more.pairs / (double)costs->more.reads, "");
    figure("ordinary events in one read",
           (double)costs->ordinary.pairs / (double)costs->ordinary.reads, "");
    figure_most("a join or a leave costs of that", presence / ordinary * 100,
                "%", 120);
    figure("told to followers, each once", (double)self.watch.told, "");
}

static void with_one(costs_t *costs)
{
    self.watch.joins = &self.joins;
    self.watch.leaves = &self.leaves;
    slice(&self.many, &self.watch, NULL, &costs->many);
    self.watch.joins = self.watch.leaves = NULL;
}

static void with_more(costs_t *costs)
{
    slice(&self.many, &self.watch, self.more, &costs->more);
}

/* In turns, so that others' load meets all. */
static void measure(costs_t *costs)
{
    ordinary_t one, more;
    int i;

    ordinary_open(&one, "/events/one", 1);
    ordinary_open(&more, "/events/more", 1 + MORE);
    for (i = 0; i < ROUNDS; ++i) {
        slice(&self.off, NULL, NULL, &costs->off);
        slice(&self.count, NULL, NULL, &costs->count);
        slice(&self.few, &self.few_watch, NULL, &costs->few);
        (i % 2 ? with_more : with_one)(costs);
        (i % 2 ? with_one : with_more)(costs);
        post_for(&one.pub, &one.subs, &costs->one);
        post_for(&more.pub, &more.subs, &costs->ordinary);
    }
    ordinary_close(&one);
    ordinary_close(&more);
}

void scenario_presence(const target_t *target)
{
    costs_t costs = {0};

    figures_of("presence", "10,000 members, 1,000 leave and 1,000 come each "
                           "second; two children");
    srand48(1);
    proc_children(target->parent, &self.children);
    open_many();
    lists();
    crowd_open(&self.off, "/present/off", FEW);
    crowd_open(&self.count, "/present/count", FEW);
    self.few.path = "/present/on/few";
    watch_open(&self.few_watch, &self.few);
    crowd_open(&self.few, self.few.path, FEW);
    watch_await(&self.few_watch);
    self.few_watch.joins = &self.few_joins;
    self.few_watch.leaves = &self.few_leaves;
    measure(&costs);
    tell(&costs);
}
