/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_thread.c
 * What an MPM thread does with a spliced connection around mod_http2, which it
 * runs: before and after each time, and when it leaves the connection.
 *
 * Threads: the MPM's that owns the connection, except where tagged.
 */

#include "stream/splice/sse_splice_private.h"

#include <http_connection.h>
#include <poll.h>

/* How long an MPM thread waits for the next request: while a page loads. */
#define STAY_TIME apr_time_from_msec(5)

/* -- How it stands --------------------------------------------------------- */

/* mod_http2 says so by this, too, which no other connection of its writes. */
int sse_splice_has_ended(const sse_splice_conn_t *conn)
{
    return conn->c->keepalive == AP_CONN_CLOSE;
}

int sse_splice_has_streams(sse_splice_conn_t *conn)
{
    int n;

    pthread_mutex_lock(&conn->lock);
    n = conn->n;
    pthread_mutex_unlock(&conn->lock);
    return n > 0;
}

/* -- A thread that stays --------------------------------------------------- */

/* @return POLLIN; POLLRDHUP and others: its end, which the loop sees for what
 *         it is */
static int input_of(const sse_splice_conn_t *conn)
{
    struct pollfd pfd = {conn->fd, POLLIN | POLLRDHUP, 0};

    return poll(&pfd, 1, 0) > 0 ? pfd.revents : 0;
}

/* One request follows another, and to go by the loop costs more than the
 * request itself. */
int sse_splice_stays(sse_splice_conn_t *conn)
{
    struct pollfd pfd = {conn->poll_fd, POLLIN, 0};
    apr_time_t until, left = STAY_TIME;
    int input = 0;

    if (!conn->is_kept || sse_splice_has_ended(conn) || !sse_async_may_stay()) {
        return 0;
    }
    until = apr_time_now() + left;
    while (left > 0 && !conn->c->aborted && !input) {
        if (poll(&pfd, 1, (int)apr_time_as_msec(left)) <= 0) {
            return 0;
        }
        input = input_of(conn);
        if (!input && sse_splice_write_woken(conn) != APR_SUCCESS) {
            return 0;
        }
        left = until - apr_time_now();
    }
    return input == POLLIN && !conn->c->aborted;
}

/* It returns when its window is used up, of which it may get more here.  If it
 * has not taken that it has no use for it. */
int sse_splice_is_due(sse_splice_conn_t *conn)
{
    const conn_rec *c = conn->c;
    int was_taken = !conn->is_due || conn->n_kept != conn->n_kept_before;

    conn->is_due = conn->is_http2 && !c->aborted &&
                   !sse_splice_has_ended(conn) && was_taken &&
                   sse_splice_has_kept(conn);
    conn->n_kept_before = conn->n_kept;
    return conn->is_due;
}

void sse_splice_take_state(sse_splice_conn_t *conn)
{
    conn_rec *c = conn->c;

    if (!conn->mpms) {
        conn->mpms = c->cs;
        conn->cs = *c->cs;
        c->cs = &conn->cs;
    }
    c->cs->state = CONN_STATE_PROCESSING;
}

/* With HTTP/2 what stands there may be a secondary connection's. */
void sse_splice_give_state_back(sse_splice_conn_t *conn)
{
    conn_rec *c = conn->c;

    if (conn->mpms) {
        c->cs = conn->mpms;
        *c->cs = conn->cs;
        conn->mpms = NULL;
    }
    if (conn->is_http2 && sse_splice_has_ended(conn)) {
        c->cs->state = CONN_STATE_LINGER;
    }
    else if (conn->is_http2 && c->keepalive == AP_CONN_KEEPALIVE &&
             c->cs->state != CONN_STATE_ASYNC_WAITIO) {
        c->cs->state = CONN_STATE_WRITE_COMPLETION;
    }
}

/* One that has had a stream, whose end may be unwritten, is kept as well. */
void sse_splice_returned(sse_splice_conn_t *conn)
{
    conn_rec *c = conn->c;

    sse_splice_stop_posing(conn);
    sse_splice_give_state_back(conn);
    if (!conn->async && !sse_splice_has_streams(conn)) {
        return;
    }
    conn->is_kept = 1;
    sse_splice_adopt(conn);
    conn->async->is_kept = 1;
    c->cs->state = CONN_STATE_SUSPENDED;
}

/* The MPM does not suspend an aborted connection.  It closes it, which takes as
 * long as any request on it runs: so it learns that from the loop. */
void sse_splice_left(sse_splice_conn_t *conn)
{
    conn_rec *c = conn->c;

    if (conn->is_kept && c->aborted && !conn->was_taken) {
        conn->was_aborted = 1;
        c->aborted = 0;
    }
}
