/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_state.c
 * The states of an asynchronous connection: its owner in each, which states may
 * follow by which event, and the lists of the connections that wait.
 */

#include "stream/async/sse_async_private.h"

#include "loop/sse_log.h"

#define TO(state) (1u << SSE_ASYNC_##state)
/* sse_async_flush(): the rest of the response waits (FLUSHING); a worker ends
 * the request or closes the connection; the next request is waited for (IDLE)
 * or has come (QUEUED, HANDOVER). */
#define AFTER_RESPONSE                                                         \
    (TO(FLUSHING) | TO(WORKER) | TO(IDLE) | TO(QUEUED) | TO(HANDOVER))

/* What may follow each state, and whether its connections are listed. */
static const struct {
    const char *name;
    int is_listed;
    unsigned int next;
} states[SSE_ASYNC_STATES] = {
    /* An MPM thread's, until on_take() runs on the loop: the request was
     * suspended with a stream (STREAM), or is done. */
    [SSE_ASYNC_SERVING] = {"serving", 0, TO(STREAM) | AFTER_RESPONSE},
    /* The loop's.  The end was told: a worker ends the request. */
    [SSE_ASYNC_STREAM] = {"stream", 0, TO(WORKER)},
    /* A worker's, until on_worked() runs on the loop: a request has ended; the
     * connection is shut down (LINGER) or lost (GONE). */
    [SSE_ASYNC_WORKER] = {"worker", 0, AFTER_RESPONSE | TO(LINGER) | TO(GONE)},
    /* The loop's.  All was written, or an MPM thread is to write more. */
    [SSE_ASYNC_FLUSHING] = {"flushing", 1, AFTER_RESPONSE & ~TO(FLUSHING)},
    /* The loop's.  A request comes (QUEUED, HANDOVER); the keep-alive time-out,
     * the client's end, or the child leaves (WORKER). */
    [SSE_ASYNC_IDLE] = {"idle", 1, TO(QUEUED) | TO(HANDOVER) | TO(WORKER)},
    /* The loop's.  An MPM thread is free (HANDOVER); none was for too long, or
     * the client has left (WORKER). */
    [SSE_ASYNC_QUEUED] = {"queued", 1, TO(HANDOVER) | TO(WORKER)},
    /* The loop's, until an MPM thread runs serve().  The MPM may refuse it
     * (WORKER). */
    [SSE_ASYNC_HANDOVER] = {"handover", 0, TO(SERVING) | TO(WORKER)},
    /* The loop's.  The client's end or a time-out; WORKER where some of a
     * response must be dropped first. */
    [SSE_ASYNC_LINGER] = {"linger", 0, TO(WORKER) | TO(GONE)},
    /* The loop's, then the worker's that destroys the pool. */
    [SSE_ASYNC_GONE] = {"gone", 0, 0},
};

static TAILQ_HEAD(list, sse_async_conn_t) lists[SSE_ASYNC_STATES]; /* loop */

void sse_async_states_init(void)
{
    int state;

    for (state = 0; state < SSE_ASYNC_STATES; ++state) {
        TAILQ_INIT(&lists[state]);
    }
}

sse_async_conn_t *sse_async_first(sse_async_state_e state)
{
    return TAILQ_FIRST(&lists[state]);
}

static void check(const sse_async_conn_t *conn, sse_async_state_e to)
{
    if (!(states[conn->state].next & 1u << to)) {
        sse_log_later(APLOG_MARK, APLOG_DEBUG, 0, conn->server,
                      "asynchronous connection: bad transition from %s to %s",
                      states[conn->state].name, states[to].name);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        abort();
#endif
    }
}

void sse_async_transit(sse_async_conn_t *conn, sse_async_state_e to)
{
    check(conn, to);
    if (states[conn->state].is_listed) {
        TAILQ_REMOVE(&lists[conn->state], conn, link);
    }
    conn->state = to;
    if (states[to].is_listed) {
        TAILQ_INSERT_TAIL(&lists[to], conn, link);
    }
}
