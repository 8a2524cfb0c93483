/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_state.c
 * The states of an asynchronous connection: which may follow which, and the
 * lists of the connections that wait.
 */

#include "stream/async/sse_async_private.h"

#include "loop/sse_log.h"

#define TO(state) (1u << SSE_ASYNC_##state)

/* What may follow, and whether all connections in a state are listed.  The
 * owner is who may touch the conn_rec, and leaves the state. */
static const struct {
    const char *name;
    unsigned int next;
    int is_listed;
} states[SSE_ASYNC_STATES] = {
    /* Owner: an MPM thread, until the loop's on_take() runs.  Its request was
     * suspended with a stream (STREAM); it is done (all others): see flush(). */
    [SSE_ASYNC_SERVING] = {"serving",
                           TO(STREAM) | TO(WORKER) | TO(FLUSHING) | TO(IDLE) |
                               TO(QUEUED) | TO(HANDOVER),
                           0},
    /* Owner: the loop.  The stream's end was told: a worker ends its
     * request. */
    [SSE_ASYNC_STREAM] = {"stream", TO(WORKER), 0},
    /* Owner: a worker, until the loop's on_worked() runs.  A request has ended:
     * see flush().  The connection was shut down (LINGER), or is lost (GONE);
     * or there is more for a worker to do. */
    [SSE_ASYNC_WORKER] = {"worker",
                          TO(WORKER) | TO(FLUSHING) | TO(IDLE) | TO(QUEUED) |
                              TO(HANDOVER) | TO(LINGER) | TO(GONE),
                          0},
    /* Owner: the loop.  All was written: the next request is waited for (IDLE)
     * or already there (QUEUED, HANDOVER); or a worker ends the request, or
     * closes the connection.  A response that an MPM thread writes: the socket
     * takes more (QUEUED, HANDOVER). */
    [SSE_ASYNC_FLUSHING] = {"flushing",
                            TO(WORKER) | TO(IDLE) | TO(QUEUED) | TO(HANDOVER),
                            1},
    /* Owner: the loop.  A request comes (QUEUED, HANDOVER); the keep-alive
     * time-out, the client's end, or the child leaves (WORKER). */
    [SSE_ASYNC_IDLE] = {"idle", TO(WORKER) | TO(QUEUED) | TO(HANDOVER), 1},
    /* Owner: the loop.  An MPM thread is free (HANDOVER), or none was for too
     * long, or the client has left (WORKER). */
    [SSE_ASYNC_QUEUED] = {"queued", TO(WORKER) | TO(HANDOVER), 1},
    /* Owner: the loop, until the MPM's thread runs serve() (SERVING).  The MPM
     * has refused it (WORKER). */
    [SSE_ASYNC_HANDOVER] = {"handover", TO(SERVING) | TO(WORKER), 0},
    /* Owner: the loop.  The client's end, or a time-out; a worker first, where
     * some of a response is left to drop. */
    [SSE_ASYNC_LINGER] = {"linger", TO(WORKER) | TO(GONE), 0},
    /* Owner: the loop, then the worker that destroys the connection's pool. */
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
                      "an asynchronous connection must not go from state %s to "
                      "%s",
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
