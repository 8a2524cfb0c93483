/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file soak.c
 * The soak's phases.  scripts/soak.sh starts httpd and this program.
 */

#include "soak.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_MSEC    5
#define COME_TIMEOUT (60 * SEC)
/* Since the last event came. */
#define DRAIN_TIMEOUT (60 * SEC)
/* For a server that repeats events for ever. */
#define DRAIN_MOST    (600 * SEC)
#define LEAVE_TIMEOUT (20 * SEC)
/* How many subscribers have all channels; this process could not read more. */
#define WIDE_MAX 200

soak_t soak;

void die(const char *format, ...)
{
    va_list args;

    printf("Bail out!  ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    exit(2);
}

/* -- sse-status ------------------------------------------------------------ */

typedef struct {
    conn_t conn;
    int is_done;
    size_t len;
    char body[512];
} status_t;

static void on_body(conn_t *conn, const char *bytes, size_t len)
{
    status_t *status = conn->baton;
    size_t room = sizeof(status->body) - 1 - status->len;

    len = len < room ? len : room;
    memcpy(status->body + status->len, bytes, len);
    status->len += len;
    status->body[status->len] = '\0';
}

static void on_reply(conn_t *conn) { ((status_t *)conn->baton)->is_done = 1; }

static const conn_events_t status_events = {NULL, on_body, on_reply, on_reply};

/* @return how many streams are open, or -1 */
static long open_streams(void)
{
    static const char request[] =
        "GET /sse-status HTTP/1.1\r\nHost: localhost\r\n"
        "Accept: application/json\r\nConnection: close\r\n\r\n";
    uint64_t until = now_ns() + 5 * SEC;
    status_t status = {0};
    const char *streams;

    net_open(&status.conn, &status_events, &status);
    net_send(&status.conn, request, sizeof(request) - 1);
    while (!status.is_done && now_ns() < until) {
        net_turn(10);
    }
    net_close(&status.conn);
    streams = strstr(status.body, "\"streams\":");
    return streams ? strtol(streams + 10, NULL, 10) : -1;
}

static void check_gauge(void)
{
    uint64_t until = now_ns() + LEAVE_TIMEOUT;
    long n;

    while ((n = open_streams()) != 0 && now_ns() < until) {
        net_wait(200 * MSEC);
    }
    check(n == 0, "when all have left, sse-status counts no stream (%ld)", n);
}

/* -- The phases ------------------------------------------------------------ */

static void turn(int is_over)
{
    uint64_t now = now_ns();

    if (!is_over) {
        acts_turn(now);
    }
    pubs_turn(now, is_over);
    watchers_turn(now, is_over);
    net_turn(TURN_MSEC);
}

static void turn_until(uint64_t until)
{
    while (now_ns() < until) {
        turn(0);
    }
}

static int is_draining(uint64_t begin)
{
    static uint64_t events, grew;
    uint64_t now = now_ns();

    if (!grew || watchers_events() != events) {
        events = watchers_events();
        grew = now;
    }
    return now < grew + DRAIN_TIMEOUT && now < begin + DRAIN_MOST;
}

/* Subscribers that are away come back; an auditor reads the history. */
static void drain(void)
{
    uint64_t begin = now_ns(), later;

    while (!pubs_are_done() && is_draining(begin)) {
        turn(1);
    }
    watchers_audit();
    do {
        later = now_ns() + 200 * MSEC;
        while (now_ns() < later) {
            turn(1);
        }
    } while (watchers_behind() && is_draining(begin));
    /* Time for events that come twice. */
    later = now_ns() + SEC;
    while (now_ns() < later) {
        turn(1);
    }
}

/* httpd's connections outlive their streams by a second or so, and it takes its
 * time to end a child or to start one. */
static void sample_settled(const sample_t *idle, sample_t *sample)
{
    uint64_t begin = now_ns();

    sample_take(sample);
    while ((sample->most > idle->most || sample->children != idle->children) &&
           now_ns() < begin + LEAVE_TIMEOUT) {
        net_wait(500 * MSEC);
        sample_take(sample);
    }
    printf("# children and descriptors settled within %.1f s\n",
           (double)(now_ns() - begin) / SEC);
}

/* The plan begins when every subscriber has had a stream: the memory that these
 * take is what later figures are compared with. */
static void all_come(void)
{
    uint64_t now = now_ns(), until = now + COME_TIMEOUT;

    while (!watchers_have_come() && now < until) {
        pubs_turn(now, 0);
        watchers_turn(now, 0);
        net_turn(TURN_MSEC);
        now = now_ns();
    }
}

static void run(void)
{
    uint64_t begin, length = (uint64_t)soak.seconds * SEC;
    sample_t idle, early, quiet, end, after;

    acts_plan();
    pubs_start();
    sample_take(&idle);
    watchers_start();
    all_come();
    begin = now_ns();
    acts_start(begin);
    turn_until(begin + length / 100 * 7);
    sample_take(&early);
    turn_until(begin + length / 100 * 85);
    sample_take(&quiet);
    turn_until(begin + length);
    sample_take(&end);
    drain();
    check_acts();
    check_pubs();
    check_watchers();
    pubs_close();
    watchers_close();
    check_gauge();
    check_opens();
    sample_settled(&idle, &after);
    check_samples(&idle, &early, &quiet, &end, &after);
    check_error_log();
}

static int number(const char *text, const char *what, int least, int most)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*end || end == text || n < least || n > most) {
        die("%s=%s: a number from %d to %d", what, text, least, most);
    }
    return (int)n;
}

static void configure(char **argv)
{
    soak.parent = (pid_t)strtol(argv[2], NULL, 10);
    soak.dir = argv[3];
    soak.seconds = number(argv[4], "SOAK_SECONDS", 10, 12000);
    soak.subs = number(argv[5], "SOAK_SUBSCRIBERS", 1, 19000);
    soak.pubs = number(argv[6], "SOAK_PUBLISHERS", 1, 1000);
    soak.rate = number(argv[7], "SOAK_RATE", 1, 100000);
    soak.seed = number(argv[8], "SOAK_SEED", 0, 2147483647);
    soak.channels =
        soak.pubs < SOAK_CHANNELS_MAX ? soak.pubs : SOAK_CHANNELS_MAX;
    soak.wide = soak.subs < WIDE_MAX ? soak.subs : WIDE_MAX;
    printf("# %d s, %d subscribers (%d of all channels), %d publishers on %d "
           "channels, %d events/s, SOAK_SEED=%ld\n",
           soak.seconds, soak.subs, soak.wide, soak.pubs, soak.channels,
           soak.rate, soak.seed);
    srand48(soak.seed);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && !strcmp(argv[1], "port")) {
        return client_print_free_port((int)strtol(argv[2], NULL, 10));
    }
    if (argc != 9) {
        die("usage: soak port FROM | soak PORT PID DIR SECONDS SUBSCRIBERS "
            "PUBLISHERS RATE SEED");
    }
    client_raise_limit();
    configure(argv);
    net_start((int)strtol(argv[1], NULL, 10));
    run();
    return checks_failed() != 0;
}
