/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_idle.c
 * Scenario "idle": what open streams that have nothing to do cost a child, and
 * whether all of it is given back.
 */

#include "load.h"

#include <stdlib.h>

#define STREAMS      10000
#define CYCLES       10
#define SETTLE       (1000 * MSEC)
#define BACK_TIMEOUT (10 * SEC)

/** A child at one moment; KB. */
typedef struct {
    long rss, pss, anon, threads;
    int fds;
} child_t;

static child_t look(pid_t pid)
{
    child_t child;

    child.rss = proc_value(pid, "smaps_rollup", "Rss");
    child.pss = proc_value(pid, "smaps_rollup", "Pss");
    child.anon = proc_value(pid, "status", "RssAnon");
    child.threads = proc_value(pid, "status", "Threads");
    child.fds = proc_descriptors(pid);
    return child;
}

static void open_streams(subs_t *subs, int n)
{
    subs_open(subs, n, "/events/idle", "");
    net_wait(SETTLE);
    if (subs->gone) {
        die("the server closed %d of %d idle streams", subs->gone, n);
    }
}

/* @return ns from the first close until the child has no more descriptors than
 *         before */
static uint64_t close_streams(subs_t *subs, pid_t pid, int fds)
{
    uint64_t begin = now_ns();

    subs_close(subs);
    while (proc_descriptors(pid) > fds) {
        if (now_ns() > begin + BACK_TIMEOUT) {
            die("10 s after the clients left, the child has %d descriptors; "
                "before they came, it had %d",
                proc_descriptors(pid), fds);
        }
        net_wait(20 * MSEC);
    }
    return now_ns() - begin;
}

static void tell_open(const child_t *before, const child_t *open)
{
    figure_most("child's memory per stream, RSS",
                (double)(open->rss - before->rss) / STREAMS, "KB", 36);
    figure("child's memory per stream, PSS",
           (double)(open->pss - before->pss) / STREAMS, "KB");
    figure_most("threads in the child", (double)open->threads, "", 20);
    figure("descriptors in the child", open->fds, "");
}

static void tell_closed(const child_t *before, const child_t *after,
                        double back)
{
    figure("RSS before the streams", (double)before->rss / 1024, "MB");
    figure("RSS 3 s after they were closed", (double)after->rss / 1024, "MB");
    figure_most("not given back, per stream",
                (double)(after->rss - before->rss) / STREAMS, "KB", 0.5);
    figure_most("close until descriptors as before", back / SEC, "s", 3);
    figure("descriptors before", before->fds, "");
    figure("descriptors after", after->fds, "");
}

/* @return RSS with all streams closed, KB */
static long cycle(pid_t pid, const child_t *before, samples_t *per_stream,
                  samples_t *back)
{
    subs_t subs = {0};
    child_t open;

    open_streams(&subs, STREAMS);
    open = look(pid);
    samples_add(per_stream, (double)(open.rss - before->rss) / STREAMS);
    samples_add(back, (double)close_streams(&subs, pid, before->fds) / SEC);
    net_wait(SETTLE);
    return look(pid).rss;
}

static void repeat(pid_t pid, const child_t *before, long first)
{
    samples_t per_stream = {0}, back = {0};
    long last = first, third = first;
    int i;

    for (i = 2; i <= CYCLES; ++i) {
        last = cycle(pid, before, &per_stream, &back);
        if (i == 3) {
            third = last;
        }
    }
    remark("opened and closed %d times:", CYCLES);
    figure("per stream, least of the times", samples_at(&per_stream, 0), "KB");
    figure("per stream, most of the times", samples_at(&per_stream, 1), "KB");
    figure("descriptors as before, slowest time", samples_at(&back, 1), "s");
    figure("RSS closed, first time", (double)first / 1024, "MB");
    figure("RSS closed, third time", (double)third / 1024, "MB");
    figure("RSS closed, last time", (double)last / 1024, "MB");
    samples_free(&per_stream);
    samples_free(&back);
}

void scenario_idle(const target_t *target)
{
    proc_children_t children;
    child_t before, open, after;
    subs_t subs = {0};
    uint64_t back;
    pid_t pid;

    figures_of("idle", "10,000 streams in one child");
    proc_children(target->parent, &children);
    pid = children.pids[0];

    /* Threads and allocators take some memory once. */
    open_streams(&subs, 100);
    subs_close(&subs);
    net_wait(2 * SEC);

    before = look(pid);
    open_streams(&subs, STREAMS);
    open = look(pid);
    tell_open(&before, &open);
    back = close_streams(&subs, pid, before.fds);
    if (back < 3 * SEC) {
        net_wait(3 * SEC - back);
    }
    after = look(pid);
    tell_closed(&before, &after, (double)back);
    repeat(pid, &before, after.rss);
}
