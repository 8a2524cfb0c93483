/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_state.h
 * The states of an asynchronous connection; sse_async_state.c has the table of
 * which may follow which, by which event, and who owns the connection in each.
 *
 * Threads: the connection's owner, who leaves the state; for FLUSHING, IDLE and
 * QUEUED, which are listed, that is the loop.
 */

#ifndef SSE_ASYNC_STATE_H
#define SSE_ASYNC_STATE_H

typedef struct sse_async_conn_t sse_async_conn_t;

typedef enum {
    SSE_ASYNC_SERVING,  /**< an MPM thread runs a request, or writes */
    SSE_ASYNC_STREAM,   /**< a stream is open */
    SSE_ASYNC_WORKER,   /**< a worker ends a request, or closes */
    SSE_ASYNC_FLUSHING, /**< a response is over; its last bytes are unwritten */
    SSE_ASYNC_IDLE,     /**< kept alive, until the next request */
    SSE_ASYNC_QUEUED,   /**< has something to do for the next free MPM thread */
    SSE_ASYNC_HANDOVER, /**< given to the MPM, no thread has it yet */
    SSE_ASYNC_LINGER,   /**< shut down; the client may still be sending */
    SSE_ASYNC_GONE,     /**< about to be destroyed */
    SSE_ASYNC_STATES
} sse_async_state_e;

/** child_init. */
void sse_async_states_init(void);

/** Change the state; the lists follow. */
void sse_async_transit(sse_async_conn_t *conn, sse_async_state_e to);

/** loop: the connection that has been longest in a listed state, or NULL. */
sse_async_conn_t *sse_async_first(sse_async_state_e state);

#endif /* SSE_ASYNC_STATE_H */
