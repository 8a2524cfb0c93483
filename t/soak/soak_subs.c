/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file soak_subs.c
 * Subscribers that come and go, resume with their Last-Event-ID, and check
 * every event when it comes.
 */

#include "soak.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* httpd's accept queue holds more. */
#define ASKING_MAX 400
/* A head must come within so long, and then something (SSEHeartbeat is 5 s). */
#define PATIENCE (20 * SEC)
#define STAY     (10.0 * SEC)
#define AWAY     (1.0 * SEC)
#define FIRST    (2.0 * SEC)
#define WIDE     (-1)

typedef enum {
    SUB_AWAY,   /**< comes at "until" */
    SUB_ASKING, /**< waits for its head */
    SUB_OPEN    /**< leaves at "until" */
} sub_state_e;

typedef struct {
    conn_t conn;
    int number;
    int channel; /**< or WIDE */
    sub_state_e state;
    uint64_t until;
    uint64_t heard; /**< when it asked, or when the last bytes came */
    uint64_t start; /**< the id that it first came with; 0: never came yet */
    uint64_t last;  /**< its Last-Event-ID */
    uint64_t events;
    uint32_t opens; /**< streams so far */
    int has_come;   /**< one of them has opened */
    uint32_t retry; /**< ms */
    uint32_t *next; /**< by publisher: the number to come; 0: any yet */
    uint64_t id;    /**< of the block being read; 0: none */
    int is_gap;     /**< the block is an sse-gap */
    int has_data;
    int publisher;
    uint32_t n;
    size_t line_len; /**< what is more than fits is not kept */
    char line[160];
    char request[160];
} watcher_t;

static struct {
    watcher_t *all;
    int n; /* the auditor included, once it has come */
    int asking;
    uint64_t events, opens, left, ended;
} watchers;

/* -- Who ------------------------------------------------------------------- */

static const char *who(const watcher_t *sub)
{
    static char text[160];
    char channel[24] = "all channels";

    if (sub->channel != WIDE) {
        snprintf(channel, sizeof(channel), "channel %d", sub->channel);
    }
    snprintf(text, sizeof(text),
             "subscriber %d%s (%s, stream %u, from port %u, after id %llu)",
             sub->number, sub->number == soak.subs ? ", the auditor" : "",
             channel, sub->opens, (unsigned)__builtin_bswap16(sub->conn.port),
             (unsigned long long)sub->last);
    return text;
}

static int has_channel(const watcher_t *sub, int p)
{
    return sub->channel == WIDE || sub->channel == p % soak.channels;
}

/* -- Events ---------------------------------------------------------------- */

/* Events of publisher p that are not after the subscriber's first id are none
 * of its own: a publisher's ids grow, so the one before n tells. */
static int may_begin_with(const watcher_t *sub, int p, uint32_t n)
{
    return n == 1 || (pubs_id(p, n - 1) && pubs_id(p, n - 1) <= sub->start);
}

static void check_number(watcher_t *sub, int p, uint32_t n)
{
    uint32_t next = sub->next[p];

    if (!next && !may_begin_with(sub, p, n)) {
        wrong(WRONG_MISSED, "%s began with %u of publisher %d, not before",
              who(sub), n, p);
    }
    else if (next && n < next) {
        wrong(WRONG_DOUBLED, "%s had %u of publisher %d again, id %llu, at %u",
              who(sub), n, p, (unsigned long long)sub->id, next);
        return;
    }
    else if (next && n > next) {
        wrong(WRONG_MISSED,
              "%s missed %u to %u of publisher %d, ids %llu to %llu", who(sub),
              next, n - 1, p, (unsigned long long)pubs_id(p, next),
              (unsigned long long)pubs_id(p, n - 1));
    }
    sub->next[p] = n + 1;
}

static void take_event(watcher_t *sub)
{
    int p = sub->publisher;

    if (!sub->has_data || p < 0 || p >= soak.pubs || !sub->n ||
        sub->n > pubs_last(p) || !has_channel(sub, p)) {
        wrong(WRONG_ORDER, "%s had what nobody published there, id %llu",
              who(sub), (unsigned long long)sub->id);
        return;
    }
    if (sub->id <= sub->last) {
        wrong(WRONG_ORDER, "%s had id %llu", who(sub),
              (unsigned long long)sub->id);
    }
    pubs_tell_id(p, sub->n, sub->id, who(sub));
    check_number(sub, p, sub->n);
    sub->last = sub->id;
    ++sub->events;
    ++watchers.events;
}

static void block_is_whole(watcher_t *sub)
{
    if (sub->id) {
        take_event(sub);
    }
    sub->id = 0;
    sub->is_gap = 0;
    sub->has_data = 0;
}

