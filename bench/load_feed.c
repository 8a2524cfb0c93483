/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_feed.c
 * Scenarios "long": one stream's million events at constant memory; and
 * "resume": a client that comes back and has missed 10,000.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_EVENTS 1000000
#define LONG_MARK   200000
#define BATCH       1000
#define AHEAD_MAX   3000

#define RESUME_EVENTS 10000
#define RESUMES       20
#define LIVE          10

/* -- long ------------------------------------------------------------------ */

static void mark(pid_t pid, const subs_t *subs)
{
    char what[64];

    snprintf(what, sizeof(what), "anonymous memory after %llu events",
             (unsigned long long)subs->events);
    figure(what, (double)proc_value(pid, "status", "RssAnon") / 1024, "MB");
}

static void feed(pub_t *pub, subs_t *subs, pid_t pid)
{
    uint64_t marked = LONG_MARK, posted = 0;
    uint64_t until = now_ns() + 60 * SEC;

    while (subs->events < LONG_EVENTS) {
        if (!pub->busy && posted < LONG_EVENTS &&
            posted < subs->events + AHEAD_MAX) {
            pub_post(pub);
            posted += BATCH;
        }
        net_turn(100);
        if (subs->events >= marked) {
            mark(pid, subs);
            marked += LONG_MARK;
        }
        if (now_ns() > until) {
            die("only %llu of %d events came in 60 s",
                (unsigned long long)subs->events, LONG_EVENTS);
        }
    }
}

void scenario_long(const target_t *target)
{
    proc_children_t children;
    subs_t subs = {0};
    uint64_t begin, ns;
    size_t len;
    char *body = pub_batch(BATCH, &len);
    pub_t pub;

    figures_of("long", "one stream, 1,000,000 events in batches of 1,000");
    proc_children(target->parent, &children);
    subs_open(&subs, 1, "/events/long", "");
    pub_open(&pub, "/events/long", "text/event-stream", body, len);
    net_wait(300 * MSEC);
    mark(children.pids[0], &subs);
    begin = now_ns();
    feed(&pub, &subs, children.pids[0]);
    ns = now_ns() - begin;
    figure("published, kept and delivered",
           (double)LONG_EVENTS * SEC / (double)ns, "/s");
    figure_most("gaps told, streams closed", (double)subs.gaps + subs.gone, "",
                0);
    pub_close(&pub);
    subs_close(&subs);
    free(body);
}

/* -- resume ---------------------------------------------------------------- */

/* The id in {"channel":"...","id":"17"}, as a header line. */
static void id_field(const pub_t *pub, char *field, size_t size)
{
    const char *id = strstr(pub->body, "\"id\":\"");

    if (!id) {
        die("an answer without an id: %s", pub->body);
    }
    id += 6;
    snprintf(field, size, "Last-Event-ID: %.*s\r\n", (int)strcspn(id, "\""),
             id);
}

/* @return the header line with which 10,000 events are missed */
static void publish_kept(char *field, size_t size)
{
    size_t len;
    char *body = pub_batch(BATCH, &len);
    pub_t pub;
    int i;

    pub_open(&pub, "/kept/resume", "text/plain", "first", 5);
    pub_post_wait(&pub);
    id_field(&pub, field, size);
    pub_close(&pub);
    pub_open(&pub, "/kept/resume", "text/event-stream", body, len);
    for (i = 0; i < RESUME_EVENTS / BATCH; ++i) {
        pub_post_wait(&pub);
    }
    pub_close(&pub);
    free(body);
}

static void resume(const char *field, samples_t *first, samples_t *all)
{
    uint64_t begin = now_ns();
    subs_t subs = {0};

    subs_open(&subs, 1, "/kept/resume", field);
    if (!subs_await(&subs, RESUME_EVENTS, 10 * SEC)) {
        die("only %llu of %d missed events came",
            (unsigned long long)subs.events, RESUME_EVENTS);
    }
    samples_add(first, (double)(subs.subs[0].first - begin) / MSEC);
    samples_add(all, (double)(subs.subs[0].conn.received - begin) / MSEC);
    net_wait(20 * MSEC);
    if (subs.events != RESUME_EVENTS || subs.gaps) {
        die("a resume brought %llu events and %llu gaps",
            (unsigned long long)subs.events, (unsigned long long)subs.gaps);
    }
    subs_close(&subs);
}

/* What others, who are live, notice of a resume: one round of POST and receipt
 * without, then one that is sent as soon as a resume has its head.  This client
 * reads both, so the second also waits for what it reads itself. */

static struct {
    uint64_t posted;
    samples_t *receipts;
} live;

static void on_live(sub_t *sub, uint64_t more)
{
    if (live.receipts) {
        samples_add(live.receipts,
                    (double)(sub->conn.received - live.posted) / MSEC);
    }
}

static void live_round(pub_t *pub, subs_t *subs, samples_t *receipts)
{
    uint64_t all = subs->events + (uint64_t)subs->n;

    live.receipts = receipts;
    live.posted = now_ns();
    pub_post_wait(pub);
    if (!subs_await(subs, all, 5 * SEC)) {
        die("an event did not come");
    }
    live.receipts = NULL;
}

static void beside(const char *field)
{
    samples_t without = {0}, with = {0};
    subs_t others = {0}, subs = {0};
    pub_t pub;
    int i;

    others.on_events = on_live;
    subs_open(&others, LIVE, "/events/live", "");
    pub_open(&pub, "/events/live", "text/plain", "0123456789abcdef", 16);
    for (i = 0; i < RESUMES; ++i) {
        net_wait(20 * MSEC);
        live_round(&pub, &others, i ? &without : NULL);
        net_wait(20 * MSEC);
        memset(&subs, 0, sizeof(subs));
        subs_open(&subs, 1, "/kept/resume", field);
        live_round(&pub, &others, i ? &with : NULL);
        if (!subs_await(&subs, RESUME_EVENTS, 10 * SEC)) {
            die("a resume beside others is not complete");
        }
        subs_close(&subs);
    }
    figure("others' receipt without a resume, median",
           samples_at(&without, 0.5), "ms");
    figure("others' receipt during one, median", samples_at(&with, 0.5), "ms");
    figure("others' receipt during one, slowest", samples_at(&with, 1), "ms");
    pub_close(&pub);
    subs_close(&others);
    samples_free(&without);
    samples_free(&with);
}

void scenario_resume(const target_t *target)
{
    samples_t first = {0}, all = {0};
    char field[64];
    int i;

    figures_of("resume", "10,000 kept events, 20 times, from connect()");
    publish_kept(field, sizeof(field));
    for (i = 0; i < RESUMES; ++i) {
        resume(field, &first, &all);
    }
    figure_most("first event, median", samples_at(&first, 0.5), "ms", 5);
    figure("first event, slowest", samples_at(&first, 1), "ms");
    figure("all events, median", samples_at(&all, 0.5), "ms");
    figure("all events, slowest", samples_at(&all, 1), "ms");
    figure("events while resuming",
           RESUME_EVENTS / samples_at(&all, 0.5) * 1000, "/s");
    samples_free(&first);
    samples_free(&all);
    beside(field);
}
