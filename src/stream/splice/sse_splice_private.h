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
#include "stream/async/sse_async_conn.h"
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
    request_rec *answers;    /* request: after redirects, who does; NULL: not
                                yet */
    int has_head;            /* request: outer has the response's head */
    apr_bucket_brigade *bb;  /* request: in outer's pool, for its filters */
    sse_stream_t *stream;    /* const once it has run; NULL: no stream */

    /* Under the connection's lock. */
    char *out;            /* malloc'ed: what came down the chain and waits */
    apr_size_t from, end; /* of it */
    apr_size_t size;
    int is_open;            /* frames of ours may go */
    int is_last;            /* END_STREAM follows what waits */
    int is_over;            /* nothing goes any more */
    int is_listed;          /* something waits that may go */
    int is_passed;          /* all went down c1's chain; not written out */
    int is_written;         /* it was written out; the loop is to know */
    int is_stuck;           /* loop: see sse_splice_turn.c */
    sse_close_reason_e why; /* over, and why; NONE: as the connection */
    apr_off_t bytes;        /* sent, for the log */
    TAILQ_ENTRY(sse_shadow_t) ready; /* those listed */
    TAILQ_ENTRY(sse_shadow_t) link;  /* those added */
    TAILQ_ENTRY(sse_shadow_t) loops; /* loop: those attached */
    int is_attached;                 /* loop */

    sse_task_t gone_task; /* its request has ended */
    sse_job_t job;        /* its request ends */
} sse_shadow_t;

/** Linked by "ready". */
typedef TAILQ_HEAD(sse_ready_t, sse_shadow_t) sse_ready_t;

/** A client's connection that speaks HTTP/2.  Lives in its pool. */
struct sse_splice_conn_t {
    conn_rec *c;             /* const: c1 */
    sse_loop_t *loop;        /* const */
    apr_socket_t *sock;      /* const */
    int fd;                  /* const: its descriptor */
    ap_filter_t *in, *out;   /* const: our places in its chains */
    sse_async_conn_t *async; /* owner; const once it has a stream */
    apr_bucket_brigade *bb;  /* owner: empty, to use */
    char *held; /* owner, malloc'ed: what the loop has read for mod_http2 */
    apr_size_t n_held, size_held;
    conn_state_t cs;         /* owner: in place of the MPM's while hooks run */
    conn_state_t *mpms;      /* owner: that; NULL: it is in its place */
    int is_at_end;           /* owner: the client sends no more */
    sse_close_reason_e seen; /* owner: why, if mod_http2 has read so */
    int is_declined;         /* owner: it speaks HTTP/1.x: all else is freed */
    int is_kept;     /* owner: it has had a stream: the loop's for life */
    int was_taken;   /* owner: the loop has had it */
    int was_aborted; /* owner: it was broken before that; the MPM is not told */
    int has_more;    /* loop: it has not read all that there is */
    int is_done;     /* loop: mod_http2 has ended its session */
    int is_closed;   /* loop: and so have we */
    sse_close_reason_e why; /* loop: of its streams' ends, once it is closing */
    apr_status_t status;    /* likewise */
    int poll_fd;   /* const: what mod_http2 polls in place of the socket */
    int is_posing; /* owner: poll_fd stands for the socket */
    int is_http2;  /* owner: it has, so mod_http2 has its session */
    /* owner: mod_http2 runs again for window that was kept for it; how often it
     * has got such, and had when it was run */
    int is_due;
    apr_uint64_t n_kept, n_kept_before;

    pthread_mutex_t lock;
    pthread_cond_t cond;                /* lock: a stream has gone */
    sse_frames_t *frames;               /* lock */
    int n;                              /* lock: those added */
    TAILQ_HEAD(, sse_shadow_t) shadows; /* lock */
    sse_ready_t ready;                  /* lock: they have bytes that may go */
    sse_ready_t passed; /* lock: all of theirs is in c1's chain */
    char *control;      /* lock, malloc'ed: frames that go first */
    apr_size_t n_control, size_control;
    int is_served;  /* lock: an MPM thread has c1, or is about to */
    int is_woken;   /* lock: its poll has been told to return */
    int is_closing; /* lock: no more streams */
    TAILQ_HEAD(, sse_shadow_t) attached; /* loop: of those, which it has */
    int is_waited; /* lock: the MPM destroys c1 when no stream is left */
    int is_told;   /* lock: and the loop has ended them */
    sse_task_t write_task; /* loop: something waits that may go */
    sse_task_t close_task; /* loop: c1 goes without the loop's help */
};

