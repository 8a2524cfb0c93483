/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_hooks.c
 * Scenario "hooks": how long after a client's close() the webhook that tells of
 * it has come to its target, when streams end one by one, and when 2,000 do at
 * once.  The target (t/client/hook_target.c) writes each call to a file.
 */

#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SINGLES 300
#define STREAMS 2000
#define TIMEOUT (20 * SEC)
/* Of the file, a line each. */
#define LINE_MAX (1024 * 1024)

/** What the target has been told. */
typedef struct {
    FILE *file;
    long whole; /**< where the first line begins that was not read */
    char *line;
    uint64_t opens, closes;
    uint64_t last; /**< when the newest call came */
} told_t;

static void told_open(told_t *told, const char *name)
{
    memset(told, 0, sizeof(*told));
    told->file = fopen(name, "re");
    told->line = malloc(LINE_MAX);
    if (!told->file || !told->line) {
        die("%s: %s", name, strerror(errno));
    }
}

static void told_close(told_t *told)
{
    fclose(told->file);
    free(told->line);
}

static uint64_t count(const char *text, const char *what)
{
    uint64_t n = 0;

    while ((text = strstr(text, what)) != NULL) {
        text += strlen(what);
        ++n;
    }
    return n;
}

/* TIME ATTEMPT ID BODY */
static void take_line(told_t *told)
{
    char *rest;
    uint64_t when = strtoull(told->line, &rest, 10);

    if (strncmp(rest, " 1 ", 3) != 0) {
        die("a webhook was sent again: %.80s", told->line);
    }
    told->opens += count(rest, "\"type\":\"open\"");
    told->closes += count(rest, "\"type\":\"close\"");
    told->last = when > told->last ? when : told->last;
}

static void read_on(told_t *told)
{
    size_t len;

    clearerr(told->file);
    fseek(told->file, told->whole, SEEK_SET);
    while (fgets(told->line, LINE_MAX, told->file)) {
        len = strlen(told->line);
        if (told->line[len - 1] != '\n') {
            return; /* it is being written */
        }
        told->whole += (long)len;
        take_line(told);
    }
}

static void await_told(told_t *told, uint64_t opens, uint64_t closes)
{
    uint64_t until = now_ns() + TIMEOUT;

    read_on(told);
    while (told->opens < opens || told->closes < closes) {
        if (now_ns() > until) {
            die("the target was told of %llu openings and %llu ends, not of "
                "%llu and %llu",
                (unsigned long long)told->opens,
                (unsigned long long)told->closes, (unsigned long long)opens,
                (unsigned long long)closes);
        }
        net_turn(1);
        read_on(told);
    }
    if (told->opens > opens || told->closes > closes) {
        die("the target was told twice");
    }
}

static void one_by_one(told_t *told)
{
    samples_t delays = {0};
    subs_t subs = {0};
    uint64_t closed;
    int i;

    subs_open(&subs, SINGLES, "/hooks/single", "");
    await_told(told, SINGLES, 0);
    for (i = 0; i < SINGLES; ++i) {
        net_wait(2 * MSEC + (uint64_t)(drand48() * 10 * MSEC));
        closed = now_ns();
        net_close(&subs.subs[i].conn);
        await_told(told, SINGLES, (uint64_t)i + 1);
        samples_add(&delays, ((double)told->last - (double)closed) / MSEC);
    }
    remark("300 streams closed one by one:");
    figure_most("close() to the call's first byte, median",
                samples_at(&delays, 0.5), "ms", 2);
    figure_most("close() to the call's first byte, p99",
                samples_at(&delays, 0.99), "ms", 10);
    figure("close() to the call's first byte, slowest", samples_at(&delays, 1),
           "ms");
    samples_free(&delays);
    subs_close(&subs);
}

static void at_once(told_t *told, const target_t *target, const char *path,
                    int is_target)
{
    proc_children_t children;
    uint64_t cpu;
    uint64_t opens = told->opens + STREAMS, closes = told->closes + STREAMS;
    uint64_t begin, end;
    subs_t subs = {0};
    double took;

    subs_open(&subs, STREAMS, path, "");
    end = now_ns();
    await_told(told, opens, told->closes);
    figure("last opening to its call, 2,000 at once",
           ((double)told->last - (double)end) / MSEC, "ms");
    net_wait(SEC);
    proc_children(target->parent, &children);
    cpu = proc_cpu(&children);
    begin = now_ns();
    subs_close(&subs);
    end = now_ns();
    await_told(told, opens, closes);
    took = ((double)told->last - (double)end) / MSEC;
    if (is_target) {
        figure_most("last close() to the last call", took, "ms", 500);
    }
    else {
        figure("last close() to the last call", took, "ms");
    }
    figure("of the whole, calls a second",
           STREAMS / ((double)(told->last - begin) / SEC), "/s");
    figure("server's CPU for each end, its call included",
           (double)(proc_cpu(&children) - cpu) / 1000 / STREAMS, "us");
}

void scenario_hooks(const target_t *target)
{
    told_t told;

    figures_of("hooks", "webhooks to a fast target, one child");
    told_open(&told, target->hooks);
    srand48(1);
    one_by_one(&told);
    remark("2,000 streams closed at once, a call each:");
    at_once(&told, target, "/hooks/all", 1);
    remark("the same, SSEHookBatch 100 50ms:");
    at_once(&told, target, "/batched/all", 0);
    told_close(&told);
}
