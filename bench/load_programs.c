/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_programs.c
 * Scenario "programs": what it costs httpd that 200 streams have a program
 * each, which writes a line a second.
 */

#include "load.h"

#define PROGRAMS  200
#define SETTLE    (3 * SEC)
#define SECONDS   10
#define MOST_CORE 5 /* per cent */

/* httpd's parent, its children, and the process that starts programs, which is
 * one of them; not the programs. */
static uint64_t cpu_of(const target_t *target)
{
    proc_children_t all;

    proc_children(target->parent, &all);
    if (all.n == PROC_CHILDREN_MAX) {
        die("httpd has too many children to look at");
    }
    all.pids[all.n++] = target->parent;
    return proc_cpu(&all);
}

static void starts(const target_t *target, subs_t *subs)
{
    uint64_t before = cpu_of(target), begin = now_ns();

    subs_open(subs, PROGRAMS, "/programs/", "");
    figure("200 programs started, and their heads come in",
           (double)(now_ns() - begin) / SEC, "s");
    figure("httpd's CPU for a start",
           (double)(cpu_of(target) - before) / PROGRAMS / 1000, "us");
}

static void runs(const target_t *target, subs_t *subs)
{
    uint64_t cpu, events, begin;
    double seconds;

    net_wait(SETTLE);
    events = subs->events;
    cpu = cpu_of(target);
    begin = now_ns();
    net_wait(SECONDS * SEC);
    seconds = (double)(now_ns() - begin) / SEC;
    cpu = cpu_of(target) - cpu;
    figure_least("lines a second", (double)(subs->events - events) / seconds,
                 "", PROGRAMS * 0.9);
    figure_most("httpd's CPU, of a core", (double)cpu / SEC / seconds * 100,
                "%", MOST_CORE);
}

void scenario_programs(const target_t *target)
{
    subs_t subs = {0};

    figures_of("programs", "200 streams in one child, each with a program");
    starts(target, &subs);
    runs(target, &subs);
    if (subs.gone) {
        die("%d streams have ended", subs.gone);
    }
    subs_close(&subs);
}
