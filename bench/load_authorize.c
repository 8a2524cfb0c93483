/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_authorize.c
 * Scenario "authorize": what asking an application adds to a subscription.
 */

#include "load.h"

#define WARM_UP 100
#define ROUNDS  2000
#define STREAMS 1000

/* From before connect() to the head. */
static void subscribe(const char *path, samples_t *samples)
{
    subs_t subs = {0};
    uint64_t begin = now_ns();

    subs_open(&subs, 1, path, "");
    if (samples) {
        samples_add(samples, (double)(now_ns() - begin) / MSEC);
    }
    subs_close(&subs);
}

/* What each of many streams takes, in KB. */
static double memory_of(const char *path, pid_t pid)
{
    subs_t subs = {0};
    long before = proc_value(pid, "status", "RssAnon");
    double each;

    subs_open(&subs, STREAMS, path, "");
    net_wait(SEC / 2);
    each = (double)(proc_value(pid, "status", "RssAnon") - before) / STREAMS;
    subs_close(&subs);
    net_wait(4 * SEC); /* connections linger */
    return each;
}

static void memory(pid_t parent)
{
    proc_children_t children;
    double plain;

    proc_children(parent, &children);
    memory_of("/events/plain", children.pids[0]);
    plain = memory_of("/events/plain", children.pids[0]);
    figure("memory per stream", plain, "KB");
    figure("the same with SSEAuthorize",
           memory_of("/asked/allowed", children.pids[0]), "KB");
}

void scenario_authorize(const target_t *target)
{
    samples_t plain = {0}, asked = {0};
    double median;
    int i;

    figures_of("authorize", "2,000 subscriptions one after the other, and as "
                            "many that a C handler allows at once");
    for (i = 0; i < WARM_UP; ++i) {
        subscribe("/events/plain", NULL);
        subscribe("/asked/allowed", NULL);
    }
    /* In turns, so that others' load meets both. */
    for (i = 0; i < ROUNDS; ++i) {
        subscribe("/events/plain", &plain);
        subscribe("/asked/allowed", &asked);
    }
    median = samples_at(&plain, 0.5);
    figure("connect() to head, median", median, "ms");
    figure("the same with SSEAuthorize", samples_at(&asked, 0.5), "ms");
    figure_most("SSEAuthorize adds", samples_at(&asked, 0.5) - median, "ms",
                0.2);
    figure("connect() to head, p99", samples_at(&plain, 0.99), "ms");
    figure("the same with SSEAuthorize, p99", samples_at(&asked, 0.99), "ms");
    memory(target->parent);
    samples_free(&plain);
    samples_free(&asked);
}
