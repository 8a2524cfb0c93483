/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream.h
 * One open response: what waits to be written, how it is written, why it ends.
 *
 * One of two drives writes: asynchronous (event MPM, HTTP/1.x: the loop owns
 * the connection) or waiting (all else: the handler's own thread waits and
 * writes, the loop only watches).  A stream knows nothing of channels: its
 * source (a subscription, or the output of a program) is called when it may
 * feed the stream, or must stop.
 *
 * Life: made by sse_open_run().  Reference-counted: the drive holds one
 * reference until the request is released, each open libuv handle another.  The
 * request is valid until all listeners have been told of the end.
 *
 * Queue: SSEQueue bounds what waits.  A source whose push is refused goes on
 * when on_drained() comes: a subscription reads the store, a program's output
 * its pipe.  A stream ends not because much waits, but because none of it goes
 * out (sse_stream_slow.c).
 *
 * End: whoever sets the reason, by one compare-and-swap, has ended the stream.
 * The loop then stops feeding it, writes what waits if the reason allows that,
 * has the end told, and releases the request.
 *
 * Threads: tagged.  Under a stream's lock only these are taken: the lock of the
 * loop's queue, that of sse_h2_requests, and under the latter sse_threads'.
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
    /** The loop has the stream: it may be fed from now on. */
    void (*on_attached)(sse_stream_t *stream, void *baton);
    /** The queue has become empty. */
    void (*on_drained)(sse_stream_t *stream, void *baton);
    /** Whether the source has given all that there is for now.
     *  @param upto out: the id that a client which has all of that may come
     *         back with; 0: the last one it was sent */
    int (*is_caught_up)(sse_stream_t *stream, void *baton, sse_id_t *upto);
    /** The stream takes no more.  Called once for each stream, even if
     *  on_attached never was; the baton may be freed. */
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
    int half_keep;                  /**< a half-closed connection stays open */
} sse_stream_opts_t;

/** A long poll: a stream that ends once its client has something. */
typedef struct {
    apr_interval_time_t wait; /**< for that; 0: send what is due, and end */
    apr_uint64_t limit;       /**< how many events; 0: it is no long poll */
    const char *last; /**< the id that its client has given, any text, or NULL;
                           lives as long as the request */
} sse_poll_t;

/** What a stream is made of; see sse_open_run(). */
typedef struct {
    sse_stream_opts_t opts;
    const sse_format_t *format;
    const char *channels; /**< for the log note; lives as long as the request */
    const sse_slice_t *keys; /**< of the channels, until it has been opened */
    int n_keys;
    const sse_source_t *source;
    void *baton;     /**< the source's */
    sse_id_t now;    /**< the id that a client which is sent nothing may
                              come back with; 0: its own */
    int can_poll;    /**< the client misses nothing if the stream ends and
                              it comes back with the last id */
    sse_poll_t poll; /**< all zero: no long poll */
    /** NULL, or called by the request's thread when there is room for the
     *  stream, before its head is sent.  @return OK; else what sse_open_run()
     *  is to return, and no stream opens; DONE: it has been answered */
    int (*begin)(request_rec *r, void *baton);
    sse_ready_fn *ready; /**< called on a worker once it is open; or NULL */
    void *ready_baton;
} sse_stream_plan_t;

sse_stream_t *sse_stream_acquire(sse_stream_t *stream); /**< any thread */
void sse_stream_release(sse_stream_t *stream);          /**< any thread */

/** What to do when more waits than SSEQueue allows. */
typedef enum {
    SSE_PUSH_ALWAYS, /**< queue it: catching up, when nothing waits; comments */
    SSE_PUSH_BOUNDED /**< refuse it */
} sse_push_e;

/**
 * Queue these bytes.  Any thread.  Takes a reference of its own.
 * @return APR_SUCCESS; APR_EAGAIN: refused, the queue is full; APR_EOF: the
 *         server has ended the stream; APR_ECONNABORTED: the client has left
 */
apr_status_t sse_stream_push(sse_stream_t *stream, sse_buf_t *buf,
                             sse_push_e how);

/**
 * End the stream.  Any thread.  What waits is still sent if the server ends it
 * and the client can take it.
 * @return APR_SUCCESS, or APR_EOF: it had ended already
 */
apr_status_t sse_stream_end(sse_stream_t *stream, sse_close_reason_e reason,
                            apr_status_t status);

/** End the stream as others end: the client is told to come back after half to
 *  one and a half of SSERetry, so that not all come at the same time.  That of
 *  a long poll is told so only where it would disturb by coming at once.  loop.
 *  @param upto the id to come back with; 0: the last one it was sent */
void sse_stream_dismiss(sse_stream_t *stream, sse_close_reason_e reason,
                        sse_id_t upto);

/** End the stream, its client told to come back, as soon as all that is due has
 *  been sent: its thread is needed.  Any thread. */
void sse_stream_poll(sse_stream_t *stream);

/** Why it ended, or SSE_CLOSE_NONE.  Any thread. */
sse_close_reason_e sse_stream_reason(const sse_stream_t *stream);

/** The status for whoever uses it after its end: APR_EOF or APR_ECONNABORTED,
 *  as of sse_stream_push().  Any thread. */
apr_status_t sse_stream_ended_status(const sse_stream_t *stream);

/** Its id, as logs have it.  loop, while it is open. */
const char *sse_stream_id(const sse_stream_t *stream);

/** The host it belongs to.  Any thread. */
server_rec *sse_stream_server(const sse_stream_t *stream);

/** How it looks on the wire.  Any thread. */
const sse_format_t *sse_stream_format(const sse_stream_t *stream);

/** Its settings, which do not change.  Any thread. */
const sse_stream_opts_t *sse_stream_settings(const sse_stream_t *stream);

/** Whether nothing waits to be written.  Any thread. */
int sse_stream_is_drained(sse_stream_t *stream);

/** Have on_drained called soon, if nothing waits.  loop. */
void sse_stream_poke(sse_stream_t *stream);

/** Its source's baton until on_ended, then NULL.  loop. */
void *sse_stream_source(const sse_stream_t *stream);

#endif /* SSE_STREAM_H */
