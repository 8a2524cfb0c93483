/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_watch.c
 * Followers of ?presence, who compare what they are told with what is so.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT (20 * SEC)
#define USER    "\"user\":\""

/* What a follower knows of a member. */
enum { UNKNOWN, PRESENT, ABSENT };

/* -- What is told ---------------------------------------------------------- */

static void take_user(watch_t *watch, uint32_t number)
{
    int joins = watch->kind != 'l';
    const person_t *person = &people[number];
    samples_t *samples;
    uint64_t since;

    if (number >= people_n || person->crowd != watch->crowd ||
        watch->seen[number] != (joins ? UNKNOWN : PRESENT)) {
        die("a follower was told of %s of %u, which is wrong or the second "
            "time",
            joins ? "the coming" : "the leaving", number);
    }
    watch->seen[number] = joins ? PRESENT : ABSENT;
    if (watch->kind == 'p') {
        return;
    }
    ++watch->told;
    samples = joins ? watch->joins : watch->leaves;
    since = joins ? person->came : person->left;
    if (!since) {
        die("a follower was told that %u has left, who is there", number);
    }
    if (samples) {
        samples_add(samples, (double)(watch->conn.received - since) / MSEC);
    }
}

/* Whose user each "user":"NUMBER" names. */
static void take_data(watch_t *watch, const char *p, const char *end)
{
    uint32_t number;

    while ((p = memmem(p, (size_t)(end - p), USER, sizeof(USER) - 1)) != NULL) {
        p += sizeof(USER) - 1;
        for (number = 0; p < end && *p >= '0' && *p <= '9'; ++p) {
            number = number * 10 + (uint32_t)(*p - '0');
        }
        take_user(watch, number);
    }
}

static void take_line(watch_t *watch, const char *line, size_t len)
{
    if (len > 7 && !memcmp(line, "event: ", 7)) {
        watch->kind = line[7];
        if (!strchr("pjl", watch->kind)) {
            die("a follower was told %.*s", (int)len, line);
        }
    }
    else if (len > 6 && !memcmp(line, "data: ", 6)) {
        take_data(watch, line + 6, line + len);
        if (watch->kind == 'p') {
            watch->listed = watch->conn.received;
            watch->snapshot = len - 6;
        }
    }
}

static void keep(watch_t *watch, const char *bytes, size_t len)
{
    if (watch->len + len > watch->size) {
        watch->size = 2 * (watch->len + len);
        watch->line = realloc(watch->line, watch->size);
        if (!watch->line) {
            die("out of memory");
        }
    }
    memcpy(watch->line + watch->len, bytes, len);
    watch->len += len;
}

/* A line that has come in one piece is not copied. */
static void on_body(conn_t *conn, const char *p, size_t len)
{
    watch_t *watch = conn->baton;
    const char *end = p + len, *nl;

    ++watch->reads;
    while (p < end && (nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        if (watch->len) {
            keep(watch, p, (size_t)(nl - p));
            take_line(watch, watch->line, watch->len);
            watch->len = 0;
        }
        else {
            take_line(watch, p, (size_t)(nl - p));
        }
        p = nl + 1;
    }
    if (p < end) {
        keep(watch, p, (size_t)(end - p));
    }
}

static void on_head(conn_t *conn)
{
    if (conn->status != 200) {
        die("a follower of ?presence was answered %d", conn->status);
    }
}

static const conn_events_t watch_events = {on_head, on_body, NULL, NULL};

/* -- Following ------------------------------------------------------------- */

void watch_open(watch_t *watch, const crowd_t *crowd)
{
    char request[256];
    int len;

    memset(watch, 0, sizeof(*watch));
    watch->crowd = crowd;
    watch->before = crowd->changes;
    watch->seen = calloc(PEOPLE_MAX, 1);
    if (!watch->seen) {
        die("out of memory");
    }
    len = snprintf(request, sizeof(request),
                   "GET %s?presence HTTP/1.1\r\nHost: localhost\r\n\r\n",
                   crowd->path);
    watch->begun = now_ns();
    net_open(&watch->conn, &watch_events, watch);
    net_send(&watch->conn, request, (size_t)len);
    if (watch->conn.out_len) {
        die("a GET was not sent in one piece");
    }
    while (!watch->listed) {
        net_turn(100);
        if (now_ns() > watch->begun + TIMEOUT) {
            die("a follower of ?presence has no snapshot");
        }
    }
}

void watch_await(const watch_t *watch)
{
    uint64_t until = now_ns() + TIMEOUT;
    uint64_t all = watch->crowd->changes - watch->before;

    while (watch->told < all) {
        net_turn(100);
        if (now_ns() > until) {
            die("a follower was told of %llu changes of %llu",
                (unsigned long long)watch->told, (unsigned long long)all);
        }
    }
}

void watch_check(const watch_t *watch)
{
    uint32_t i;
    int is_there;

    for (i = 0; i < people_n; ++i) {
        is_there = people[i].crowd == watch->crowd && !people[i].left;
        if (is_there != (watch->seen[i] == PRESENT)) {
            die("a follower is wrong about %u, who is %s", i,
                is_there ? "there" : "not there");
        }
    }
}

void watch_close(watch_t *watch)
{
    net_close(&watch->conn);
    free(watch->seen);
    free(watch->line);
    memset(watch, 0, sizeof(*watch));
}
