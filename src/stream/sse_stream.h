/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream.h
 * One open response: what waits for it, how it is written, why it ends.
 *
 * A stream is fed buffers and writes them, by one of two drives: asynchronous
 * (event MPM, HTTP/1.x: the loop owns the connection and does the writing) or
 * waiting (all else: the handler's own thread waits and writes; the loop only
 * watches).  It knows nothing of channels: its source, the hub, hears when it
 * may feed it and when it must stop.
 *
 * Life: made and run by the handler.  Counted; the drive holds one reference
 * until the request is let go, each open libuv handle one more.  The request
 * is whole until the stream_close hook has returned.
 *
 * What waits: SSEQueue bounds it for what its source feeds it, and for what an
 * application sends.  A source whose push is refused reads on from where it has
 * its events when on_drained() comes: memory is not where a client that reads
 * slowly waits.  Nobody's stream is ended because much waits, but because none
 * of it goes out for the queue's time (sse_stream_slow.c).
 *
 * The end: whoever sets the reason, by one compare-and-swap, has ended it; all
 * later ends do nothing.  The loop then stops feeding, lets what waits drain
 * where the reason allows it, has the end told, and lets the request go.
 *
 * Lock order: a stream's lock is a leaf but for the loop's queue, which may be
 * taken under it.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_STREAM_H
#define SSE_STREAM_H

#include <httpd.h>

#include "loop/sse_loop.h"
#include "mod_sse.h"
#include "store/sse_store.h"
#include "stream/format/sse_format.h"

/** What feeds a stream.  All on the loop. */
typedef struct {
    /** The loop has the stream: it may be fed from now. */
    void (*on_attached)(sse_stream_t *stream, void *baton);
    /** Nothing waits any more; called after each time something did. */
    void (*on_drained)(sse_stream_t *stream, void *baton);
    /** Whether it has given all that there is for now.
     *  @param upto out: the id that a client which has all of that may come
     *         back with; 0: the last it was sent */
    int (*is_caught_up)(sse_stream_t *stream, void *baton, sse_id_t *upto);
    /** It takes no more.  Comes once for each stream that was created, also
     *  where on_attached never came; the baton may go. */
    void (*on_ended)(sse_stream_t *stream, void *baton);
} sse_source_t;

/** Settings, from the location. */
typedef struct {
    apr_interval_time_t heartbeat;
    apr_interval_time_t retry;
    apr_interval_time_t dead_peer;
    apr_interval_time_t max_age;
    apr_size_t queue_bytes;
    int queue_drop;                 /**< never end a slow client's stream */
    apr_interval_time_t queue_time; /**< without progress; 0: no limit */
    int half_keep;
} sse_stream_opts_t;

/** The settings in force for this request.  Request thread. */
void sse_stream_opts(request_rec *r, sse_stream_opts_t *opts);

/** What a stream is made of. */
typedef struct {
    sse_stream_opts_t opts;
    const sse_format_t *format;
    const char *channels; /**< for the log note; lives as long as the request */
    const sse_source_t *source;
    void *baton;         /**< the source's */
    sse_id_t now;        /**< a client that is sent nothing may come back with
                              that id; 0: with its own */
    int can_poll;        /**< its client misses nothing where the stream ends
                              and it comes again with the last id */
    sse_ready_fn *ready; /**< run on a worker when it is open, or NULL */
    void *ready_baton;
} sse_stream_plan_t;

/**
 * Send the head and run the stream.  Request thread; what it returns is what
 * the handler returns: SUSPENDED, or OK when all is over.  The request may be
 * gone by then, unless it was refused, with nothing sent and Retry-After set:
 * HTTP_SERVICE_UNAVAILABLE (SSEMaxStreams, SSEMaxThreads),
 * HTTP_TOO_MANY_REQUESTS (SSEMaxStreamsPerClient); the note sse-refused says
 * which.  HTTP_MISDIRECTED_REQUEST, see below, is another such answer.
 */
int sse_stream_run(request_rec *r, const sse_stream_plan_t *plan);

/** Whether the request came over another host's HTTP/2 connection, and its own
 *  host has no HTTP/2: answered 421, a browser makes a connection of its own.
 *  Request thread. */
int sse_stream_is_misdirected(request_rec *r);

/** The head of a stream's response, without a stream (HEAD; a child that is
 *  leaving).  Request thread. */
void sse_stream_head(request_rec *r, const sse_format_t *format);

sse_stream_t *sse_stream_acquire(sse_stream_t *stream); /**< any thread */
void sse_stream_release(sse_stream_t *stream);          /**< any thread */

/** What to do when more waits than SSEQueue allows. */
typedef enum {
    SSE_PUSH_ALWAYS, /**< send it all the same: a piece of what is caught up
                          on, when nothing waits; comments */
    SSE_PUSH_BOUNDED /**< refuse */
} sse_push_e;

/**
 * Have these bytes sent.  Any thread.  Takes a reference of its own.
 * @return APR_SUCCESS; APR_EAGAIN: refused, the queue is full; APR_EOF: ended
 *         by us; APR_ECONNABORTED: the client is gone
 */
apr_status_t sse_stream_push(sse_stream_t *stream, sse_buf_t *buf,
                             sse_push_e how);

/**
 * End it.  Any thread.  What waits is still sent where the reason is ours and
 * the client can take it.
 * @return APR_SUCCESS, or APR_EOF: it had ended already
 */
apr_status_t sse_stream_end(sse_stream_t *stream, sse_close_reason_e reason,
                            apr_status_t status);

/**
 * End it for a reason that ends many others as well: its client is told when to
 * come back, half to one and a half of SSERetry from now, so that not all of
 * them come at one time.  loop.
 */
void sse_stream_dismiss(sse_stream_t *stream, sse_close_reason_e reason);

/** Why it ended, or SSE_CLOSE_NONE.  Any thread. */
sse_close_reason_e sse_stream_reason(const sse_stream_t *stream);

/** What to answer who uses it after its end: APR_EOF or APR_ECONNABORTED.  Any
 *  thread. */
apr_status_t sse_stream_ended_status(const sse_stream_t *stream);

/** The host it belongs to.  Any thread. */
server_rec *sse_stream_server(const sse_stream_t *stream);

/** How it looks on the wire.  Any thread. */
const sse_format_t *sse_stream_format(const sse_stream_t *stream);

/** Its settings, which do not change.  Any thread. */
const sse_stream_opts_t *sse_stream_settings(const sse_stream_t *stream);

/** Whether nothing waits to be written.  Any thread. */
int sse_stream_is_drained(sse_stream_t *stream);

/** Have on_drained called soon, if nothing waits. loop. */
void sse_stream_poke(sse_stream_t *stream);

/** Its source's baton until on_ended, else NULL.  loop. */
void *sse_stream_source(const sse_stream_t *stream);

/** child_init, before the loop is started.
 *  @param is_async whether the MPM can suspend connections */
void sse_stream_open_init(sse_loop_t *loop, int is_async);

#endif /* SSE_STREAM_H */
