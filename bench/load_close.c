/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_close.c
 * Scenario "close": how long after a client's close() the server's code is told
 * of it, with 5,000 idle streams in one child.
 */

#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench_close_log.h"

#define STREAMS 5000
/* Mean time between two closes. */
#define BETWEEN (1 * MSEC)
#define TIMEOUT (10 * SEC)

/** A close of ours. */
typedef struct {
    uint32_t addr;
    uint16_t port;
    int told;
    uint64_t when;
} closing_t;

const bench_close_log_t *closes_map(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    void *mapping;

    if (fd < 0) {
        die("%s: %s", name, strerror(errno));
    }
    mapping =
        mmap(NULL, sizeof(bench_close_log_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mapping == MAP_FAILED) {
        die("mmap: %s", strerror(errno));
    }
    return mapping;
}

static void close_one(sub_t *sub, closing_t *closing)
{
    closing->addr = sub->conn.addr;
    closing->port = sub->conn.port;
    closing->when = now_ns();
    net_close(&sub->conn);
}

int *shuffled(int n)
{
    int *order = malloc((size_t)n * sizeof(*order));
    int i, j, other;

    if (!order) {
        die("out of memory");
    }
    for (i = 0; i < n; ++i) {
        order[i] = i;
    }
    for (i = n - 1; i > 0; --i) {
        j = (int)(drand48() * (i + 1));
        other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
    return order;
}

void sleep_until(uint64_t when)
{
    struct timespec at;

    at.tv_sec = (time_t)(when / SEC);
    at.tv_nsec = (long)(when % SEC);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) ==
           EINTR) {
    }
}

static void close_at_random(subs_t *subs, closing_t *closings)
{
    uint64_t next = now_ns();
    int *order = shuffled(STREAMS);
    int i;

    for (i = 0; i < STREAMS; ++i) {
        next += (uint64_t)(-log(1 - drand48()) * BETWEEN);
        sleep_until(next);
        close_one(&subs->subs[order[i]], &closings[i]);
    }
    free(order);
}

static void close_at_once(subs_t *subs, closing_t *closings)
{
    int i;

    for (i = 0; i < STREAMS; ++i) {
        close_one(&subs->subs[i], &closings[i]);
    }
}

void closes_await(const bench_close_log_t *log, uint64_t entries)
{
    uint64_t until = now_ns() + TIMEOUT, i = 0;

    while (i < entries) {
        if (__atomic_load_n(&log->entries[i].when, __ATOMIC_ACQUIRE)) {
            ++i;
        }
        else if (now_ns() > until) {
            die("only %llu of %llu closes were told", (unsigned long long)i,
                (unsigned long long)entries);
        }
        else {
            net_turn(1);
        }
    }
    net_wait(100 * MSEC);
    if (__atomic_load_n(&log->taken, __ATOMIC_ACQUIRE) != entries) {
        die("some closes were told twice");
    }
}

static int compare(const void *a, const void *b)
{
    const closing_t *x = a, *y = b;

    if (x->addr != y->addr) {
        return x->addr < y->addr ? -1 : 1;
    }
    return (x->port > y->port) - (x->port < y->port);
}

/* Matches what was told from entry "first" on with what was closed. */
static void match(const bench_close_t *told, closing_t *closings,
                  samples_t *delays)
{
    closing_t key, *closing;
    int i;

    qsort(closings, STREAMS, sizeof(*closings), compare);
    for (i = 0; i < STREAMS; ++i) {
        key.addr = told[i].addr;
        key.port = told[i].port;
        closing = bsearch(&key, closings, STREAMS, sizeof(*closings), compare);
        if (!closing || closing->told || told[i].reason != 1) {
            die("a close was told of a stream that was not closed, or twice, "
                "or with reason %d",
                told[i].reason);
        }
        closing->told = 1;
        samples_add(delays,
                    ((double)told[i].when - (double)closing->when) / MSEC);
    }
}

static uint64_t last_told(const bench_close_t *told)
{
    uint64_t last = 0;
    int i;

    for (i = 0; i < STREAMS; ++i) {
        last = told[i].when > last ? told[i].when : last;
    }
    return last;
}

static void one_by_one(const bench_close_log_t *log, closing_t *closings)
{
    samples_t delays = {0};
    subs_t subs = {0};
    uint64_t first = log->taken;

    subs_open(&subs, STREAMS, "/events/close", "");
    net_wait(SEC);
    close_at_random(&subs, closings);
    closes_await(log, first + STREAMS);
    match(&log->entries[first], closings, &delays);
    remark("closed one by one, %.0f a second:", (double)SEC / BETWEEN);
    figure_most("close() to callback, median", samples_at(&delays, 0.5), "ms",
                1);
    figure_most("close() to callback, p99", samples_at(&delays, 0.99), "ms", 5);
    figure("close() to callback, slowest", samples_at(&delays, 1), "ms");
    samples_free(&delays);
    subs_close(&subs);
}

static void at_once(const bench_close_log_t *log, closing_t *closings)
{
    samples_t delays = {0};
    subs_t subs = {0};
    uint64_t first = log->taken, begin, end, last;

    subs_open(&subs, STREAMS, "/events/close", "");
    net_wait(SEC);
    begin = now_ns();
    close_at_once(&subs, closings);
    end = now_ns();
    closes_await(log, first + STREAMS);
    last = last_told(&log->entries[first]);
    match(&log->entries[first], closings, &delays);
    remark("all closed at once:");
    figure_most("last close() to last callback",
                ((double)last - (double)end) / MSEC, "ms", 250);
    figure("first close() to last callback", (double)(last - begin) / MSEC,
           "ms");
    figure("of that, the client's closing", (double)(end - begin) / MSEC, "ms");
    figure("close() to callback, median", samples_at(&delays, 0.5), "ms");
    figure("close() to callback, p99", samples_at(&delays, 0.99), "ms");
    samples_free(&delays);
    subs_close(&subs);
}

void scenario_close(const target_t *target)
{
    const bench_close_log_t *log = closes_map(target->closes);
    closing_t *closings = calloc(STREAMS, sizeof(*closings));

    if (!closings) {
        die("out of memory");
    }
    figures_of("close", "5,000 idle streams in one child");
    srand48(1);
    one_by_one(log, closings);
    memset(closings, 0, STREAMS * sizeof(*closings));
    at_once(log, closings);
    free(closings);
}
