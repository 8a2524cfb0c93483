/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_members.c
 * Members: streams of which each has its own user, who come and go.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many wait for their heads at a time; httpd's accept queue holds more. */
#define OPENING_MAX  200
#define OPEN_TIMEOUT (30 * SEC)

person_t people[PEOPLE_MAX];
uint32_t people_n;

static void on_head(conn_t *conn)
{
    if (conn->status != 200) {
        die("a member was answered %d", conn->status);
    }
}

static const conn_events_t member_events = {on_head, NULL, NULL, NULL};

/* The status is there when the head is. */
static int has_opened(const member_t *member)
{
    return member->conn.status != 0;
}

static void come(crowd_t *crowd, member_t *member)
{
    char request[256];
    int len;

    if (people_n == PEOPLE_MAX) {
        die("more than %d members came", PEOPLE_MAX);
    }
    member->number = people_n++;
    people[member->number].crowd = crowd;
    people[member->number].came = now_ns();
    len = snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: localhost\r\n"
                   "Bench-User: %u\r\n\r\n",
                   crowd->path, member->number);
    net_open(&member->conn, &member_events, member);
    net_send(&member->conn, request, (size_t)len);
    if (member->conn.out_len) {
        die("a GET was not sent in one piece");
    }
    ++crowd->changes;
}

static void go(crowd_t *crowd, member_t *member)
{
    people[member->number].left = now_ns();
    net_close(&member->conn);
    ++crowd->changes;
}

void crowd_open(crowd_t *crowd, const char *path, int n)
{
    uint64_t until = now_ns() + OPEN_TIMEOUT;
    int i = 0, opened = 0;

    crowd->path = path;
    crowd->n = n;
    crowd->members = calloc((size_t)n, sizeof(*crowd->members));
    if (!crowd->members) {
        die("out of memory");
    }
    while (opened < n) {
        for (; i < n && i - opened < OPENING_MAX; ++i) {
            come(crowd, &crowd->members[i]);
        }
        net_turn(100);
        while (opened < i && has_opened(&crowd->members[opened])) {
            ++opened;
        }
        if (now_ns() > until) {
            die("only %d of %d members came", opened, n);
        }
    }
}

void crowd_change(crowd_t *crowd)
{
    member_t *member;

    do {
        member = &crowd->members[(int)(drand48() * crowd->n)];
        if (!has_opened(member)) {
            net_turn(0);
        }
    } while (!has_opened(member));
    go(crowd, member);
    come(crowd, member);
}

void crowd_close(crowd_t *crowd)
{
    int i;

    for (i = 0; i < crowd->n; ++i) {
        go(crowd, &crowd->members[i]);
    }
    free(crowd->members);
    crowd->members = NULL;
    crowd->n = 0;
}
