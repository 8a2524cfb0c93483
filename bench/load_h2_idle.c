/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_h2_idle.c
 * Scenario "h2_idle": what open streams over HTTP/2 that have nothing to do
 * cost a child: threads, and memory against a connection of stock httpd.
 */

#include "load_h2.h"

#include <stdio.h>

#define CONNS        1000
#define STREAMS      5
#define WARM         200
#define PAGES        200
#define SETTLE       (1500 * MSEC)
#define BACK_TIMEOUT (10 * SEC)

static const char path[] = "/events/h2_idle";

static double rss(pid_t pid)
{
    return (double)proc_value(pid, "smaps_rollup", "Rss");
}

static pid_t only_child(pid_t parent)
{
    proc_children_t children;

    proc_children(parent, &children);
    return children.pids[0];
}

/* Threads and allocators take some memory once. */
static void warm_up(int port, int per)
{
    h2_subs_t subs = {0};

    h2_subs_connect(&subs, port, WARM, per);
    h2_subs_open(&subs, per, path);
    h2_subs_close(&subs);
    net_wait(2 * SEC);
}

/* @return KB for each idle connection of a child */
static double connections(h2_subs_t *subs, pid_t pid, int port)
{
    double before = rss(pid);

    h2_subs_connect(subs, port, CONNS, STREAMS);
    net_wait(SETTLE);
    return (rss(pid) - before) / CONNS;
}

static double stock(const target_t *target)
{
    pid_t pid = only_child(target->stock);
    h2_subs_t subs = {0};
    double each;

    warm_up(target->stock_port, 0);
    each = connections(&subs, pid, target->stock_port);
    h2_subs_close(&subs);
    net_wait(SEC);
    return each;
}

static void pages(const target_t *target)
{
    samples_t times = {0};
    uint64_t begin;
    h2_t h2;
    int i;

    for (i = 0; i < PAGES; ++i) {
        begin = now_ns();
        if (!h2_open(&h2, target->tls_port, H2_STREAM_WINDOW)) {
            die("no TLS handshake");
        }
        h2_page(&h2, "/small.txt");
        samples_add(&times, (double)(now_ns() - begin) / MSEC);
        h2_close(&h2);
    }
    figure("a new connection and a page, median", samples_at(&times, 0.5),
           "ms");
    figure("the slowest of 200", samples_at(&times, 1), "ms");
    samples_free(&times);
}

static void tell_threads(const target_t *target, pid_t pid, long without)
{
    figure("threads in the child, no stream", (double)without, "");
    figure_most("threads in the child, all streams",
                (double)proc_value(pid, "status", "Threads"), "",
                (double)without);
    figure_most("threads held by streams, by sse-status",
                (double)h2_ask(target, "/status", "\"threads\":"), "", 0);
    /* The one that answers is busy. */
    figure_most("threads busy, by server-status",
                (double)h2_ask(target, "/server-status?auto", "BusyWorkers: "),
                "", 1);
}

/* Until nothing of them is left. */
static void tell_closing(h2_subs_t *subs, pid_t pid, int descriptors)
{
    proc_children_t child = {{pid}, 1};
    uint64_t begin = now_ns(), cpu = proc_cpu(&child);

    h2_subs_close(subs);
    while (proc_descriptors(pid) > descriptors &&
           now_ns() < begin + BACK_TIMEOUT) {
        net_wait(20 * MSEC);
    }
    figure_most("close until descriptors as before",
                (double)(now_ns() - begin) / SEC, "s", 3);
    figure("the server's CPU meanwhile", (double)(proc_cpu(&child) - cpu) / SEC,
           "s");
}

static int open_more(h2_subs_t *subs, int more)
{
    int all = (subs->per + more) * subs->n;
    int open = h2_subs_open(subs, more, path);

    if (open < all) {
        figure_least("streams that are open", open, "", all);
        figure("streams that the server has ended", subs->gone, "");
    }
    net_wait(SETTLE);
    return open == all;
}

void scenario_h2_idle(const target_t *target)
{
    pid_t pid = only_child(target->parent);
    h2_subs_t subs = {0};
    double of_stock, idle, with_one, with_all;
    long threads;
    int descriptors;

    figures_of("h2_idle", "5,000 streams on 1,000 TLS connections, one child "
                          "of 32 threads");
    of_stock = stock(target);
    warm_up(target->tls_port, 1);
    descriptors = proc_descriptors(pid);
    idle = connections(&subs, pid, target->tls_port);
    threads = proc_value(pid, "status", "Threads");
    with_one = rss(pid);
    if (open_more(&subs, 1)) {
        with_one = rss(pid) - with_one;
        with_all = rss(pid);
        if (open_more(&subs, STREAMS - 1)) {
            with_all = rss(pid) - with_all;
            figure("stock httpd, memory per idle connection", of_stock, "KB");
            figure("the same here", idle, "KB");
            figure_most("with one stream, against stock's idle one",
                        idle + with_one / CONNS - of_stock, "KB", 30);
            figure_most("each further stream", with_all / CONNS / (STREAMS - 1),
                        "KB", 30);
        }
    }
    tell_threads(target, pid, threads);
    figure("descriptors in the child", proc_descriptors(pid), "");
    figure_most("connections that the server has closed", h2_subs_closed(&subs),
                "", 0);
    pages(target);
    tell_closing(&subs, pid, descriptors);
}
