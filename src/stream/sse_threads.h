/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_threads.h
 * SSEMaxThreads: how many threads of this child streams may hold.
 *
 * A stream of the waiting drive holds a thread while it is open, and when all
 * are held, nothing else is served.  So streams get a share:
 *
 * - of the MPM's threads: one for each stream (worker; event where a filter may
 *   wait), and one for each HTTP/2 connection that has streams;
 * - of mod_http2's threads: one for each stream over HTTP/2;
 * - of the requests that mod_http2 serves of a connection at a time: all but
 *   two.
 *
 * Beyond the share, a stream over HTTP/1.1 is answered 503 (a long poll is
 * answered with what is due).  Over HTTP/2 an EventSource would give up for
 * good; so the stream opens, is sent what is due, and ends ("polls"): its
 * client comes back after the time in "retry".  Such streams hold threads only
 * for a moment; when many come at once, they end before they open.
 *
 * When a client has left streams, which it can only do by resetting them,
 * mod_http2 serves fewer requests of its connection at a time.  No call says
 * how many, so mod_http2's rules are followed here, and streams that are too
 * many by them are ended as well ("poll").
 *
 * With prefork each stream holds a process: see sse_limits.h.
 *
 * Threads: tagged.  The lock is a leaf.
 */

#ifndef SSE_THREADS_H
#define SSE_THREADS_H

#include <httpd.h>
#include <sys/queue.h>

#include "mod_sse.h"

typedef enum {
    SSE_THREAD_NONE,   /**< the stream needs none */
    SSE_THREAD_HELD,   /**< for as long as the stream is open */
    SSE_THREAD_POLL,   /**< for a moment: end the stream when it has been sent
                            what is due */
    SSE_THREAD_BUSY,   /**< none; have the client come again */
    SSE_THREAD_REFUSED /**< none: answer 503 */
} sse_thread_e;

struct sse_threads_conn_t;

/** What one stream has taken: on its thread's stack. */
typedef struct sse_thread_t {
    sse_thread_e what;
    struct sse_threads_conn_t *conn; /* its HTTP/2 connection's, or NULL */
    sse_stream_t *stream;            /* lock: once bound; a reference */
    apr_time_t began;                /* when it was taken */
    int can_poll;                    /* const: its client can come again */
    int is_told;                     /* lock: it was told to end */
    TAILQ_ENTRY(sse_thread_t) link;  /* lock: HELD: in its connection's */
} sse_thread_t;

/** What is remembered of an HTTP/2 connection while it lives. */
typedef struct sse_threads_conn_t {
    int at_a_time;      /* lock: how many requests mod_http2 serves */
    apr_time_t changed; /* lock: when that last changed */
    int held;           /* lock: how many streams are to stay */
    TAILQ_HEAD(, sse_thread_t) threads; /* lock: theirs, the youngest first */
} sse_threads_conn_t;

/** A new connection.  Its thread. */
void sse_threads_init_conn(sse_threads_conn_t *conn);

/**
 * Take the thread that a stream of the waiting drive needs; a warning is logged
 * when there is none.  Request thread.
 * @param conn of the primary connection with HTTP/2, else NULL
 * @param can_poll whether the client misses nothing by polling; if not, it is
 *        refused instead
 * @param is_long whether it does so over HTTP/1.x, too
 * @param thread out: for sse_threads_give_back()
 */
sse_thread_e sse_threads_take(request_rec *r, sse_threads_conn_t *conn,
                              int can_poll, int is_long, sse_thread_t *thread);

/** The same, too late to refuse: take a thread, or else one for a moment.
 *  Request thread. */
sse_thread_e sse_threads_force(request_rec *r, sse_thread_t *thread);

/** The stream that the thread was taken for.  Request thread. */
void sse_threads_bind(sse_thread_t *thread, sse_stream_t *stream);

/** How many requests of this connection mod_http2 serves at a time.  Any
 *  thread. */
int sse_threads_at_a_time(sse_threads_conn_t *conn);

/** The stream's thread goes on: give back what it has, once.  Request thread.
 *  @param is_reset whether the client has reset the stream */
void sse_threads_give_back(sse_thread_t *thread, int is_reset);

#endif /* SSE_THREADS_H */
