/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file soak_pubs.c
 * Publishers: numbered events with keys, at an even pace, repeated until they
 * are answered.
 */

#include "soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_TIMEOUT (5 * SEC)
#define GIVE_UP        (40 * SEC)
#define PAUSE          (50 * MSEC)
/* The part of answered events that is posted again. */
#define REPEATED 0.02

typedef struct {
    conn_t conn;
    int number;
    int busy;     /* with event n */
    int repeats;  /* it was answered before */
    int is_stuck; /* told */
    uint32_t n;
    uint64_t begun; /* event n */
    uint64_t until; /* the answer's time-out, or the pause's end if closed */
    uint64_t *ids;  /* by number */
    uint32_t room;
    int request_len;
    char request[600];
    size_t body_len;
    char body[256];
} publisher_t;

static struct {
    publisher_t *all;
    uint64_t begun, newest, published, answers, lost, timeouts, repeats, later;
    uint64_t slowest;
    char when[128]; /* that was */
} pubs;

/* -- Ids ------------------------------------------------------------------- */

uint64_t pubs_newest(void) { return pubs.newest; }

uint64_t pubs_origin(void) { return pubs.all[0].ids[0]; }

uint32_t pubs_last(int p) { return pubs.all[p].n; }

uint64_t pubs_id(int p, uint32_t n)
{
    return n < pubs.all[p].room ? pubs.all[p].ids[n] : 0;
}

void pubs_tell_id(int p, uint32_t n, uint64_t id, const char *who)
{
    uint64_t *known = &pubs.all[p].ids[n];

    if (!*known) {
        *known = id;
    }
    else if (*known != id) {
        wrong(WRONG_ID,
              "event %u of publisher %d (channel %d) has the id %llu, but %s "
              "tells %llu",
              n, p, p % soak.channels, (unsigned long long)*known, who,
              (unsigned long long)id);
    }
}

static void make_room(publisher_t *pub)
{
    uint32_t room = pub->room ? 2 * pub->room : 1024;

    if (pub->n + 1 < pub->room) {
        return;
    }
    pub->ids = realloc(pub->ids, room * sizeof(*pub->ids));
    if (!pub->ids) {
        die("out of memory");
    }
    memset(pub->ids + pub->room, 0, (room - pub->room) * sizeof(*pub->ids));
    pub->room = room;
}

/* -- Answers --------------------------------------------------------------- */

static void on_head(conn_t *conn)
{
    publisher_t *pub = conn->baton;

    pub->body_len = 0;
    pub->body[0] = '\0';
}

static void on_body(conn_t *conn, const char *bytes, size_t len)
{
    publisher_t *pub = conn->baton;
    size_t room = sizeof(pub->body) - 1 - pub->body_len;

    len = len < room ? len : room;
    memcpy(pub->body + pub->body_len, bytes, len);
    pub->body_len += len;
    pub->body[pub->body_len] = '\0';
}

static void post(publisher_t *pub);

static void try_later(publisher_t *pub)
{
    net_close(&pub->conn);
    pub->until = now_ns() + PAUSE;
}

static void is_answered(publisher_t *pub, uint64_t id)
{
    uint64_t now = now_ns();

    pubs_tell_id(pub->number, pub->n, id,
                 pub->repeats ? "the answer to a repetition" : "its answer");
    if (!pub->repeats) {
        ++pubs.answers;
        if (now - pub->begun > pubs.slowest) {
            pubs.slowest = now - pub->begun;
            snprintf(pubs.when, sizeof(pubs.when), "%s", acts_last());
        }
    }
    pubs.newest = id > pubs.newest ? id : pubs.newest;
    pub->busy = 0;
    if (!pub->repeats && drand48() < REPEATED) {
        ++pubs.repeats;
        pub->repeats = 1;
        pub->begun = now;
        post(pub);
    }
}

/* On a busy machine, a process that holds the store's lock may not run for a
 * moment. */
static int has_to_wait(const conn_t *conn, const char *body)
{
    return conn->status == 503 &&
           strstr(conn->head, "\r\nRetry-After: ") != NULL &&
           strstr(body, "has it locked; nothing was published") != NULL;
}

static void on_reply(conn_t *conn)
{
    publisher_t *pub = conn->baton;
    const char *id = strstr(pub->body, "\"id\":\"");

    if (!pub->busy) { /* httpd's 408 as it closes */
        net_close(conn);
    }
    else if (conn->status == 200 && id) {
        is_answered(pub, strtoull(id + 6, NULL, 10));
    }
    else if (has_to_wait(conn, pub->body)) {
        ++pubs.later;
        try_later(pub);
    }
    else {
        wrong(WRONG_PUBLISH,
              "event %u of publisher %d (channel %d) was answered %d %s",
              pub->n, pub->number, pub->number % soak.channels, conn->status,
              pub->body);
        try_later(pub);
    }
}

static void on_gone(conn_t *conn)
{
    publisher_t *pub = conn->baton;

    if (pub->busy) {
        ++pubs.lost;
        try_later(pub);
    }
}

/* -- Posts ----------------------------------------------------------------- */

static const conn_events_t pub_events = {on_head, on_body, on_reply, on_gone};

