/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_threads.h
 * SSEMaxThreads: how many threads of this child streams may hold.
 *
 * A stream of the waiting drive holds a thread for as long as it is open.  With
 * worker, and with event where a filter may wait, that is one of the MPM's.  A
 * stream over HTTP/2 holds one of mod_http2's, and its connection one of the
 * MPM's, whether it has one stream or several; and mod_http2 serves a few
 * requests of a connection at a time.  When all are held, nothing else is
 * served.  So streams get a share:
 *
 * - of the MPM's threads: one for each stream that holds one itself, and one
 *   for each HTTP/2 connection that has streams;
 * - of mod_http2's threads;
 * - of what mod_http2 serves of one connection at a time: all but two.
 *
 * What is beyond it: HTTP/1.1 is answered 503.  An EventSource would give up
 * for good, and over HTTP/2 nobody can have another connection instead; so
 * there a stream opens, is sent what is due, and ends ("poll"): its client
 * comes back after the time that retry tells.  Such streams hold threads as
 * well, but for a moment; where many come at once, they are ended before they
 * open.
 *
 * mod_http2 serves fewer requests of a connection at a time when its client
 * has reset some, which is the only way for a client to leave a stream.
 * It tells nobody, so its reckoning is followed here.  Streams that are too
 * many by it are ended as well ("poll").
 *
 * With prefork each stream holds a process; those are counted over all
 * children by sse_limits.c.
 *
 * Threads: tagged.  The lock is a leaf, but for the loop's queue.
 */

#ifndef SSE_THREADS_H
#define SSE_THREADS_H

#include <httpd.h>
#include <sys/queue.h>

#include "mod_sse.h"

typedef enum {
    SSE_THREAD_NONE,   /**< it needs none */
    SSE_THREAD_HELD,   /**< as long as the stream is open */
    SSE_THREAD_POLL,   /**< for a moment: end the stream when all that is due
                            was sent */
    SSE_THREAD_BUSY,   /**< HTTP/2: none; have the client come again */
    SSE_THREAD_REFUSED /**< none: answer 503 */
} sse_thread_e;

struct sse_threads_conn_t;

/** What one stream has taken: on the stack of its thread. */
typedef struct sse_thread_t {
    sse_thread_e what;
    struct sse_threads_conn_t *conn; /* its HTTP/2 connection's, or NULL */
    sse_stream_t *stream;            /* lock: once it is bound; counted */
    apr_time_t began;                /* when it was taken */
    int can_poll;                    /* const: its client can come again */
    int is_told;                     /* lock: it was told to end */
    TAILQ_ENTRY(sse_thread_t) link;  /* lock: HELD: in its connection's */
} sse_thread_t;

/** What is remembered of an HTTP/2 connection, for as long as it lives. */
typedef struct sse_threads_conn_t {
    int at_a_time;      /* lock: so many requests mod_http2 serves */
    apr_time_t changed; /* lock: when that last changed */
    int held;           /* lock: streams that are to stay */
    TAILQ_HEAD(, sse_thread_t) threads; /* lock: theirs, the youngest first */
} sse_threads_conn_t;

/** A new connection.  Its thread. */
void sse_threads_init_conn(sse_threads_conn_t *conn);

/**
 * Take what a stream of the waiting drive needs.  Request thread.  What an
 * administrator has to know is logged.
 * @param conn of the connection's primary one, where that is HTTP/2; or NULL
 * @param can_poll whether its client misses nothing by polling; where not, it
 *        is refused instead
 * @param thread out: for sse_threads_give_back()
 */
sse_thread_e sse_threads_take(request_rec *r, sse_threads_conn_t *conn,
                              int can_poll, sse_thread_t *thread);

/** Where what sse_threads_take() would refuse is too late to be refused: take
 *  what there is, or something for a moment.  Request thread. */
sse_thread_e sse_threads_force(request_rec *r, sse_thread_t *thread);

/** This stream is what it was taken for.  Request thread. */
void sse_threads_bind(sse_thread_t *thread, sse_stream_t *stream);

/** So many requests mod_http2 serves of this connection at a time.  Any
 *  thread. */
int sse_threads_at_a_time(sse_threads_conn_t *conn);

/** The stream's thread goes on: give back what was taken, once.  Request
 *  thread.
 *  @param is_reset whether the client has reset the stream, not left */
void sse_threads_give_back(sse_thread_t *thread, int is_reset);

#endif /* SSE_THREADS_H */
