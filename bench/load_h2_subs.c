/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_h2_subs.c
 * Subscribers over HTTP/2: many connections, several streams on each.
 */

#include "load_h2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many wait for their heads at a time.  With more than it has threads httpd
 * closes connections that have nothing to do. */
#define OPENING_MAX 6
#define STANDSTILL  (5 * SEC)

/* -- One stream ------------------------------------------------------------ */

static void on_head(h2_stream_t *stream)
{
    h2_sub_t *sub = (h2_sub_t *)stream;

    if (stream->status != 200) {
        die("a subscriber was answered otherwise than 200");
    }
    ++sub->all->open;
}

static void on_data(h2_stream_t *stream, const char *bytes, size_t len)
{
    h2_sub_t *sub = (h2_sub_t *)stream;
    uint64_t more =
        block_scan(&sub->block, bytes, bytes + len, &sub->all->gaps);

    sub->events += more;
    sub->all->events += more;
    if (more && sub->all->on_events) {
        sub->all->on_events(sub, more);
    }
}

static void on_over(h2_stream_t *stream)
{
    h2_sub_t *sub = (h2_sub_t *)stream;

    sub->all->open -= stream->status != 0;
    ++sub->all->gone;
}

static const h2_events_t sub_events = {on_head, on_data, on_over};

/* "Bench-Stream" says which one a close is of. */
void h2_sub_open(h2_t *h2, h2_sub_t *sub, h2_subs_t *all, const char *path,
                 int i)
{
    static const char accept[] = "accept\0text/event-stream\0bench-stream";
    char fields[sizeof(accept) + sizeof(sub->number) + 1] = {0};

    memcpy(fields, accept, sizeof(accept));
    sub->all = all;
    snprintf(sub->number, sizeof(sub->number), "%d", i + 1);
    memcpy(fields + sizeof(accept), sub->number, strlen(sub->number));
    h2_get(h2, &sub->stream, &sub_events, path, fields);
}

/* -- All ------------------------------------------------------------------- */

/* It may have been closed since: see OPENING_MAX. */
static void connect_one(h2_t *h2, int port)
{
    if (!h2_open(h2, port, H2_STREAM_WINDOW)) {
        die("a TLS connection was not accepted");
    }
    h2_page(h2, "/small.txt");
}

void h2_subs_connect(h2_subs_t *subs, int port, int n, int most)
{
    int i;

    subs->conns = calloc((size_t)n, sizeof(*subs->conns));
    subs->subs = calloc((size_t)n * (size_t)most, sizeof(*subs->subs));
    if (!subs->conns || !subs->subs) {
        die("out of memory");
    }
    for (subs->n = 0; subs->n < n; ++subs->n) {
        connect_one(&subs->conns[subs->n], port);
    }
    for (i = 0; i < n; ++i) {
        if (subs->conns[i].conn.fd < 0) {
            h2_close(&subs->conns[i]);
            connect_one(&subs->conns[i], port);
        }
    }
}

/* @return 0: nothing moves any more */
static int await_open(h2_subs_t *subs, int n)
{
    uint64_t until = now_ns() + STANDSTILL;
    int open = subs->open;

    while (subs->open + subs->gone < n) {
        net_turn(100);
        if (subs->open != open) {
            open = subs->open;
            until = now_ns() + STANDSTILL;
        }
        else if (now_ns() > until) {
            return 0;
        }
    }
    return 1;
}

int h2_subs_open(h2_subs_t *subs, int more, const char *path)
{
    int first = subs->per * subs->n, i;

    subs->per += more;
    for (i = first; i < subs->per * subs->n; ++i) {
        h2_sub_open(&subs->conns[i % subs->n], &subs->subs[i], subs, path, i);
        if (!await_open(subs, i + 1 - OPENING_MAX)) {
            return subs->open;
        }
    }
    await_open(subs, subs->per * subs->n);
    return subs->open;
}

void h2_subs_close(h2_subs_t *subs)
{
    int i;

    for (i = 0; i < subs->n; ++i) {
        h2_close(&subs->conns[i]);
    }
    free(subs->conns);
    free(subs->subs);
    memset(subs, 0, sizeof(*subs));
}

int h2_subs_closed(const h2_subs_t *subs)
{
    int i, n = 0;

    for (i = 0; i < subs->n; ++i) {
        n += subs->conns[i].conn.fd < 0;
    }
    return n;
}

int h2_subs_await(h2_subs_t *subs, uint64_t events, uint64_t timeout)
{
    uint64_t until = now_ns() + timeout;

    while (subs->events < events) {
        if (now_ns() > until) {
            return 0;
        }
        net_turn(100);
    }
    return 1;
}