static void take_line(watcher_t *sub)
{
    char *line = sub->line, *end;

    line[sub->line_len] = '\0';
    if (!sub->line_len) {
        block_is_whole(sub);
    }
    else if (!strncmp(line, "id: ", 4)) {
        sub->id = strtoull(line + 4, NULL, 10);
    }
    else if (!strncmp(line, "retry: ", 7)) {
        sub->retry = (uint32_t)strtoul(line + 7, NULL, 10);
    }
    else if (!strcmp(line, "event: sse-gap")) {
        sub->is_gap = 1;
    }
    else if (!strncmp(line, "data: ", 6) && sub->is_gap) {
        wrong(WRONG_GAP, "%s was told of a gap: %s", who(sub), line + 6);
    }
    else if (!strncmp(line, "data: ", 6)) {
        sub->publisher = (int)strtol(line + 6, &end, 10);
        sub->n = (uint32_t)strtoul(end, NULL, 10);
        sub->has_data = 1;
    }
}

static void on_body(conn_t *conn, const char *p, size_t len)
{
    watcher_t *sub = conn->baton;
    const char *end = p + len, *nl;
    size_t room, more;

    sub->heard = conn->received;
    while (p < end) {
        nl = memchr(p, '\n', (size_t)(end - p));
        more = (size_t)((nl ? nl : end) - p);
        room = sizeof(sub->line) - 1 - sub->line_len;
        memcpy(sub->line + sub->line_len, p, more < room ? more : room);
        sub->line_len += more < room ? more : room;
        if (!nl) {
            return;
        }
        take_line(sub);
        sub->line_len = 0;
        p = nl + 1;
    }
}

/* -- Coming and going ------------------------------------------------------ */

static void go_away(watcher_t *sub, uint64_t time)
{
    net_close(&sub->conn);
    watchers.asking -= sub->state == SUB_ASKING;
    sub->state = SUB_AWAY;
    sub->until = now_ns() + time;
}

static uint64_t random_time(double mean)
{
    return (uint64_t)(-log(1 - drand48()) * mean);
}

static void on_head(conn_t *conn)
{
    watcher_t *sub = conn->baton;

    if (conn->status != 200) {
        wrong(WRONG_STREAM, "%s was answered %d", who(sub), conn->status);
        go_away(sub, SEC);
        return;
    }
    --watchers.asking;
    ++watchers.opens;
    sub->state = SUB_OPEN;
    sub->has_come = 1;
    sub->heard = conn->received;
    sub->until = sub->heard + random_time(STAY);
}

static void on_gone(conn_t *conn)
{
    watcher_t *sub = conn->baton;

    if (sub->state != SUB_AWAY) {
        ++watchers.ended;
        go_away(sub, sub->retry * MSEC);
    }
}

static const conn_events_t sub_events = {on_head, on_body, on_gone, on_gone};

static void come(watcher_t *sub, uint64_t now)
{
    char path[24] = "/soak-all";
    int len;

    if (!sub->start) {
        sub->start = sub->channel == WIDE ? pubs_origin() : pubs_newest();
        sub->last = sub->start;
    }
    if (sub->channel != WIDE) {
        snprintf(path, sizeof(path), "/soak/%d", sub->channel);
    }
    len = snprintf(sub->request, sizeof(sub->request),
                   "GET %s HTTP/1.1\r\nHost: localhost\r\n"
                   "Last-Event-ID: %llu\r\n\r\n",
                   path, (unsigned long long)sub->last);
    sub->line_len = 0; /* what was not whole is not an event */
    sub->id = 0;
    sub->is_gap = 0;
    sub->has_data = 0;
    sub->retry = 1000;
    ++sub->opens;
    ++watchers.asking;
    sub->state = SUB_ASKING;
    sub->heard = now;
    net_open(&sub->conn, &sub_events, sub);
    net_send(&sub->conn, sub->request, (size_t)len);
}

/* As a FIN or as a RST. */
static void leave(watcher_t *sub)
{
    struct linger at_once = {1, 0};

    if (drand48() < 0.5) {
        setsockopt(sub->conn.fd, SOL_SOCKET, SO_LINGER, &at_once,
                   sizeof(at_once));
    }
    ++watchers.left;
    go_away(sub, random_time(AWAY));
}

void watchers_turn(uint64_t now, int is_over)
{
    watcher_t *sub;
    int i;

    for (i = 0; i < watchers.n; ++i) {
        sub = &watchers.all[i];
        if (sub->state == SUB_AWAY) {
            if (now >= sub->until && watchers.asking < ASKING_MAX) {
                come(sub, now);
            }
        }
        else if (now > sub->heard + PATIENCE) {
            wrong(WRONG_STREAM, "%s heard nothing for %d s%s", who(sub),
                  (int)(PATIENCE / SEC),
                  sub->state == SUB_ASKING ? ", no head" : "");
            go_away(sub, 0);
        }
        else if (sub->state == SUB_OPEN && now >= sub->until && !is_over) {
            leave(sub);
        }
    }
}

