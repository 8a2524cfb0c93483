/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_h2_pages.c
 * Scenario "h2_pages": whether other requests of a connection are as fast with
 * an open stream on it as without one, and as with stock httpd.
 */

#include "load_h2.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS   12
#define SLICE    (250 * MSEC)
#define TIMEOUT  (20 * SEC)
#define AT_ONCE  6
#define DOWNLOAD (3 * 1024 * 1024)
#define UPLOAD   (4 * 1024 * 1024)

/** One connection. */
typedef struct {
    const char *name;
    h2_t h2;
    h2_stream_t stream; /* the open one, if any */
    proc_children_t server;
    samples_t rates[4]; /* by kind of traffic */
    double cpu[4], done[4];
} way_t;

/** What is done again and again. */
typedef struct {
    const char *name, *unit;
    int at_once;
    void (*ask)(h2_t *h2, h2_stream_t *stream);
    double of; /* units in one */
} traffic_t;

static char *body;
static uint64_t whole; /* answers */

static void on_over(h2_stream_t *stream)
{
    if (stream->over != H2_ENDED || stream->status != 200) {
        die("a request was not answered 200");
    }
    ++whole;
}

static const h2_events_t events = {NULL, NULL, on_over};

static void ask_page(h2_t *h2, h2_stream_t *stream)
{
    h2_get(h2, stream, &events, "/small.txt", "");
}

static void ask_large(h2_t *h2, h2_stream_t *stream)
{
    h2_get(h2, stream, &events, "/large.bin", "");
}

static void send_large(h2_t *h2, h2_stream_t *stream)
{
    h2_post(h2, stream, &events, "/read", body, UPLOAD);
}

static const traffic_t traffic[] = {
    {"pages, one at a time", "/s", 1, ask_page, 1},
    {"pages, 6 at a time", "/s", AT_ONCE, ask_page, 1},
    {"downloads of 3 MB", "MB/s", 1, ask_large, 3},
    {"uploads of 4 MB", "MB/s", 1, send_large, 4},
};
#define TRAFFIC 4

static void slice(way_t *way, int which)
{
    const traffic_t *kind = &traffic[which];
    h2_stream_t streams[AT_ONCE];
    uint64_t cpu = proc_cpu(&way->server);
    uint64_t begin = now_ns(), end = begin + SLICE, now = begin;
    uint64_t asked, first = whole;
    int i;

    for (i = 0; i < kind->at_once; ++i) {
        kind->ask(&way->h2, &streams[i]);
    }
    for (asked = (uint64_t)i; whole - first < asked;) {
        net_turn(100);
        now = now_ns();
        for (i = 0; i < kind->at_once; ++i) {
            if (streams[i].over != H2_OPEN && now < end) {
                kind->ask(&way->h2, &streams[i]);
                ++asked;
            }
        }
        if (now > begin + TIMEOUT) {
            die("%s, %s: no answer", way->name, kind->name);
        }
    }
    way->cpu[which] += (double)(proc_cpu(&way->server) - cpu) / 1000;
    way->done[which] += (double)asked * kind->of;
    samples_add(&way->rates[which],
                (double)asked * kind->of * (double)SEC / (double)(now - begin));
}

static void way_open(way_t *way, int port, int has_stream)
{
    uint64_t until = now_ns() + TIMEOUT;
    static const h2_events_t quiet = {NULL, NULL, NULL};

    if (!h2_open(&way->h2, port, H2_STREAM_WINDOW)) {
        die("no TLS handshake");
    }
    h2_page(&way->h2, "/small.txt");
    if (has_stream) {
        h2_get(&way->h2, &way->stream, &quiet, "/events/h2_pages",
               "accept\0text/event-stream\0");
        while (!way->stream.status && now_ns() < until) {
            net_turn(100);
        }
        if (way->stream.status != 200) {
            die("the stream was not answered 200");
        }
    }
}

/* Of many short slices those that few disturbed: others use the machine, too,
 * and the very best one is chance. */
static void tell(way_t *ways, int which)
{
    double rates[3], cpu[3];
    int i;

    remark("%s (upper quartile of %d), the server's CPU for one or a MB:",
           traffic[which].name, ROUNDS);
    for (i = 0; i < 3; ++i) {
        rates[i] = samples_at(&ways[i].rates[which], 0.75);
        cpu[i] = ways[i].cpu[which] / ways[i].done[which];
        figure(ways[i].name, rates[i], traffic[which].unit);
        figure("", cpu[i], "us");
    }
    figure_least("with a stream, of the rate without", rates[2] / rates[1], "",
                 0.9);
    figure_least("with a stream, of stock httpd's", rates[2] / rates[0], "",
                 0.9);
    figure_most("CPU with a stream, of that without", cpu[2] / cpu[1], "", 1.1);
}

void scenario_h2_pages(const target_t *target)
{
    static way_t ways[3];
    int round, which, i;

    ways[0].name = "stock httpd";
    ways[1].name = "no stream";
    ways[2].name = "an open stream";
    proc_children(target->stock, &ways[0].server);
    proc_children(target->parent, &ways[1].server);
    ways[2].server = ways[1].server;
    figures_of("h2_pages", "one TLS connection each, in turns");
    body = calloc(1, UPLOAD);
    if (!body) {
        die("out of memory");
    }
    way_open(&ways[0], target->stock_port, 0);
    way_open(&ways[1], target->tls_port, 0);
    way_open(&ways[2], target->tls_port, 1);
    for (round = 0; round < ROUNDS; ++round) {
        for (which = 0; which < TRAFFIC; ++which) {
            for (i = 0; i < 3; ++i) {
                slice(&ways[(i + round) % 3], which);
            }
        }
    }
    for (which = 0; which < TRAFFIC; ++which) {
        tell(ways, which);
    }
    if (ways[2].stream.over != H2_OPEN) {
        figure_most("the stream has ended", 1, "", 0);
    }
    free(body);
}
