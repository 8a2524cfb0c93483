/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_publish.c
 * Scenario "publish": what a POST costs, next to what httpd itself takes for an
 * empty one.
 */

#include "load.h"

#include <stdlib.h>

#define CONNECTIONS 16
#define PAIRS       5
#define SLICE       (2 * SEC)
#define BATCH       1000
#define BATCHES     300

typedef struct {
    pub_t pubs[CONNECTIONS];
    samples_t rates; /* requests a second, one per slice */
    samples_t costs; /* the server's CPU per request, us */
} load_t;

static void open_load(load_t *load, const char *path, const char *type,
                      const char *body, size_t len)
{
    int i;

    for (i = 0; i < CONNECTIONS; ++i) {
        pub_open(&load->pubs[i], path, type, body, len);
    }
}

static uint64_t answers(const load_t *load)
{
    uint64_t n = 0;
    int i;

    for (i = 0; i < CONNECTIONS; ++i) {
        n += load->pubs[i].answers;
    }
    return n;
}

static int post_where_idle(load_t *load)
{
    int i, posted = 0;

    for (i = 0; i < CONNECTIONS; ++i) {
        if (!load->pubs[i].busy) {
            pub_post(&load->pubs[i]);
            ++posted;
        }
    }
    return posted;
}

static int reopened(const load_t *load)
{
    int i, n = 0;

    for (i = 0; i < CONNECTIONS; ++i) {
        n += load->pubs[i].again;
    }
    return n;
}

static int is_busy(const load_t *load)
{
    int i;

    for (i = 0; i < CONNECTIONS; ++i) {
        if (load->pubs[i].busy) {
            return 1;
        }
    }
    return 0;
}

static void slice(load_t *load, const proc_children_t *children, uint64_t ns)
{
    uint64_t had = answers(load), cpu = proc_cpu(children), begin = now_ns();
    double done, seconds;

    while (now_ns() < begin + ns) {
        post_where_idle(load);
        net_turn(100);
    }
    while (is_busy(load)) {
        net_turn(100);
    }
    seconds = (double)(now_ns() - begin) / SEC;
    done = (double)(answers(load) - had);
    samples_add(&load->rates, done / seconds);
    samples_add(&load->costs, (double)(proc_cpu(children) - cpu) / 1000 / done);
}

static void close_load(load_t *load)
{
    int i;

    for (i = 0; i < CONNECTIONS; ++i) {
        pub_close(&load->pubs[i]);
    }
    samples_free(&load->rates);
    samples_free(&load->costs);
}

/* Alternating, as the machine's own speed varies. */
static void side_by_side(const proc_children_t *children)
{
    load_t events = {0}, empty = {0};
    double rate, floor_rate;
    int i;

    open_load(&events, "/events/publish", "text/plain", "0123456789abcdef", 16);
    open_load(&empty, "/floor", NULL, "", 0);
    slice(&events, children, SLICE / 4);
    slice(&empty, children, SLICE / 4);
    events.rates.n = events.costs.n = empty.rates.n = empty.costs.n = 0;
    for (i = 0; i < PAIRS; ++i) {
        slice(&events, children, SLICE);
        slice(&empty, children, SLICE);
    }
    rate = samples_at(&events.rates, 0.5);
    floor_rate = samples_at(&empty.rates, 0.5);
    remark("one event a POST, medians of %d slices of 2 s each:", PAIRS);
    figure_least("POSTs of one event", rate, "/s",
                 floor_rate * 0.8 < 20000 ? floor_rate * 0.8 : 20000);
    figure("empty POSTs to a handler that does nothing", floor_rate, "/s");
    figure("of that, the event's", 100 * rate / floor_rate, "%");
    figure("the server's CPU per event POST", samples_at(&events.costs, 0.5),
           "us");
    figure("the server's CPU per empty POST", samples_at(&empty.costs, 0.5),
           "us");
    figure("connections that httpd closed meanwhile",
           reopened(&events) + reopened(&empty), "");
    close_load(&events);
    close_load(&empty);
}

static void in_batches(const proc_children_t *children)
{
    uint64_t begin, ns, cpu;
    size_t len;
    char *body = pub_batch(BATCH, &len);
    pub_t pub;
    int i;

    pub_open(&pub, "/events/batch", "text/event-stream", body, len);
    for (i = 0; i < 10; ++i) {
        pub_post_wait(&pub);
    }
    cpu = proc_cpu(children);
    begin = now_ns();
    for (i = 0; i < BATCHES; ++i) {
        pub_post_wait(&pub);
    }
    ns = now_ns() - begin;
    cpu = proc_cpu(children) - cpu;
    remark("%d events a POST, one connection:", BATCH);
    figure_least("events", (double)BATCH * BATCHES * SEC / (double)ns, "/s",
                 200000);
    figure("the server's CPU per event",
           (double)cpu / 1000 / ((double)BATCH * BATCHES), "us");
    pub_close(&pub);
    free(body);
}

void scenario_publish(const target_t *target)
{
    proc_children_t children;

    figures_of("publish", "no subscribers, two children, sync=off, 16 "
                          "keep-alive connections");
    proc_children(target->parent, &children);
    side_by_side(&children);
    in_batches(&children);
}
