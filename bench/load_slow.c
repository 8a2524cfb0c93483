/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_slow.c
 * Scenario "slow": one client that never reads is sent 1 GB, beside 1,000 that
 * read all of another channel.
 *
 * What it costs the 1,000 is measured by slices: in alternation, as much is
 * published to a channel of the slow client and to one without subscribers.  So
 * the slices differ only in the slow client's part.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_close_log.h"

#define STREAMS 1000
/* As in "fanout", but less, since what waits for 1,000 shows as memory. */
#define AHEAD_MAX 100
#define DRAIN     (20 * SEC)

/* Events of the large channel: so long, so many a POST, so many POSTs. */
#define LARGE_BYTES 60000
#define LARGE_BATCH 16
#define LARGE_POSTS 1050
/* POSTs until socket, queue and the server's threads have filled up. */
#define WARM_POSTS 200
#define SLICE      50
/* If the stream is closed, so many POSTs more. */
#define MORE_POSTS 100

/* What those that read may add. */
#define MORE_MB 8

/* SSE_CLOSE_SLOW_CLIENT of mod_sse.h, which needs httpd's headers. */
#define REASON_SLOW_CLIENT 5

typedef enum { HEARD, UNHEARD, KINDS } kind_e;

typedef struct {
    subs_t subs, slow;
    pub_t small, large[KINDS];
    pid_t child;
    const bench_close_log_t *log;
    uint64_t looked; /**< at so many entries of the log */
    int reason; /**< for which the slow one's stream ended; 0: it has not */
    uint64_t events[KINDS], ns[KINDS]; /**< of the 1,000, in the slices */
    long most;                         /**< RssAnon of the child, KB */
} run_t;

static char *large_body(size_t *len)
{
    static const char begin[] = "data: ", end[] = "\n\n";
    size_t size = sizeof(begin) - 1 + LARGE_BYTES + sizeof(end) - 1;
    char *body = malloc(size * LARGE_BATCH), *p = body;
    int i;

    if (!body) {
        die("out of memory");
    }
    for (i = 0; i < LARGE_BATCH; ++i) {
        memcpy(p, begin, sizeof(begin) - 1);
        memset(p + sizeof(begin) - 1, 'x', LARGE_BYTES);
        memcpy(p + size - sizeof(end) + 1, end, sizeof(end) - 1);
        p += size;
    }
    *len = size * LARGE_BATCH;
    return body;
}

static double megabytes(uint64_t posts)
{
    return (double)posts * LARGE_BATCH * LARGE_BYTES / 1e6;
}

/* Whether the slow client's end was told. */
static void look_for_end(run_t *run)
{
    uint64_t taken = __atomic_load_n(&run->log->taken, __ATOMIC_ACQUIRE);
    const bench_close_t *entry;

    for (; run->looked < taken; ++run->looked) {
        entry = &run->log->entries[run->looked];
        if (!__atomic_load_n(&entry->when, __ATOMIC_ACQUIRE)) {
            return; /* it is being written */
        }
        if (entry->addr == run->slow.subs[0].conn.addr &&
            entry->port == run->slow.subs[0].conn.port) {
            run->reason = entry->reason;
        }
    }
}

static void turn(run_t *run, pub_t *large)
{
    uint64_t ahead = run->small.answers - run->subs.events / STREAMS;

    if (!run->small.busy && ahead < AHEAD_MAX) {
        pub_post(&run->small);
    }
    if (!large->busy) {
        pub_post(large);
    }
    net_turn(100);
    look_for_end(run);
}

static void publish(run_t *run, kind_e kind, uint64_t posts)
{
    pub_t *large = &run->large[kind];
    uint64_t until = large->answers + posts;
    uint64_t begin = now_ns(), events = run->subs.events;
    long memory;

    while (large->answers < until) {
        turn(run, large);
    }
    while (large->busy) {
        net_turn(100);
    }
    run->events[kind] += run->subs.events - events;
    run->ns[kind] += now_ns() - begin;
    memory = proc_value(run->child, "status", "RssAnon");
    run->most = memory > run->most ? memory : run->most;
}

