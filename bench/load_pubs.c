/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_pubs.c
 * Publishers: keep-alive connections that post the same again and again.
 */

#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_TIMEOUT (10 * SEC)

static void on_head(conn_t *conn) { ((pub_t *)conn->baton)->body_len = 0; }

static void on_body(conn_t *conn, const char *bytes, size_t len)
{
    pub_t *pub = conn->baton;
    size_t room = sizeof(pub->body) - 1 - pub->body_len;

    if (len > room) {
        len = room;
    }
    memcpy(pub->body + pub->body_len, bytes, len);
    pub->body_len += len;
    pub->body[pub->body_len] = '\0';
}

static void on_reply(conn_t *conn)
{
    pub_t *pub = conn->baton;

    if (conn->status != 200) {
        die("a POST was answered %d %s", conn->status, pub->body);
    }
    pub->busy = 0;
    ++pub->answers;
}

/* The event MPM closes connections that wait for a next request when all its
 * threads are busy, maybe while one is on its way.  Clients repeat it. */
static void on_gone(conn_t *conn);

static const conn_events_t pub_events = {on_head, on_body, on_reply, on_gone};

static void on_gone(conn_t *conn)
{
    pub_t *pub = conn->baton;

    ++pub->again;
    net_open(conn, &pub_events, pub);
    if (pub->busy) {
        net_send(conn, pub->request, pub->len);
    }
}

void pub_open(pub_t *pub, const char *path, const char *type, const char *body,
              size_t len)
{
    size_t room = len + 512;
    int head;

    memset(pub, 0, sizeof(*pub));
    pub->request = malloc(room);
    if (!pub->request) {
        die("out of memory");
    }
    head = snprintf(pub->request, room,
                    "POST %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s"
                    "Content-Length: %zu\r\n\r\n",
                    path, type ? "Content-Type: " : "", type ? type : "",
                    type ? "\r\n" : "", len);
    memcpy(pub->request + head, body, len);
    pub->len = (size_t)head + len;
    net_open(&pub->conn, &pub_events, pub);
}

void pub_post(pub_t *pub)
{
    pub->busy = 1;
    pub->posted = now_ns();
    net_send(&pub->conn, pub->request, pub->len);
}

void pub_post_wait(pub_t *pub)
{
    pub_post(pub);
    while (pub->busy) {
        net_turn(100);
        if (now_ns() > pub->posted + ANSWER_TIMEOUT) {
            die("a POST was not answered");
        }
    }
}

void pub_close(pub_t *pub)
{
    net_close(&pub->conn);
    free(pub->request);
    pub->request = NULL;
}

char *pub_batch(int n, size_t *len)
{
    static const char event[] = "data: 0123456789abcdef0123456789abcdef\n\n";
    size_t size = sizeof(event) - 1;
    char *body = malloc(size * (size_t)n);
    int i;

    if (!body) {
        die("out of memory");
    }
    for (i = 0; i < n; ++i) {
        memcpy(body + size * (size_t)i, event, size);
    }
    *len = size * (size_t)n;
    return body;
}
