/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_poll.c
 * Scenario "poll": many long polls that wait in one child, all answered with
 * one event and asked again; against as many streams that are sent it, and as
 * many requests for a small file.
 *
 * An answer and the next poll are a stream's delivery and a request.  So what
 * they cost is compared with what these two cost by themselves.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 10000
#define ROUNDS  5
/* Requests for the file under way.  With all its threads busy the event MPM
 * closes connections that have no request. */
#define FILES_MAX 3
#define POLLS_MAX 100
#define TIMEOUT   (60 * SEC)
/* What a child does when all is done belongs to the round. */
#define SETTLE (300 * MSEC)

typedef struct {
    conn_t conn;
    struct all_t *all;
    int busy;         /**< a request is under way */
    int braces;       /**< of the answer: one for each event, one around all */
    size_t len;       /**< of what follows */
    char answer[512]; /**< the end of it */
    char request[256];
    int request_len;
} client_t;

typedef struct all_t {
    client_t *clients;
    const char *path;
    const char *fields;
    int is_poll;
    int begun; /**< clients that have asked, this round */
    int heads;
    int replies;
    int gone; /**< connections that the server closed */
} all_t;

static void on_head(conn_t *conn);
static void on_body(conn_t *conn, const char *bytes, size_t len);
static void on_reply(conn_t *conn);
static void on_gone(conn_t *conn);

static const conn_events_t events = {on_head, on_body, on_reply, on_gone};

static void ask(client_t *client, const char *last)
{
    all_t *all = client->all;

    client->request_len =
        snprintf(client->request, sizeof(client->request),
                 "GET %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s%s\r\n",
                 all->path, all->fields, last ? "Last-Event-ID: " : "",
                 last ? last : "", last ? "\r\n" : "");
    client->busy = 1;
    if (client->conn.fd < 0) {
        net_open(&client->conn, &events, client);
    }
    net_send(&client->conn, client->request, (size_t)client->request_len);
}

static void on_head(conn_t *conn)
{
    client_t *client = conn->baton;

    if (conn->status != 200) {
        die("%s was answered %d", client->all->path, conn->status);
    }
    client->len = 0;
    client->braces = 0;
    ++client->all->heads;
}

/* Keeps the last bytes. */
static void on_body(conn_t *conn, const char *bytes, size_t len)
{
    client_t *client = conn->baton;
    const size_t room = sizeof(client->answer) - 1;
    size_t i;

    for (i = 0; i < len; ++i) {
        client->braces += bytes[i] == '{';
    }
    if (len > room) {
        bytes += len - room;
        len = room;
    }
    if (client->len + len > room) {
        size_t drop = client->len + len - room;

        memmove(client->answer, client->answer + drop, client->len - drop);
        client->len -= drop;
    }
    memcpy(client->answer + client->len, bytes, len);
    client->len += len;
    client->answer[client->len] = '\0';
}

static void on_reply(conn_t *conn)
{
    static const char name[] = "\"last\":\"";
    client_t *client = conn->baton;
    char *last, *end;

    client->busy = 0;
    ++client->all->replies;
    if (!client->all->is_poll) {
        return;
    }
    if (client->braces != 2) {
        die("a poll had %d events: %s", client->braces - 1, client->answer);
    }
    last = strstr(client->answer, name);
    end = last ? strchr(last + sizeof(name) - 1, '"') : NULL;
    if (!end) {
        die("a poll's answer has no last: %s", client->answer);
    }
    *end = '\0';
    ask(client, last + sizeof(name) - 1);
}

/* One without a request is opened when there is one: the event MPM has a thread
 * wait for the first request of a connection. */
static void on_gone(conn_t *conn)
{
    client_t *client = conn->baton;

    ++client->all->gone;
    if (client->busy) {
        net_open(conn, &events, client);
        net_send(conn, client->request, (size_t)client->request_len);
    }
}

static void await(const all_t *all, const int *count, int n)
{
    uint64_t until = now_ns() + TIMEOUT;

    while (*count < n) {
        if (now_ns() > until) {
            die("%s: %d of %d after a minute", all->path, *count, n);
        }
        net_turn(100);
    }
}

static void open_all(all_t *all)
{
    int i;

    all->clients = calloc(CLIENTS, sizeof(*all->clients));
    if (!all->clients) {
        die("out of memory");
    }
    for (i = 0; i < CLIENTS; ++i) {
        client_t *client = &all->clients[i];

        client->all = all;
        client->conn.fd = -1;
        ask(client, NULL);
        await(all, all->is_poll ? &all->heads : &all->replies,
              i + 1 - (all->is_poll ? POLLS_MAX : FILES_MAX));
    }
    await(all, all->is_poll ? &all->heads : &all->replies, CLIENTS);
}