static void prepare(watcher_t *sub, int number)
{
    sub->number = number;
    sub->conn.fd = -1;
    sub->channel = number < soak.wide || number == soak.subs
                       ? WIDE
                       : number % soak.channels;
    sub->next = calloc((size_t)soak.pubs, sizeof(*sub->next));
    if (!sub->next) {
        die("out of memory");
    }
}

void watchers_start(void)
{
    uint64_t now = now_ns();
    int i;

    watchers.all = calloc((size_t)soak.subs + 1, sizeof(*watchers.all));
    if (!watchers.all) {
        die("out of memory");
    }
    for (i = 0; i <= soak.subs; ++i) {
        prepare(&watchers.all[i], i);
        watchers.all[i].until = now + (uint64_t)(drand48() * FIRST);
    }
    watchers.n = soak.subs;
}

int watchers_have_come(void)
{
    int i;

    for (i = 0; i < watchers.n && watchers.all[i].has_come; ++i) {
    }
    return i == watchers.n;
}

void watchers_audit(void) { watchers.n = soak.subs + 1; }

void watchers_close(void)
{
    int i;

    for (i = 0; i < watchers.n; ++i) {
        go_away(&watchers.all[i], 0);
    }
}

/* -- The end --------------------------------------------------------------- */

/* @return the first number of publisher p that the subscriber has not had and
 * should have, or 0 */
static uint32_t lacks(const watcher_t *sub, int p)
{
    uint32_t last = pubs_last(p), n = sub->next[p];

    if (!last || !has_channel(sub, p)) {
        return 0;
    }
    if (n) {
        return n <= last ? n : 0;
    }
    for (n = last; n > 1 && pubs_id(p, n - 1) > sub->start; --n) {
    }
    return pubs_id(p, n) > sub->start ? n : 0;
}

static int lacks_any(const watcher_t *sub, int must_tell)
{
    int p, any = 0;
    uint32_t n;

    for (p = 0; p < soak.pubs; ++p) {
        n = lacks(sub, p);
        any |= n != 0;
        if (n && must_tell) {
            wrong(WRONG_MISSED,
                  "%s never had %u to %u of publisher %d, ids %llu to %llu",
                  who(sub), n, pubs_last(p), p,
                  (unsigned long long)pubs_id(p, n),
                  (unsigned long long)pubs_id(p, pubs_last(p)));
        }
    }
    return any;
}

uint64_t watchers_events(void) { return watchers.events; }

int watchers_behind(void)
{
    int i, n = 0;

    for (i = 0; i < watchers.n; ++i) {
        n += lacks_any(&watchers.all[i], 0);
    }
    return n;
}

void check_watchers(void)
{
    const watcher_t *auditor = &watchers.all[soak.subs];
    int i, behind = 0, all = watchers.n - 1, wide = 0;
    uint64_t all_events = 0;

    for (i = 0; i < soak.pubs; ++i) {
        all_events += pubs_last(i);
    }
    for (i = 0; i < watchers.n; ++i) {
        behind += lacks_any(&watchers.all[i], 1);
        wide += i < all && watchers.all[i].start == pubs_origin();
    }
    printf("# streams %llu; left by the client %llu, ended by the server %llu; "
           "events received %llu\n",
           (unsigned long long)watchers.opens,
           (unsigned long long)watchers.left,
           (unsigned long long)watchers.ended,
           (unsigned long long)watchers.events);
    check(!behind && !wrong_count(WRONG_MISSED),
          "all %d subscribers have all their events, %d of them from the very "
          "first on (%d missed some)",
          all, wide, wrong_count(WRONG_MISSED));
    check(!wrong_count(WRONG_DOUBLED), "none has one twice (%d times)",
          wrong_count(WRONG_DOUBLED));
    check(!wrong_count(WRONG_ORDER), "all in order (%d were not)",
          wrong_count(WRONG_ORDER));
    check(!wrong_count(WRONG_GAP), "nobody was told of a gap (%d were)",
          wrong_count(WRONG_GAP));
    check(!wrong_count(WRONG_STREAM),
          "no stream was refused or silent (%d were)",
          wrong_count(WRONG_STREAM));
    check(!lacks_any(auditor, 0) && auditor->events == all_events,
          "the history has every event once: one who reads it all finds %llu",
          (unsigned long long)auditor->events);
}
