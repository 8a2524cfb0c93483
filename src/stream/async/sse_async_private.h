/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_private.h
 * What the files of an asynchronous connection share: a connection that the MPM
 * has suspended, from its first stream on the loop's for life.
 *
 * httpd 2.4 cannot take a suspended connection back.  So the loop also does
 * what the MPM does between requests: it waits for the next one and has an MPM
 * thread run it (sse_async_next.c), writes without blocking
 * (sse_async_write.c), lingers, and has the connection's pool destroyed in the
 * end (sse_async_conn.c).
 *
 * Threads: a connection has one owner at a time, as its state says: an MPM
 * thread in SERVING, a worker in AWAY, the loop in all others.  Only its owner
 * touches the conn_rec.  The hand-overs are posted tasks, pushes and timed
 * callbacks.  What other modules hook into (logging, cleanups of requests and
 * connections, pre_close_connection) never runs on the loop.
 */

#ifndef SSE_ASYNC_PRIVATE_H
#define SSE_ASYNC_PRIVATE_H

#include "stream/sse_stream_private.h"

#include <scoreboard.h>
#include <sys/queue.h>
#include <util_filter.h>

#include "loop/sse_workers.h"

typedef enum {
    SSE_ASYNC_SERVING,  /**< an MPM thread runs a request, or writes */
    SSE_ASYNC_STREAM,   /**< a stream is open on it */
    SSE_ASYNC_AWAY,     /**< a worker has it, to end a request or to close */
    SSE_ASYNC_FLUSHING, /**< the response is over, its last bytes wait */
    SSE_ASYNC_IDLE,     /**< waiting for the next request */
    SSE_ASYNC_WAITING, /**< there is something for an MPM thread to do; it waits
                          for its turn */
    SSE_ASYNC_HANDING, /**< an MPM thread will take it over */
    SSE_ASYNC_LINGER,  /**< shut down; the client may still be sending */
    SSE_ASYNC_GONE     /**< to be destroyed */
} sse_async_state_e;

/** Lives in the connection's pool, from its first stream on. */
struct sse_async_conn_t {
    conn_rec *c;
    server_rec *server; /* the owner's: of the last stream; for its timeouts */
    sse_loop_t *loop;
    ap_filter_t *core;           /* const: the last output filter */
    apr_bucket_brigade *bb;      /* the owner's, to look at the input */
    sse_stream_t *stream;        /* SERVING: expected; STREAM: open; AWAY: its
                               request ends; else NULL */
    sse_async_state_e state;     /* the owner's; AWAY: the loop's */
    apr_bucket_brigade *pending; /* the owner's: what the core filter has not
                                    been given yet */
    ap_filter_t *hold;           /* const */
    apr_bucket_brigade *held; /* the owner's, an MPM thread's to pass on: what a
                                 response has left */
    int pass_flush;      /* the owner's: an MPM thread's, FLUSH may block */
    int is_writing;      /* the owner's: what is left to write is of a request
                               that an MPM thread ran, which writes it too */
    int is_tls;          /* const */
    ap_sb_handle_t *sbh; /* SERVING: the scoreboard's entry of its thread */
    apr_uint64_t suspended; /* loop: its clock when it took over */
    sse_peer_t peer;        /* loop */
    int peer_open;          /* loop */
    int is_broken;          /* loop: the peer went while a worker had it */
    int is_prepared;        /* the owner's: pre_close_connection has run */
    int is_ending;          /* loop: a stream's request is not logged yet */
    uv_timer_t timer;       /* loop */
    int timer_open;         /* loop */
    sse_task_t take_task, back_task;
    sse_job_t job;                          /* AWAY, GONE: the workers' */
    void (*errand)(sse_async_conn_t *conn); /* AWAY: the worker's */
    void (*then)(sse_async_conn_t *conn);   /* AWAY: the loop's, after that */
    TAILQ_ENTRY(sse_async_conn_t) link; /* loop: all IDLE, WAITING, FLUSHING */
};

/* sse_async_write.c */

/** Owner: put the output filter into the chains of r and of its connection. */
void sse_async_add_filter(sse_async_conn_t *conn, request_rec *r);
/** loop: all was written but for a request's end, which is not the loop's. */
int sse_async_at_request_end(const sse_async_conn_t *conn);

/* sse_async_hold.c */

/** Owner: the filter that keeps large responses back, likewise. */
void sse_async_add_hold(sse_async_conn_t *conn, request_rec *r);
/** MPM thread: of what a response has left, write what the socket takes. */
void sse_async_pass_held(sse_async_conn_t *conn);
/** register_hooks. */
void sse_async_hold_register(void);

/* sse_async_next.c: loop */

/** The connection waits for a request. */
void sse_async_await_next(sse_async_conn_t *conn);
/** It has to write what is left of a response. */
void sse_async_await_writing(sse_async_conn_t *conn);
/** Its state changes; the lists of those that are IDLE, WAITING or FLUSHING go
 *  by it. */
void sse_async_set_state(sse_async_conn_t *conn, sse_async_state_e state);
/** A request has come, or part of one; or the socket takes more of a response
 *  that an MPM thread writes. */
void sse_async_serve_next(sse_async_conn_t *conn);
/** Its handles are closed: the MPM may have it now. */
void sse_async_hand_over(sse_async_conn_t *conn);

/* sse_async_conn.c */

/** MPM thread, the last thing it does: the loop takes the connection over. */
void sse_async_take(sse_async_conn_t *conn);
/** loop: */
void sse_async_open_timer(sse_async_conn_t *conn);
void sse_async_on_deadline(uv_timer_t *timer); /* ends it */
void sse_async_set_deadline(sse_async_conn_t *conn, apr_interval_time_t timeout,
                            uv_timer_cb fn);
void sse_async_linger(sse_async_conn_t *conn);
void sse_async_end(sse_async_conn_t *conn);

#endif /* SSE_ASYNC_PRIVATE_H */
