/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_h2_cpu.c
 * Scenario "h2_cpu": what a delivery costs over HTTP/2 against HTTP/1.1, both
 * over TLS, in one run: 1,000 streams of one channel each way.
 *
 * The next POST goes out when all have the events of the one before.  At full
 * speed the events of several POSTs would be one write, more or fewer of them
 * as the machine likes.
 */

#include "load_h2.h"

#include <stdlib.h>

#define STREAMS 1000
#define ROUNDS  3
#define SLICE   (1500 * MSEC)
#define TIMEOUT (20 * SEC)

/** One kind of stream, with a channel of its own. */
typedef struct {
    const char *name, *path;
    int per; /* streams on a connection; 0: HTTP/1.1 */
    subs_t http1;
    h2_subs_t h2;
    pub_t pubs[2];
    samples_t cost[2]; /* us */
} way_t;

static const int batches[] = {1, 20};

static uint64_t events_of(const way_t *way)
{
    return way->per ? way->h2.events : way->http1.events;
}

static int way_open(way_t *way, const target_t *target)
{
    size_t len;
    char *body;
    int i, open = STREAMS;

    if (way->per) {
        h2_subs_connect(&way->h2, target->tls_port, STREAMS / way->per,
                        way->per);
        open = h2_subs_open(&way->h2, way->per, way->path);
    }
    else {
        net_to(target->tls_port);
        net_over(tls_layer(0));
        subs_open(&way->http1, STREAMS, way->path, "");
        net_over(NULL);
        net_to(target->port);
    }
    for (i = 0; i < 2; ++i) {
        body = pub_batch(batches[i], &len);
        pub_open(&way->pubs[i], way->path, "text/event-stream", body, len);
        free(body);
    }
    if (open < STREAMS) {
        remark("%s:", way->name);
        figure_least("streams that are open", open, "", STREAMS);
    }
    return open == STREAMS;
}

static void slice(way_t *way, int which, const proc_children_t *children)
{
    uint64_t cpu = proc_cpu(children), until = now_ns() + SLICE;
    uint64_t before = events_of(way), want = before;

    while (now_ns() < until) {
        want += (uint64_t)batches[which] * STREAMS;
        pub_post_wait(&way->pubs[which]);
        if (way->per ? !h2_subs_await(&way->h2, want, TIMEOUT)
                     : !subs_await(&way->http1, want, TIMEOUT)) {
            die("%s: events did not come", way->name);
        }
    }
    samples_add(&way->cost[which], (double)(proc_cpu(children) - cpu) /
                                       (double)(want - before) / 1000);
}

static void tell(way_t *ways, int n, int which)
{
    double http1 = samples_at(&ways[0].cost[which], 0);
    double least;
    int i;

    remark("POSTs of %d, the server's CPU per delivery (the least of %d):",
           batches[which], ROUNDS);
    for (i = 0; i < n; ++i) {
        least = samples_at(&ways[i].cost[which], 0);
        figure(ways[i].name, least, "us");
        if (i) {
            figure_most("of HTTP/1.1's", least / http1, "", 1.3);
        }
    }
}

void scenario_h2_cpu(const target_t *target)
{
    static way_t ways[] = {
        {.name = "HTTP/1.1 over TLS", .path = "/events/cpu_http1"},
        {.name = "HTTP/2, a stream a connection",
         .path = "/events/cpu_one",
         .per = 1},
        {.name = "HTTP/2, 5 streams a connection",
         .path = "/events/cpu_five",
         .per = 5},
    };
    proc_children_t children;
    int i, round, which, n = 3;

    figures_of("h2_cpu", "1,000 streams of a channel, one child");
    proc_children(target->parent, &children);
    for (i = 0; i < n; ++i) {
        if (!way_open(&ways[i], target)) {
            return;
        }
    }
    for (round = 0; round <= ROUNDS; ++round) {
        for (i = 0; i < n; ++i) {
            for (which = 0; which < 2; ++which) {
                slice(&ways[i], which, &children);
                if (!round) { /* to warm up */
                    ways[i].cost[which].n = 0;
                }
            }
        }
    }
    for (which = 0; which < 2; ++which) {
        tell(ways, n, which);
    }
}