static void close_all(all_t *all)
{
    int i;

    for (i = 0; i < CLIENTS; ++i) {
        net_close(&all->clients[i].conn);
    }
    free(all->clients);
    net_wait(SEC);
}

/* -- Rounds ---------------------------------------------------------------- */

typedef struct {
    const proc_children_t *children;
    uint64_t begun; /**< CPU then */
    samples_t cpu;  /**< us for each client, by rounds */
} rounds_t;

static void round_begin(rounds_t *rounds)
{
    rounds->begun = proc_cpu(rounds->children);
}

static void round_end(rounds_t *rounds)
{
    net_wait(SETTLE);
    samples_add(&rounds->cpu,
                (double)(proc_cpu(rounds->children) - rounds->begun) / 1000 /
                    CLIENTS);
}

/* The least: what others do on the machine makes a round dearer, and so does a
 * round in which httpd closes connections. */
static double round_least(rounds_t *rounds)
{
    double least = samples_at(&rounds->cpu, 0);

    samples_free(&rounds->cpu);
    return least;
}

static double measure_streams(const proc_children_t *children, pub_t *pub)
{
    rounds_t rounds = {.children = children};
    subs_t subs = {0};
    int i;

    subs_open(&subs, CLIENTS, "/events/poll", "");
    net_wait(SEC);
    for (i = 1; i <= ROUNDS; ++i) {
        round_begin(&rounds);
        pub_post_wait(pub);
        if (!subs_await(&subs, (uint64_t)i * CLIENTS, TIMEOUT)) {
            die("only %d events came", (int)subs.events);
        }
        round_end(&rounds);
    }
    subs_close(&subs);
    net_wait(SEC);
    return round_least(&rounds);
}

static double measure_files(const proc_children_t *children)
{
    rounds_t rounds = {.children = children};
    all_t all = {.path = "/small.txt", .fields = ""};
    int i, j;

    open_all(&all);
    net_wait(SEC);
    all.gone = 0;
    for (i = 0; i < ROUNDS; ++i) {
        all.replies = 0;
        round_begin(&rounds);
        for (j = 0; j < CLIENTS; ++j) {
            ask(&all.clients[j], NULL);
            await(&all, &all.replies, j + 1 - FILES_MAX);
        }
        await(&all, &all.replies, CLIENTS);
        round_end(&rounds);
    }
    figure("requests' connections that httpd closed", all.gone, "");
    close_all(&all);
    return round_least(&rounds);
}

static void tell_threads(const proc_children_t *children)
{
    figure_most("threads in the child",
                (double)proc_value(children->pids[0], "status", "Threads"), "",
                20);
}

static double measure_polls(const proc_children_t *children, pub_t *pub)
{
    rounds_t rounds = {.children = children};
    all_t all = {.path = "/events/poll",
                 .fields = "Accept: application/json\r\n",
                 .is_poll = 1};
    samples_t times = {0};
    int i;

    open_all(&all);
    net_wait(SEC);
    tell_threads(children);
    all.gone = 0;
    for (i = 0; i < ROUNDS; ++i) {
        uint64_t begin = now_ns();

        all.replies = all.heads = 0;
        round_begin(&rounds);
        pub_post_wait(pub);
        await(&all, &all.heads, CLIENTS);
        samples_add(&times, (double)(now_ns() - begin) / MSEC);
        round_end(&rounds);
    }
    figure("all answered and waiting again, median", samples_at(&times, 0.5),
           "ms");
    figure("polls' connections that httpd closed", all.gone, "");
    tell_threads(children);
    samples_free(&times);
    close_all(&all);
    return round_least(&rounds);
}

void scenario_poll(const target_t *target)
{
    proc_children_t children;
    double stream, file, poll;
    size_t len;
    char *body = pub_batch(1, &len);
    pub_t pub;

    figures_of("poll", "one event to 10,000 long polls, which come again");
    proc_children(target->parent, &children);
    pub_open(&pub, "/events/poll", "text/event-stream", body, len);
    poll = measure_polls(&children, &pub);
    stream = measure_streams(&children, &pub);
    file = measure_files(&children);
    figure("CPU per poll, answered and asked again", poll, "us");
    figure("CPU per stream that is sent an event", stream, "us");
    figure("CPU per request for a small file", file, "us");
    figure_most("poll against stream and request together",
                poll / (stream + file), "x", 1.5);
    pub_close(&pub);
    free(body);
}
