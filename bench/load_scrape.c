/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_scrape.c
 * Scenario "scrape": what it costs to be asked for all numbers, with many
 * streams and channels, and whether the loop is held up meanwhile.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS 10000
#define SCRAPES 200
#define PAUSE   (5 * MSEC)
#define TIMEOUT (10 * SEC)

/* "modsse_loop_lag_seconds_bucket{le="0.001"} 7", from the least on. */
#define BUCKET     "modsse_loop_lag_seconds_bucket{le=\""
#define BOUNDS_MAX 64

/** One request at a time, on one connection. */
typedef struct {
    conn_t conn;
    int busy;
    char request[256];
    char *body; /* of the last answer; malloc'ed */
    size_t len, size;
} asker_t;

/** How many of the loop's turns took at most so long. */
typedef struct {
    int n;
    double bounds[BOUNDS_MAX]; /* ms; the last one: 0, there is none */
    double turns[BOUNDS_MAX];
} lag_t;

/* -- Asking ---------------------------------------------------------------- */

static void on_head(conn_t *conn) { ((asker_t *)conn->baton)->len = 0; }

static void on_body(conn_t *conn, const char *bytes, size_t len)
{
    asker_t *asker = conn->baton;

    if (asker->len + len + 1 > asker->size) {
        asker->size = (asker->len + len + 1) * 2;
        asker->body = realloc(asker->body, asker->size);
        if (!asker->body) {
            die("out of memory");
        }
    }
    memcpy(asker->body + asker->len, bytes, len);
    asker->len += len;
    asker->body[asker->len] = '\0';
}

static void on_reply(conn_t *conn)
{
    asker_t *asker = conn->baton;

    if (conn->status != 200) {
        die("%.60s was answered %d", asker->request, conn->status);
    }
    asker->busy = 0;
}

static const conn_events_t events = {on_head, on_body, on_reply, NULL};

static void ask(asker_t *asker)
{
    uint64_t until = now_ns() + TIMEOUT;

    asker->busy = 1;
    net_send(&asker->conn, asker->request, strlen(asker->request));
    while (asker->busy) {
        net_turn(100);
        if (now_ns() > until) {
            die("%.60s was not answered", asker->request);
        }
    }
}

static void ask_for(asker_t *asker, const char *path)
{
    snprintf(asker->request, sizeof(asker->request),
             "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    ask(asker);
}

static void publish(asker_t *asker, int channel)
{
    snprintf(asker->request, sizeof(asker->request),
             "POST /events/scrape/%d HTTP/1.1\r\nHost: localhost\r\n"
             "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
             channel);
    ask(asker);
}

/* -- What the loop says ---------------------------------------------------- */

static void read_lag(asker_t *asker, lag_t *lag)
{
    const char *at;
    char *end;

    ask_for(asker, "/status?format=metrics");
    memset(lag, 0, sizeof(*lag));
    at = asker->body;
    while ((at = strstr(at, BUCKET)) != NULL && lag->n < BOUNDS_MAX) {
        at += strlen(BUCKET);
        lag->bounds[lag->n] = *at == '+' ? 0 : strtod(at, NULL) * 1000;
        at = strchr(at, ' ');
        if (!at) {
            break;
        }
        lag->turns[lag->n++] = strtod(at, &end);
        at = end;
    }
    if (lag->n < 2) {
        die("the status has no histogram of the loop's turns");
    }
}

static double turns(const lag_t *from, const lag_t *to, int i)
{
    double upto = to->turns[i] - from->turns[i];

    return i ? upto - (to->turns[i - 1] - from->turns[i - 1]) : upto;
}

/* The bound of the longest one. */
static void tell_lag(const lag_t *from, const lag_t *to, const char *what)
{
    int i = to->n - 1;

    while (i && turns(from, to, i) < 1) {
        --i;
    }
    if (!to->bounds[i]) {
        remark("%s: beyond all bounds", what);
        return;
    }
    figure_most(what, to->bounds[i], "ms", 1);
}

/* -- Measuring ------------------------------------------------------------- */

static double cpu_of(const proc_children_t *children, asker_t *asker,
                     const char *path)
{
    uint64_t cpu;
    int i;

    ask_for(asker, path);
    cpu = proc_cpu(children);
    for (i = 0; i < SCRAPES; ++i) {
        ask_for(asker, path);
        net_wait(PAUSE);
    }
    return (double)(proc_cpu(children) - cpu) / SCRAPES / 1000;
}

static void scrape(const proc_children_t *children, asker_t *asker,
                   const char *path)
{
    lag_t from, to;
    double usec;

    read_lag(asker, &from);
    usec = cpu_of(children, asker, path);
    read_lag(asker, &to);
    ask_for(asker, path);
    remark("%s:", path);
    figure("its size", (double)asker->len / 1024, "KB");
    figure_most("CPU for one", usec, "us", 2000);
    tell_lag(&from, &to, "the loop's longest turn meanwhile, at most");
}

void scenario_scrape(const target_t *target)
{
    static const char *const paths[] = {
        "/status?format=metrics", "/status?format=json", "/status?format=html"};
    proc_children_t children;
    asker_t asker = {0};
    subs_t subs = {0};
    lag_t from, to;
    size_t i;

    figures_of("scrape", "10,000 streams of 10,000 channels in one child");
    proc_children(target->parent, &children);
    net_open(&asker.conn, &events, &asker);
    subs_open(&subs, STREAMS, "/events/scrape/", "");
    for (i = 0; i < STREAMS; ++i) {
        publish(&asker, (int)i);
    }
    if (!subs_await(&subs, STREAMS, TIMEOUT)) {
        die("not every stream has had its event");
    }
    net_wait(SEC);
    figure("CPU for a request that asks for nothing",
           cpu_of(&children, &asker, "/floor"), "us");
    read_lag(&asker, &from);
    net_wait(SEC);
    read_lag(&asker, &to);
    tell_lag(&from, &to, "the loop's longest turn without any, at most");
    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); ++i) {
        scrape(&children, &asker, paths[i]);
    }
    subs_close(&subs);
    net_wait(3 * SEC); /* the server has many ends to see to */
    net_close(&asker.conn);
    free(asker.body);
}