static void open_run(run_t *run, const target_t *target, const char *path,
                     const char *body, size_t len)
{
    proc_children_t children;

    proc_children(target->parent, &children);
    run->child = children.pids[0];
    run->log = closes_map(target->closes);
    run->looked = __atomic_load_n(&run->log->taken, __ATOMIC_ACQUIRE);
    subs_open(&run->subs, STREAMS, "/events/many", "");
    subs_open(&run->slow, 1, path, "");
    net_pause(&run->slow.subs[0].conn, 1);
    pub_open(&run->small, "/events/many", NULL, "0123456789abcdef", 16);
    pub_open(&run->large[HEARD], "/events/large", "text/event-stream", body,
             len);
    pub_open(&run->large[UNHEARD], "/events/unheard", "text/event-stream", body,
             len);
}

static void close_run(run_t *run)
{
    while (run->small.busy) {
        net_turn(100);
    }
    subs_await(&run->subs, run->small.answers * STREAMS, DRAIN);
    figure_most("events missing to the 1,000",
                (double)(run->small.answers * STREAMS) -
                    (double)run->subs.events,
                "", 0);
    figure_most("gaps told to them, streams closed",
                (double)run->subs.gaps + run->subs.gone, "", 0);
    pub_close(&run->small);
    pub_close(&run->large[HEARD]);
    pub_close(&run->large[UNHEARD]);
    subs_close(&run->subs);
    subs_close(&run->slow);
    net_wait(2 * SEC);
}

/* What the slow client finds when it finally reads. */
static void read_at_last(run_t *run)
{
    uint64_t events;

    net_pause(&run->slow.subs[0].conn, 0);
    do {
        events = run->slow.events;
        net_wait(SEC);
    } while (run->slow.events > events);
    figure("reading at last, it finds events", (double)run->slow.events, "");
    figure_least("and is told of gaps", (double)run->slow.gaps, "", 1);
}

static double rate(const run_t *run, kind_e kind)
{
    return (double)run->events[kind] * SEC / (double)run->ns[kind];
}

static void tell_rates(const run_t *run)
{
    figure("deliveries to the 1,000, nothing for the slow one",
           rate(run, UNHEARD), "/s");
    figure("while it is sent 1 GB", rate(run, HEARD), "/s");
    figure_least("of that", 100 * rate(run, HEARD) / rate(run, UNHEARD), "%",
                 85);
}

static void dropping(const target_t *target, const char *body, size_t len)
{
    run_t run = {0};
    long before;
    int i;

    remark("SSEQueue 256k drop:");
    open_run(&run, target, "/slow/drop", body, len);
    publish(&run, HEARD, WARM_POSTS);
    publish(&run, UNHEARD, WARM_POSTS);
    before = run.most;
    memset(run.events, 0, sizeof(run.events));
    memset(run.ns, 0, sizeof(run.ns));
    for (i = WARM_POSTS; i < LARGE_POSTS; i += SLICE) {
        publish(&run, HEARD, SLICE);
        publish(&run, UNHEARD, SLICE);
    }
    tell_rates(&run);
    figure("the child's memory when 192 MB were sent", (double)before / 1024,
           "MB");
    figure_most("the most from there to 1 GB", (double)run.most / 1024, "MB",
                (double)before / 1024 + MORE_MB);
    if (run.reason || run.slow.gone) {
        die("the slow one's stream was ended (%d)", run.reason);
    }
    read_at_last(&run);
    close_run(&run);
}

static void closing(const target_t *target, const char *body, size_t len)
{
    run_t run = {0};
    uint64_t posts;

    remark("SSEQueue 256k close:");
    open_run(&run, target, "/slow/close", body, len);
    while (!run.reason && run.large[HEARD].answers < LARGE_POSTS) {
        publish(&run, HEARD, 1);
    }
    posts = run.large[HEARD].answers;
    remark("its stream's end: %s", run.reason == REASON_SLOW_CLIENT
                                       ? "slow-client"
                                   : run.reason ? "NOT slow-client"
                                                : "NONE");
    figure("when so much was published", megabytes(posts), "MB");
    publish(&run, HEARD, MORE_POSTS);
    close_run(&run);
}

void scenario_slow(const target_t *target)
{
    size_t len;
    char *body = large_body(&len);

    figures_of("slow", "1,000 streams beside one that never reads, one child");
    dropping(target, body, len);
    closing(target, body, len);
    free(body);
}
