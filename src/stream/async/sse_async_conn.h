/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_conn.h
 * An asynchronous connection: one that the MPM has suspended, from its first
 * stream on the loop's for life.
 *
 * httpd 2.4 cannot take a suspended connection back.  So the loop also does
 * what the MPM does between requests: it waits for the next one, writes without
 * blocking, lingers, and has the connection's pool destroyed in the end.
 *
 * What a connection carries is its protocol's: one stream at a time of HTTP/1.x
 * (sse_async_drive.c), or the streams of HTTP/2 among mod_http2's frames
 * (src/stream/splice).
 *
 * Threads: a connection has one owner at a time, as its state says: an MPM
 * thread, a worker, or the loop.  Only its owner touches the conn_rec.  The
 * hand-overs are posted tasks, jobs and timed callbacks.  What other modules
 * hook into (logging, cleanups of requests and connections,
 * pre_close_connection) never runs on the loop.
 */

#ifndef SSE_ASYNC_CONN_H
#define SSE_ASYNC_CONN_H

#include <httpd.h>
#include <scoreboard.h>
#include <util_filter.h>

#include "stream/async/sse_async.h"
#include "stream/sse_conn_record.h"
#include "stream/sse_stream_private.h"

typedef struct sse_async_conn_t sse_async_conn_t;

/** Which may follow which, by which event, and who owns the connection in each:
 *  a table in sse_async_conn.c. */
typedef enum {
    SSE_ASYNC_SERVING,  /**< an MPM thread runs a request, or writes */
    SSE_ASYNC_STREAM,   /**< a stream is open */
    SSE_ASYNC_WORKER,   /**< a worker ends a request, or closes */
    SSE_ASYNC_FLUSHING, /**< no stream is open; the last bytes are unwritten */
    SSE_ASYNC_IDLE,     /**< kept alive, until the next request */
    SSE_ASYNC_QUEUED,   /**< has something to do for the next free MPM thread */
    SSE_ASYNC_HANDOVER, /**< given to the MPM, no thread has it yet */
    SSE_ASYNC_LINGER,   /**< shut down; the client may still be sending */
    SSE_ASYNC_GONE,     /**< about to be destroyed */
    SSE_ASYNC_STATES
} sse_async_state_e;

/** What a connection carries, by its protocol.  All on the loop, which owns the
 *  connection. */
typedef struct {
    /** The loop has taken it over from an MPM thread.
     *  @param was the state in which that left it */
    void (*on_taken)(sse_async_conn_t *conn, conn_state_e was);
    /** An MPM thread has it from now on; NULL: nothing to do. */
    void (*on_given)(sse_async_conn_t *conn);
    /** No request has come for too long, or the child leaves. */
    void (*on_unused)(sse_async_conn_t *conn);
    /** The client has left, or the connection has failed; not called while a
     *  worker has it, nor when it lingers. */
    void (*on_gone)(sse_async_conn_t *conn, sse_close_reason_e reason,
                    apr_status_t status);
    /** There may be something to read, or room to write. */
    void (*on_readable)(sse_async_conn_t *conn);
    void (*on_writable)(sse_async_conn_t *conn);
} sse_async_carrier_t;

/** Lives in the connection's pool, from its first stream on. */
struct sse_async_conn_t {
    conn_rec *c;
    server_rec *server; /* owner: of the last stream; for its time-outs */
    sse_loop_t *loop;
    sse_async_state_e state;            /* owner; WORKER: the loop's */
    const sse_async_carrier_t *carrier; /* const */
    int is_kept;  /* owner: SERVING: the MPM is to suspend it for the loop */
    int has_turn; /* QUEUED: an MPM thread has been called for it */
    sse_stream_t *stream; /* owner: HTTP/1.x: SERVING: expected; STREAM: open;
                             WORKER: its request ends; else NULL */
    struct sse_splice_conn_t *splice; /* const: HTTP/2; else NULL */

    ap_filter_t *core;           /* const: the last output filter */
    ap_filter_t *backlog_filter; /* const */
    apr_bucket_brigade *bb;      /* owner: empty, to use */
    apr_bucket_brigade *pending; /* owner: not yet given to the core filter */
    apr_bucket_brigade *backlog; /* owner: the unwritten end of a response that
                                      only an MPM thread may read and write */
    int may_block;               /* owner: an MPM thread's, FLUSH may block */
    int mpm_writes;              /* owner: an MPM thread ran the request, and
                                      writes the rest of its response */
    int is_tls;                  /* const */
    int is_prepared;             /* owner: pre_close_connection has run */
    ap_sb_handle_t *sbh; /* SERVING: the scoreboard's entry of its thread */

    apr_uint64_t suspended; /* loop: its clock when it took over */
    sse_peer_t peer;        /* loop */
    int peer_open;          /* loop */
    int is_broken;          /* loop: the peer went while a worker had it, or
                               with all of the response */
    int is_counted; /* loop: a stream's request, not logged yet, still counts */
    uv_timer_t timer;                            /* loop */
    int timer_open;                              /* loop */
    void (*on_deadline)(sse_async_conn_t *conn); /* loop: the timer's */
    sse_task_t take_task; /* the last thing that an MPM thread posts: the loop
                             takes the connection over */
    sse_task_t worked_task;
    sse_job_t job;                              /* WORKER, GONE */
    void (*work)(sse_async_conn_t *conn);       /* WORKER: on the worker */
    void (*after_work)(sse_async_conn_t *conn); /* WORKER: then, on the loop */
    TAILQ_ENTRY(sse_async_conn_t) link; /* loop: all that are in its state */
};

