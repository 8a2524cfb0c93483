/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_burst.c
 * Scenario "burst": one POST of 10 MB in 200 events to many subscribers, which
 * read as fast as they can, one child.
 *
 * Each of them gets all of it, or is ended, or is told of a gap.  Measured once
 * with loopback's default socket buffers, which take most of a burst at once,
 * and once with small ones of 64 KB, as for clients far away.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS      200
#define EVENT_BYTES 50000
#define SMALL       (32 * 1024) /* which the kernel doubles */
#define DRAIN       (90 * SEC)

static const char path[] = "/events/burst";

typedef struct {
    subs_t subs;
    pub_t pub, live;
    subs_t other; /* one of another channel */
    proc_children_t children;
    long most;          /* RssAnon of the child, KB */
    uint64_t slowest;   /* from a small event's POST to the other one, ns */
    uint64_t posted_at; /* 0: none is on its way */
    uint64_t looked;
} run_t;

static char *make_body(size_t *len)
{
    size_t size = EVENT_BYTES + 8;
    char *body = malloc(size * EVENTS + 1), *p = body;
    int i;

    if (!body) {
        die("out of memory");
    }
    for (i = 0; i < EVENTS; ++i, p += size) {
        memcpy(p, "data: ", 6);
        memset(p + 6, 'x', EVENT_BYTES);
        memcpy(p + 6 + EVENT_BYTES, "\n\n", 2);
    }
    *len = size * EVENTS;
    return body;
}

/* How long others' events wait meanwhile. */
static void look_at_other(run_t *run)
{
    uint64_t now = now_ns();

    if (run->posted_at && run->other.events > run->looked) {
        if (now - run->posted_at > run->slowest) {
            run->slowest = now - run->posted_at;
        }
        run->posted_at = 0;
    }
    if (!run->posted_at && !run->live.busy) {
        run->looked = run->other.events;
        run->posted_at = now;
        pub_post(&run->live);
    }
}

static int is_over(const run_t *run)
{
    uint64_t all = 0;
    int i;

    if (run->pub.busy) {
        return 0;
    }
    for (i = 0; i < run->subs.n; ++i) {
        const sub_t *sub = &run->subs.subs[i];

        all += sub->conn.fd < 0 ? EVENTS : sub->events;
    }
    return all >= (uint64_t)run->subs.n * EVENTS;
}

static void burst(run_t *run)
{
    uint64_t end = now_ns() + DRAIN, memory_at = 0;
    long memory;

    pub_post(&run->pub);
    while (!is_over(run) && now_ns() < end) {
        look_at_other(run);
        net_turn(100);
        if (now_ns() > memory_at) {
            memory = proc_value(run->children.pids[0], "status", "RssAnon");
            run->most = memory > run->most ? memory : run->most;
            memory_at = now_ns() + 10 * MSEC;
        }
    }
}

static int count_whole(const subs_t *subs)
{
    int i, n = 0;

    for (i = 0; i < subs->n; ++i) {
        n += subs->subs[i].events >= EVENTS;
    }
    return n;
}

static void measure(const target_t *target, int n, int receive)
{
    run_t run = {0};
    uint64_t began, cpu;
    long memory;
    size_t len;
    char *body = make_body(&len);
    double seconds;

    proc_children(target->parent, &run.children);
    net_receive(receive);
    subs_open(&run.subs, n, path, "");
    net_receive(0);
    subs_open(&run.other, 1, "/events/other", "");
    pub_open(&run.pub, path, "text/event-stream", body, len);
    pub_open(&run.live, "/events/other", NULL, "x", 1);
    net_wait(200 * MSEC);
    memory = proc_value(run.children.pids[0], "status", "RssAnon");
    cpu = proc_cpu(&run.children);
    began = now_ns();
    burst(&run);
    seconds = (double)(now_ns() - began) / SEC;

    remark("%d subscribers%s:", n, receive ? ", whose sockets take 64 KB" : "");
    figure("until all are through", seconds, "s");
    figure("bytes delivered",
           (double)run.subs.events * EVENT_BYTES / 1e6 / seconds, "MB/s");
    figure_least("have all", (double)count_whole(&run.subs), "", n);
    figure_most("gaps told, streams ended",
                (double)run.subs.gaps + run.subs.gone, "", 0);
    figure("the server's CPU", (double)(proc_cpu(&run.children) - cpu) / SEC,
           "s");
    figure("its memory on top, at most", (double)(run.most - memory) / 1024,
           "MB");
    figure("another channel's event, slowest", (double)run.slowest / MSEC,
           "ms");
    while (run.live.busy) {
        net_turn(100);
    }
    pub_close(&run.pub);
    pub_close(&run.live);
    subs_close(&run.subs);
    subs_close(&run.other);
    free(body);
    net_wait(SEC);
}

void scenario_burst(const target_t *target)
{
    static const int sizes[] = {500, 1000};
    int i;

    figures_of("burst", "one POST of 10 MB in 200 events, one child");
    for (i = 0; i < 2; ++i) {
        measure(target, sizes[i], 0);
        measure(target, sizes[i], SMALL);
    }
}
