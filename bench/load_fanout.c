/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_fanout.c
 * Scenario "fanout": one channel, many subscribers, at full speed.
 *
 * A publisher that posts as fast as it is answered is far faster than thousands
 * of deliveries per event, and the subscribers would fall ever further behind.
 * So it waits while they are AHEAD_MAX events behind: the rate that is measured
 * could go on for ever.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>

#define WINDOW    (5 * SEC)
#define AHEAD_MAX 1000
/* A busy machine may need it for what is on its way. */
#define DRAIN (20 * SEC)

static const char path[] = "/events/fanout";

static void publish_on(pub_t *pub, const subs_t *subs, int batch)
{
    uint64_t published = pub->answers * (uint64_t)batch;
    uint64_t delivered = subs->events / (uint64_t)subs->n;

    if (!pub->busy && published + (uint64_t)batch <= delivered + AHEAD_MAX) {
        pub_post(pub);
    }
}

static void tell(const subs_t *subs, uint64_t deliveries, uint64_t posts,
                 int batch, double seconds, double cpu)
{
    remark("%d subscribers, POSTs of %d:", subs->n, batch);
    figure("deliveries", (double)deliveries / seconds, "/s");
    figure("events published", (double)posts * batch / seconds, "/s");
    figure("the server's CPU per delivery", cpu / (double)deliveries / 1000,
           "us");
    figure("the server's CPU", 100 * cpu / (seconds * (double)SEC), "%");
}

static void run(const proc_children_t *children, int n, int batch)
{
    subs_t subs = {0};
    uint64_t begin, deliveries, posts, cpu, end;
    size_t len;
    char *body = pub_batch(batch, &len);
    pub_t pub;

    subs_open(&subs, n, path, "");
    pub_open(&pub, path, "text/event-stream", body, len);
    cpu = proc_cpu(children);
    begin = now_ns();
    while (now_ns() < begin + WINDOW) {
        publish_on(&pub, &subs, batch);
        net_turn(100);
    }
    end = now_ns();
    deliveries = subs.events;
    posts = pub.answers;
    cpu = proc_cpu(children) - cpu;
    tell(&subs, deliveries, posts, batch, (double)(end - begin) / SEC,
         (double)cpu);

    while (pub.busy) {
        net_turn(100);
    }
    posts = pub.answers;
    subs_await(&subs, posts * (uint64_t)(batch * n), DRAIN);
    figure_most("events missing",
                (double)(posts * (uint64_t)(batch * n)) - (double)subs.events,
                "", 0);
    figure_most("gaps told, streams closed", (double)subs.gaps + subs.gone, "",
                0);
    pub_close(&pub);
    subs_close(&subs);
    free(body);
    net_wait(500 * MSEC);
}

void scenario_fanout(const target_t *target)
{
    static const int sizes[] = {1000, 5000}, batches[] = {1, 100};
    proc_children_t children;
    int i, j;

    figures_of("fanout", "one channel, two children, 5 s each");
    proc_children(target->parent, &children);
    for (i = 0; i < 2; ++i) {
        for (j = 0; j < 2; ++j) {
            run(&children, sizes[i], batches[j]);
        }
    }
}