static void post(publisher_t *pub)
{
    pub->busy = 1;
    pub->until = now_ns() + ANSWER_TIMEOUT;
    if (pub->conn.fd < 0) {
        net_open(&pub->conn, &pub_events, pub);
    }
    net_send(&pub->conn, pub->request, (size_t)pub->request_len);
}

/* Numbers first; the rest only makes events differ in length. */
static void compose(publisher_t *pub)
{
    char body[256];
    int len = snprintf(body, sizeof(body), "%d %u %.*s", pub->number, pub->n,
                       (int)(drand48() * 100),
                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");

    pub->request_len = snprintf(
        pub->request, sizeof(pub->request),
        "POST /soak/%d HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: text/plain\r\nIdempotency-Key: %ld-%d-%u\r\n"
        "Content-Length: %d\r\n\r\n%s",
        pub->number % soak.channels, soak.seed, pub->number, pub->n, len, body);
}

static void publish(publisher_t *pub)
{
    compose(pub);
    pub->repeats = 0;
    pub->is_stuck = 0;
    pub->begun = now_ns();
    post(pub);
}

static void look_after(publisher_t *pub, uint64_t now)
{
    if (!pub->busy || now < pub->until) {
        return;
    }
    if (now - pub->begun > GIVE_UP && !pub->is_stuck) {
        pub->is_stuck = 1;
        wrong(WRONG_PUBLISH, "event %u of publisher %d is not answered in %d s",
              pub->n, pub->number, (int)(GIVE_UP / SEC));
    }
    if (pub->conn.fd >= 0) {
        ++pubs.timeouts;
        net_close(&pub->conn);
    }
    post(pub);
}

static uint64_t all_events(void)
{
    return (uint64_t)soak.seconds * (uint64_t)soak.rate;
}

static uint64_t due(uint64_t now)
{
    uint64_t n = (now - pubs.begun) * (uint64_t)soak.rate / SEC;

    return n < all_events() ? n : all_events();
}

/* All are busy: the next turn makes up for it. */
static publisher_t *next_idle(void)
{
    int from = (int)(drand48() * soak.pubs), i;

    for (i = 0; i < soak.pubs; ++i) {
        publisher_t *pub = &pubs.all[(from + i) % soak.pubs];

        if (!pub->busy) {
            return pub;
        }
    }
    return NULL;
}

void pubs_turn(uint64_t now, int is_over)
{
    uint64_t until = is_over ? all_events() : due(now);
    publisher_t *pub;
    int i;

    for (i = 0; i < soak.pubs; ++i) {
        look_after(&pubs.all[i], now);
    }
    while (pubs.published < until && (pub = next_idle()) != NULL) {
        ++pub->n;
        ++pubs.published;
        make_room(pub);
        publish(pub);
    }
}

int pubs_are_done(void)
{
    int i;

    for (i = 0; i < soak.pubs; ++i) {
        if (pubs.all[i].busy) {
            return 0;
        }
    }
    return pubs.published == all_events();
}

/* Number 0 of publisher 0 is what everybody's beginning can come after. */
void pubs_start(void)
{
    uint64_t until = now_ns() + GIVE_UP, now;
    int i;

    pubs.all = calloc((size_t)soak.pubs, sizeof(*pubs.all));
    if (!pubs.all) {
        die("out of memory");
    }
    for (i = 0; i < soak.pubs; ++i) {
        pubs.all[i].number = i;
        pubs.all[i].conn.fd = -1;
        make_room(&pubs.all[i]);
    }
    publish(&pubs.all[0]);
    while (pubs.all[0].busy) {
        net_turn(10);
        now = now_ns();
        look_after(&pubs.all[0], now);
        if (now > until) {
            die("httpd does not answer");
        }
    }
    pubs.answers = 0;
    pubs.begun = now_ns();
}

void pubs_close(void)
{
    int i;

    for (i = 0; i < soak.pubs; ++i) {
        net_close(&pubs.all[i].conn);
    }
}

void check_pubs(void)
{
    int i, unknown = 0;
    uint32_t n;

    for (i = 0; i < soak.pubs; ++i) {
        for (n = 1; n <= pubs.all[i].n; ++n) {
            unknown += !pubs.all[i].ids[n];
        }
    }
    printf("# slowest answer %.0f ms, %s; broken connections %llu, time-outs "
           "%llu, asked to wait as the store was locked %llu, "
           "events posted again after their answer %llu\n",
           (double)pubs.slowest / MSEC, pubs.when,
           (unsigned long long)pubs.lost, (unsigned long long)pubs.timeouts,
           (unsigned long long)pubs.later, (unsigned long long)pubs.repeats);
    check(pubs_are_done() && !unknown, "all %llu events were answered (%llu)",
          (unsigned long long)pubs.published, (unsigned long long)pubs.answers);
    check(!wrong_count(WRONG_PUBLISH), "no publishing was refused (%d were)",
          wrong_count(WRONG_PUBLISH));
    check(!wrong_count(WRONG_ID) && pubs.repeats > 0,
          "an event has one id, also when it is posted again (%d have two)",
          wrong_count(WRONG_ID));
}
