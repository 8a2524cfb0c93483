/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file load_h2_ask.c
 * What the server says of itself: sse-status, and httpd's own server-status.
 */

#include "load_h2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE (3 * SEC)

typedef struct {
    conn_t conn;
    int is_over;
    size_t len;
    char body[16384];
} question_t;

static void on_body(conn_t *conn, const char *bytes, size_t len)
{
    question_t *question = conn->baton;
    size_t room = sizeof(question->body) - 1 - question->len;

    len = len < room ? len : room;
    memcpy(question->body + question->len, bytes, len);
    question->len += len;
}

static void on_over(conn_t *conn) { ((question_t *)conn->baton)->is_over = 1; }

static const conn_events_t question_events = {NULL, on_body, on_over, on_over};

long h2_ask(const target_t *target, const char *path, const char *key)
{
    uint64_t until = now_ns() + PATIENCE;
    static question_t question;
    const char *number;
    char request[256];
    int len;

    memset(&question, 0, sizeof(question));
    len = snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: "
                   "application/json\r\nConnection: close\r\n\r\n",
                   path);
    net_open(&question.conn, &question_events, &question);
    net_send(&question.conn, request, (size_t)len);
    while (!question.is_over && now_ns() < until) {
        net_turn(100);
    }
    net_close(&question.conn);
    number = question.is_over ? strstr(question.body, key) : NULL;
    return number ? strtol(number + strlen(key), NULL, 10) : -1;
}