/* sse_splice_conn.c: connections */

/** The connection's object while frames may be put in; NULL: not this one.
 *  Any thread, while the connection lives.
 *  @param c1 the client's */
sse_splice_conn_t *sse_splice_conn_of(conn_rec *c1);

/** Whether this request may become a stream of ours.  Request thread.
 *  @return SSE_FRAMES_ADDED, or why not */
sse_frames_add_e sse_splice_conn_may_add(sse_splice_conn_t *conn,
                                         apr_uint32_t id);

/** Its stream opens: put frames of ours in from when mod_http2's last frame of
 *  it has gone.  From now on c1 stays until sse_splice_conn_leave().  Request
 *  thread.
 *  @return 0: the client has reset it already, or the connection ends */
int sse_splice_conn_add(sse_shadow_t *shadow);

/** Its request has ended and its pool is gone: frees the shadow.  Any thread;
 *  of one that has a stream the loop's part comes later. */
void sse_splice_conn_leave(sse_shadow_t *shadow);

/** Nothing more is sent on the stream: if it is open it is reset, with this
 *  code of RFC 9113, 7.  loop. */
void sse_splice_conn_cut(sse_shadow_t *shadow, apr_uint32_t code);
/** The same, but what waits goes, with END_STREAM, if the windows have room for
 *  it.  loop. */
void sse_splice_conn_end(sse_shadow_t *shadow);

/** These bytes wait for the stream's frames.  loop. */
void sse_splice_put(sse_shadow_t *shadow, const char *bytes, apr_size_t len);
/** And these were the last.  loop. */
void sse_splice_put_end(sse_shadow_t *shadow);

/** Owner, before its first request: it speaks HTTP/1.x.  Its filters, which
 *  stay, pass all on. */
void sse_splice_conn_decline(sse_splice_conn_t *conn);

/** Owner: it has a stream: from now on it can be the loop's. */
void sse_splice_adopt(sse_splice_conn_t *conn);

/** register_hooks: hooks of connections. */
void sse_splice_conn_register(void);

/* sse_splice_filter.c: owner, but where tagged */

/** register_hooks. */
void sse_splice_filter_register(void);
/** Put the filters into c1's chains. */
void sse_splice_add_filters(sse_splice_conn_t *conn);
/** mod_http2 is about to ask for the socket: give it what can be woken. */
void sse_splice_pose(sse_splice_conn_t *conn);
/** Any thread: mod_http2 has requests to answer, and window is kept for it. */
int sse_splice_has_kept(sse_splice_conn_t *conn);
/** It has asked. */
void sse_splice_stop_posing(sse_splice_conn_t *conn);
/** Under the lock, any thread: have it return from its poll. */
void sse_splice_wake(sse_splice_conn_t *conn);
/** MPM thread: it may have been woken: write.
 *  @return an error: the connection is broken */
apr_status_t sse_splice_write_woken(sse_splice_conn_t *conn);
/** loop: read what the client sends; what is mod_http2's is kept for it.  When
 *  there is such it stops, to have mod_http2 run; called again, it goes on for
 *  the streams' sake until it is full.
 *  @return APR_SUCCESS: there may be more; APR_EAGAIN; else why there will be
 *          no more */
apr_status_t sse_splice_read(sse_splice_conn_t *conn);
/** loop: mod_http2 has to read before any more is. */
int sse_splice_is_full(const sse_splice_conn_t *conn);

/* sse_splice_turn.c: whose turn it is.  loop, but where tagged */

/** Any thread: something waits that may go. */
void sse_splice_kick(sse_splice_conn_t *conn);
/** A stream of it is attached: from now on it shares the connection's end. */
void sse_splice_attached(sse_shadow_t *shadow);
/** A stream has gone. */
void sse_splice_rest(sse_splice_conn_t *conn);
/** A new connection's tasks. */
void sse_splice_turn_prepare(sse_splice_conn_t *conn);
/** What its asynchronous connection carries. */
extern const sse_async_carrier_t sse_splice_carrier;

