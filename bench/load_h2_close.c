/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_h2_close.c
 * Scenario "h2_close": how long after an RST_STREAM, or after the close() of a
 * connection, the server's code is told of the streams' ends.
 */

#include "load_h2.h"

#include <math.h>
#include <stdlib.h>

#include "bench_close_log.h"

#define CONNS   1000
#define PER     5
#define STREAMS (CONNS * PER)
/* Mean time between two streams' ends. */
#define BETWEEN (1 * MSEC)

/* sse_close_reason_e */
enum { CLIENT = 1, RESET = 2 };

static uint64_t closed[STREAMS]; /* by stream: when */

static void reset_one(h2_subs_t *subs, int i)
{
    closed[i] = now_ns();
    h2_reset(&subs->subs[i].stream);
}

/* A connection's streams are those of its number and each CONNS further. */
static void close_one(h2_subs_t *subs, int i)
{
    int k;

    for (k = 0; k < PER; ++k) {
        closed[i + k * CONNS] = now_ns();
    }
    h2_close(&subs->conns[i]);
}

static void at_random(h2_subs_t *subs, int n, uint64_t between,
                      void (*end)(h2_subs_t *subs, int i))
{
    uint64_t next = now_ns();
    int *order = shuffled(n);
    int i;

    for (i = 0; i < n; ++i) {
        next += (uint64_t)(-log(1 - drand48()) * (double)between);
        sleep_until(next);
        end(subs, order[i]);
    }
    free(order);
}

static void match(const bench_close_t *told, int reason, samples_t *delays)
{
    int i, number;

    for (i = 0; i < STREAMS; ++i) {
        number = (int)told[i].number - 1;
        if (number < 0 || number >= STREAMS || !closed[number] ||
            told[i].reason != reason) {
            die("a close was told of a stream that was not closed, or twice, "
                "or with reason %d",
                told[i].reason);
        }
        samples_add(delays,
                    ((double)told[i].when - (double)closed[number]) / MSEC);
        closed[number] = 0;
    }
}

static void tell(const char *how, samples_t *delays)
{
    remark("%s:", how);
    figure_most("to callback, median", samples_at(delays, 0.5), "ms", 1);
    figure_most("to callback, p99", samples_at(delays, 0.99), "ms", 5);
    figure("to callback, slowest", samples_at(delays, 1), "ms");
}

static void tell_at_once(const bench_close_t *told, uint64_t end)
{
    uint64_t last = 0;
    int i;

    for (i = 0; i < STREAMS; ++i) {
        last = told[i].when > last ? told[i].when : last;
    }
    remark("all connections closed at once:");
    figure_most("last close() to last callback",
                ((double)last - (double)end) / MSEC, "ms", 250);
}

/* How streams end. */
typedef enum { RESETS, CLOSES, AT_ONCE } way_e;

static int measure(const target_t *target, const bench_close_log_t *log,
                   way_e way)
{
    samples_t delays = {0};
    h2_subs_t subs = {0};
    uint64_t first, end;
    int open, i;

    h2_subs_connect(&subs, target->tls_port, CONNS, PER);
    open = h2_subs_open(&subs, PER, "/events/h2_close");
    if (open < STREAMS) {
        figure_least("streams that are open", open, "", STREAMS);
        return 0;
    }
    net_wait(SEC);
    first = log->taken;
    switch (way) {
    case RESETS:
        at_random(&subs, STREAMS, BETWEEN, reset_one);
        break;
    case CLOSES:
        at_random(&subs, CONNS, PER * BETWEEN, close_one);
        break;
    case AT_ONCE:
        for (i = 0; i < CONNS; ++i) {
            close_one(&subs, i);
        }
        break;
    }
    end = now_ns();
    closes_await(log, first + STREAMS);
    match(&log->entries[first], way == RESETS ? RESET : CLIENT, &delays);
    if (way == AT_ONCE) {
        tell_at_once(&log->entries[first], end);
    }
    else {
        tell(way == RESETS ? "streams reset one by one, 1000 a second"
                           : "connections closed, 200 a second",
             &delays);
    }
    samples_free(&delays);
    h2_subs_close(&subs);
    net_wait(SEC);
    return 1;
}

void scenario_h2_close(const target_t *target)
{
    const bench_close_log_t *log = closes_map(target->closes);

    figures_of("h2_close", "5,000 idle streams on 1,000 TLS connections");
    srand48(1);
    if (measure(target, log, RESETS) && measure(target, log, CLOSES)) {
        measure(target, log, AT_ONCE);
    }
}
