/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_subs.c
 * Subscribers: many streams that count their events.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many wait for their heads at a time; httpd's accept queue holds more. */
#define OPENING_MAX  200
#define OPEN_TIMEOUT (30 * SEC)

/* A block that begins with "id" is an event of the store; nobody here publishes
 * one with a type, so one with "event" is the module's own word that some are
 * missing; "retry" and comments are neither. */
static uint64_t block_is_whole(block_t *block, uint64_t *gaps)
{
    char kind = block->kind;

    block->kind = 0;
    *gaps += kind == 'e';
    return kind == 'i';
}

uint64_t block_scan(block_t *block, const char *p, const char *end,
                    uint64_t *gaps)
{
    uint64_t events = 0;

    while (p < end) {
        if (!block->inside) {
            if (*p == '\n') {
                events += block_is_whole(block, gaps);
                ++p;
                continue;
            }
            if (!block->kind || *p == 'e') {
                block->kind = *p;
            }
            block->inside = 1;
        }
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p) {
            break;
        }
        block->inside = 0;
        ++p;
    }
    return events;
}

static void on_body(conn_t *conn, const char *bytes, size_t len)
{
    sub_t *sub = conn->baton;
    uint64_t more =
        block_scan(&sub->block, bytes, bytes + len, &sub->all->gaps);

    if (!more) {
        return;
    }
    if (!sub->events) {
        sub->first = conn->received;
    }
    sub->events += more;
    sub->all->events += more;
    if (sub->all->on_events) {
        sub->all->on_events(sub, more);
    }
}

static void on_head(conn_t *conn)
{
    sub_t *sub = conn->baton;

    if (conn->status != 200) {
        die("a subscriber was answered %d", conn->status);
    }
    ++sub->all->open;
}

static void on_gone(conn_t *conn)
{
    sub_t *sub = conn->baton;

    ++sub->all->gone;
}

static void on_reply(conn_t *conn)
{
    net_close(conn);
    on_gone(conn);
}

static const conn_events_t sub_events = {on_head, on_body, on_reply, on_gone};

static int write_request(char *to, size_t size, const char *path, int i,
                         const char *fields)
{
    char number[16] = "";

    if (path[strlen(path) - 1] == '/') {
        snprintf(number, sizeof(number), "%d", i);
    }
    return snprintf(to, size, "GET %s%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
                    path, number, fields);
}

void subs_open(subs_t *subs, int n, const char *path, const char *fields)
{
    uint64_t until = now_ns() + OPEN_TIMEOUT;
    char request[512];
    int len, i = 0;

    subs->subs = calloc((size_t)n, sizeof(*subs->subs));
    if (!subs->subs) {
        die("out of memory");
    }
    subs->n = n;
    while (subs->open < n) {
        for (; i < n && i - subs->open < OPENING_MAX; ++i) {
            sub_t *sub = &subs->subs[i];

            sub->all = subs;
            len = write_request(request, sizeof(request), path, i, fields);
            net_open(&sub->conn, &sub_events, sub);
            net_send(&sub->conn, request, (size_t)len);
            if (sub->conn.out_len) {
                die("a GET was not sent in one piece");
            }
        }
        net_turn(100);
        if (subs->gone || now_ns() > until) {
            die("only %d of %d streams opened (%d closed by the server)",
                subs->open, n, subs->gone);
        }
    }
}

void subs_close(subs_t *subs)
{
    int i;

    for (i = 0; i < subs->n; ++i) {
        net_close(&subs->subs[i].conn);
    }
    free(subs->subs);
    memset(subs, 0, sizeof(*subs));
}

int subs_await(subs_t *subs, uint64_t events, uint64_t timeout)
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