/* sse_async_conn.c */

/** child_init. */
void sse_async_states_init(void);
/** Owner: change the state, and with it the loop's lists of FLUSHING, IDLE and
 *  QUEUED. */
void sse_async_transit(sse_async_conn_t *conn, sse_async_state_e to);
/** loop: the connection that has been longest in one of those, or NULL. */
sse_async_conn_t *sse_async_first(sse_async_state_e state);
/** Request thread: HTTP/1.x's object, made for its first stream. */
sse_async_conn_t *sse_async_of(request_rec *r, sse_loop_t *loop);
/** Owner: a new object, with its filter at the network's end. */
sse_async_conn_t *sse_async_create(conn_rec *c, request_rec *r,
                                   const sse_async_carrier_t *carrier,
                                   sse_loop_t *loop);
/** loop: have a worker run work, and the loop after_work then. */
void sse_async_work(sse_async_conn_t *conn,
                    void (*work)(sse_async_conn_t *conn),
                    void (*after_work)(sse_async_conn_t *conn));
/** loop: have a worker run the connection's job. */
void sse_async_post_job(sse_async_conn_t *conn, void (*run)(sse_job_t *job));
/** loop: begin to watch the client of HTTP/1.x's stream. */
apr_status_t sse_async_watch(sse_async_conn_t *conn);
/** loop: begin to watch the client, or go on with that. */
apr_status_t sse_async_open_peer(sse_async_conn_t *conn, int half_keep);
/** loop. */
void sse_async_open_timer(sse_async_conn_t *conn);
/** loop: call fn when so long has passed without a change of state. */
void sse_async_set_deadline(sse_async_conn_t *conn, apr_interval_time_t timeout,
                            void (*fn)(sse_async_conn_t *conn));

/* sse_async_close.c: loop */

/** Drop the connection. */
void sse_async_end(sse_async_conn_t *conn);
/** Close the connection, lingering. */
void sse_async_linger(sse_async_conn_t *conn);
/** In LINGER: there is input to discard. */
void sse_async_discard_input(sse_async_conn_t *conn);
/** The peer's handle is closed: close the timer's, then destroy the connection,
 *  or hand it over. */
void sse_async_peer_closed(sse_async_conn_t *conn);
/** The last of a stream's response is out, or dropped. */
void sse_async_count_logged(sse_async_conn_t *conn);
/** Owner, but for the loop: run pre_close_connection, once. */
void sse_async_prepare_close(sse_async_conn_t *conn);

/* sse_async_next.c: loop */

/** A response is over: write the rest of it, end its request, and go on with
 *  the connection: wait for the next request, linger, or drop it. */
void sse_async_flush(sse_async_conn_t *conn);
/** A stream is over: have its request ended, then as sse_async_flush(). */
void sse_async_finish(sse_async_conn_t *conn);

/** Have an MPM thread go on: some of a request has come, or the socket takes
 *  more of a response that an MPM thread writes. */
void sse_async_serve_next(sse_async_conn_t *conn);
/** Wait for the next request, no longer than timeout. */
void sse_async_await_next(sse_async_conn_t *conn, apr_interval_time_t timeout);
/** MPM thread: whether it may wait a little for the connection's next request,
 *  as others have threads enough. */
int sse_async_may_stay(void);
/** All handles are closed: the MPM may have the connection. */
void sse_async_hand_over(sse_async_conn_t *conn);

/* sse_async_write.c: owner */

/** Put the output filter into the chains of r and of its connection. */
void sse_async_add_filter(sse_async_conn_t *conn, request_rec *r);
/** Write what the socket takes.  @return an error if the connection broke */
apr_status_t sse_async_write(sse_async_conn_t *conn);
/** Whether all was written. */
int sse_async_is_flushed(const sse_async_conn_t *conn);
/** Whether all was written but for a request's end, which is not the loop's. */
int sse_async_at_request_end(const sse_async_conn_t *conn);
/** loop: watch for the socket to take more, or no longer. */
void sse_async_want_write(sse_async_conn_t *conn, int on);

/* sse_async_backlog.c */

/** Owner: put the filter that keeps large responses back into the chains. */
void sse_async_add_backlog(sse_async_conn_t *conn, request_rec *r);
/** MPM thread: write what the socket takes of the backlog. */
void sse_async_write_backlog(sse_async_conn_t *conn);
/** register_hooks. */
void sse_async_backlog_register(void);

/* sse_async_drive.c */

/** loop: the socket takes more of the stream. */
void sse_async_writable(sse_stream_t *stream);
/** Worker: end a stream's response and request, which is logged when the last
 *  of it is out. */
void sse_async_end_request(sse_stream_t *stream);

#endif /* SSE_ASYNC_CONN_H */