/* sse_splice_thread.c: MPM thread, but where tagged */

/** Any thread: whether it has streams of ours. */
int sse_splice_has_streams(sse_splice_conn_t *conn);
/** Owner: whether mod_http2 has ended its session. */
int sse_splice_has_ended(const sse_splice_conn_t *conn);
/** Hooks are about to run on c1: its state is ours until they have returned.
 *  mod_http2's secondary connections share it, and write it, be it to close,
 *  from threads of their own. */
void sse_splice_take_state(sse_splice_conn_t *conn);
/** Whether mod_http2, which has returned, is to run again. */
int sse_splice_is_due(sse_splice_conn_t *conn);
/** It has returned for now. */
void sse_splice_returned(sse_splice_conn_t *conn);
/** The state is the MPM's again, with what the hooks have left. */
void sse_splice_give_state_back(sse_splice_conn_t *conn);
/** After that: wait a little for the next request, and write meanwhile.
 *  @return whether there is something to read: have mod_http2 go on */
int sse_splice_stays(sse_splice_conn_t *conn);
/** Last: the thread leaves the connection. */
void sse_splice_left(sse_splice_conn_t *conn);

/* sse_splice_write.c */

/** Owner: put in frames of ours, if they may stand here, and write what the
 *  socket takes.  Never blocks.
 *  @param done out: NULL, or those of which all has been written out, linked by
 *         "ready"; else the loop is told later
 *  @return an error: the connection is broken */
apr_status_t sse_splice_write(sse_splice_conn_t *conn, sse_ready_t *done);
/** Under the lock: it has something that may go. */
void sse_splice_list(sse_splice_conn_t *conn, sse_shadow_t *shadow);
/** Under the lock: it has nothing that may go, and keeps nothing. */
void sse_splice_drop(sse_splice_conn_t *conn, sse_shadow_t *shadow);
/** Under the lock: a RST_STREAM is to go. */
void sse_splice_add_reset(sse_splice_conn_t *conn, apr_uint32_t id,
                          apr_uint32_t code);
/** Under the lock: what waits is to go, with END_STREAM.
 *  @return 0: the windows have no room for it */
int sse_splice_add_end(sse_splice_conn_t *conn, sse_shadow_t *shadow);
/** Under the lock: whether anything waits, be it for a window. */
int sse_splice_waits(const sse_shadow_t *shadow);

/* sse_splice_shadow.c: request thread, unless tagged */

/** register_hooks: the filters of shadows' connections. */
void sse_shadow_register(void);

/** The shadow of this connection; NULL: it is none's.  Any thread. */
sse_shadow_t *sse_shadow_of(conn_rec *c);

/** child_init, where connections may be spliced. */
void sse_shadow_start(void);
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

/** register_hooks: which requests run as shadows. */
void sse_splice_request_register(void);

/* sse_splice_tell.c */

/** Besides sse_frames_add_e: its connection is not a spliced one; or it is, but
 *  when it came nothing told that a stream was asked for. */
#define SSE_SPLICE_NO_CONN   (SSE_FRAMES_RESETS + 1)
#define SSE_SPLICE_NO_SHADOW (SSE_FRAMES_RESETS + 2)

/** Log why a stream over HTTP/2 takes a thread although SSEHTTP2 is splice: a
 *  notice for the first in this child with that reason.  Request thread.
 *  @param why of sse_frames_add_e, or one of these */
void sse_splice_tell_of_thread(request_rec *r, int why);

/* sse_splice_drive.c */

/** loop: all that had come down the chain was written out. */
void sse_splice_on_written(sse_shadow_t *shadow);

/** The shadow, which has a stream, is no longer its request's thread's: the
 *  loop may have it.  Request thread, which has passed the end of mod_http2's
 *  response.
 *  @param is_suspended whether its handler has returned SUSPENDED; if not, the
 *         stream ends, and the log says why */
void sse_splice_attach(sse_shadow_t *shadow, int is_suspended);

#endif /* SSE_SPLICE_PRIVATE_H */
