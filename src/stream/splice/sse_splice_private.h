/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_private.h
 * What the files of the splice share: a spliced connection, and its streams
 * with the shadow requests under which they run.
 *
 * mod_http2's request and its secondary connection end soon after the splice.
 * So stream, callbacks, filters and log have a request of their own, the
 * shadow, which runs in the place of mod_http2's from the start: it is made
 * before anything of that is done, and what it writes goes down mod_http2's
 * request as its response, until a stream opens.
 *
 * Threads: the client's connection (c1) has one owner at a time: an MPM thread
 * or the loop (see sse_async_conn.h); only it touches c1, its filters and its
 * buckets.  A shadow is its request's thread's (one of mod_http2's) until its
 * stream is attached, then the loop's, then that of the worker that ends it.
 * What these share is under the connection's lock, a leaf but for the loop's
 * queue of tasks.
 */

#ifndef SSE_SPLICE_PRIVATE_H
#define SSE_SPLICE_PRIVATE_H

#include <httpd.h>
#include <pthread.h>
#include <sys/queue.h>
#include <util_filter.h>

#include "conn/sse_conn.h"
#include "stream/splice/sse_splice.h"
#include "stream/splice/sse_splice_frames.h"
#include "stream/sse_stream_private.h"

typedef struct sse_splice_conn_t sse_splice_conn_t;

/** A request over HTTP/2 that runs as a shadow.  malloc'ed: it outlives its
 *  pool until the loop, or else its thread, has let go of it. */
typedef struct sse_shadow_t {
    sse_conn_inner_t inner;  /* first: see there */
    sse_splice_conn_t *conn; /* const */
    apr_uint32_t id;         /* const: HTTP/2's */
    apr_pool_t *pool;        /* const: no other pool is a parent of it */
    conn_rec *c;             /* const: the shadow's connection */
    request_rec *r;          /* const */
    request_rec *outer;      /* request: mod_http2's; NULL: it was let go */
    int has_head;            /* request: outer has the response's head */
    apr_bucket_brigade *bb;  /* request: in outer's pool, for its filters */
    sse_stream_t *stream;    /* const once it has run; NULL: no stream */

    /* Under the connection's lock. */
    char *out;            /* malloc'ed: what came down the chain and waits */
    apr_size_t from, end; /* of it */
    apr_size_t size;
    int is_added;           /* the connection has it: a stream of ours */
    int is_open;            /* frames of ours may go */
    int is_last;            /* END_STREAM follows what waits */
    int is_over;            /* nothing goes any more */
    int is_listed;          /* something waits that may go */
    int is_passed;          /* all went down c1's chain; not written out */
    int is_written;         /* it was written out; the loop is to know */
    sse_close_reason_e why; /* over, and why */
    apr_off_t bytes;        /* sent, for the log */
    TAILQ_ENTRY(sse_shadow_t) ready; /* those listed */
    TAILQ_ENTRY(sse_shadow_t) link;  /* those added */

    sse_task_t gone_task; /* its request has ended */
    sse_job_t job;        /* its request ends */
} sse_shadow_t;

/* sse_splice_conn.c: connections */

/** The connection's object while frames may be put in; NULL: not this one.
 *  Any thread, while the connection lives.
 *  @param c1 the client's */
sse_splice_conn_t *sse_splice_conn_of(conn_rec *c1);

/** Whether this request may become a stream of ours.  Request thread. */
int sse_splice_conn_may_add(sse_splice_conn_t *conn, apr_uint32_t id);

/** Its request has ended and its pool is gone: frees the shadow.  Any thread;
 *  of one that was added the loop's part comes later, and c1 stays until
 *  then. */
void sse_splice_conn_leave(sse_shadow_t *shadow);

/** Its stream opens: put frames of ours in from when mod_http2's last frame of
 *  it has gone.  Request thread.
 *  @return 0: the client has reset it already, or the connection ends */
int sse_splice_conn_add(sse_shadow_t *shadow);

/** These bytes wait for the stream's frames.  loop. */
void sse_splice_put(sse_shadow_t *shadow, const char *bytes, apr_size_t len);
/** And these were the last.  loop. */
void sse_splice_put_end(sse_shadow_t *shadow);

/* sse_splice_shadow.c: request thread, unless tagged */

/** register_hooks: the filters of shadows' connections. */
void sse_shadow_register(void);

/** The shadow of this connection; NULL: it is none's.  Any thread. */
sse_shadow_t *sse_shadow_of(conn_rec *c);

/** Make a shadow of mod_http2's request: its connection, its request as it has
 *  been read.
 *  @param headers what the client sent, as no hook has changed it yet
 *  @return NULL: that cannot be done */
sse_shadow_t *sse_shadow_create(sse_splice_conn_t *conn, apr_uint32_t id,
                                request_rec *outer, const apr_table_t *headers);

/** End mod_http2's response, and let go of it: what comes down the chain from
 *  now on is put into frames. */
void sse_shadow_let_go(sse_shadow_t *shadow);

/** Log its request, destroy its pool, and leave the connection.  Any thread but
 *  the loop, when the response has been ended or is given up. */
void sse_shadow_destroy(sse_shadow_t *shadow);

/** Destroy it as if it had not been. */
void sse_shadow_drop(sse_shadow_t *shadow);

/* sse_splice_request.c */

/** register_hooks: requests that run as shadows. */
void sse_splice_request_register(void);

/* sse_splice_tell.c */

/** Besides sse_frames_add_e: its connection is not a spliced one. */
#define SSE_SPLICE_NO_CONN (SSE_FRAMES_RESETS + 1)

/** Log why a stream over HTTP/2 takes a thread although SSEHTTP2 is splice: a
 *  notice for the first in this child with that reason.  Request thread.
 *  @param why of sse_frames_add_e, or SSE_SPLICE_NO_CONN */
void sse_splice_tell_of_thread(request_rec *r, int why);

/* sse_splice_drive.c */

/** Its handler has returned SUSPENDED: the loop may have the stream.  Request
 *  thread, which has passed the end of mod_http2's response. */
void sse_splice_attach(sse_shadow_t *shadow);

#endif /* SSE_SPLICE_PRIVATE_H */
