/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_listeners.h
 * Who is told of what happens: one registry of listeners.
 *
 * A listener is a constant with a function for each event that it can be told
 * of, registered before the children are made.  The C hooks of mod_sse.h
 * (sse_notify.c), the callbacks of single requests (sse_callbacks.c) and the
 * registry of open streams (sse_crash.c) are listeners like any other.
 *
 * An event that no listener wants costs a look at this registry: nothing is
 * allocated, posted or locked for it.  Where telling needs preparation, ask
 * sse_listeners_want() first.
 *
 * Each event is told in the child where it happens, a crash in another one.
 * "First" and "last" are those of the whole server, and are told once
 * (src/hub/sse_presence.h).
 *
 * Threads: sse_listeners_add() in register_hooks or earlier; everything else
 * any thread.  On which thread a listener is told stands at each of its
 * functions.  No lock is held.
 */

#ifndef SSE_LISTENERS_H
#define SSE_LISTENERS_H

#include "mod_sse.h"
#include "store/sse_store.h"

/** The events, as bits of a mask. */
typedef enum {
    SSE_TELL_OPENED = 1 << 0,
    SSE_TELL_CLOSED = 1 << 1,
    SSE_TELL_CRASHED = 1 << 2,
    SSE_TELL_PUBLISHED = 1 << 3,
    SSE_TELL_FIRST = 1 << 4,
    SSE_TELL_LAST = 1 << 5
} sse_tell_e;

/** The end of a stream, or of a watched request. */
typedef struct {
    sse_stream_t *stream; /**< NULL: a request that is no stream */
    request_rec *r;       /**< whole, with its response, until all are told */
    int was_opened;       /**< its opening was told */
    sse_close_t close;    /**< without a pool */
} sse_ended_t;

/** Who has published. */
typedef struct {
    request_rec *r;     /**< NULL: a C module */
    server_rec *server; /**< the host */
} sse_publisher_t;

/** A channel's first subscriber, or its last one. */
typedef struct {
    sse_slice_t channel; /**< the channel's key */
    sse_slice_t route;   /**< what route() has made of its request; or empty */
    sse_slice_t stream;  /**< the id of the stream that it came with */
    apr_time_t time;     /**< when it came, or left */
} sse_subscriber_t;

typedef struct {
    /** The events to be told of, each time.  Their functions are set. */
    apr_uint32_t mask;

    /** Whether this event of the mask is wanted at present, or NULL: always.
     *  What it answers is fixed once the child serves requests.  Any thread. */
    int (*wants)(sse_tell_e event);

    /** NULL, or for a listener to some ends only, which has closed() but not
     *  SSE_TELL_CLOSED in its mask: whether it wants this end.  loop.  Not
     *  asked if a listener that is told earlier wants it: both are told then.
     *  @return 0: it does not */
    int (*wants_end)(const sse_ended_t *ended);

    /** A stream's head has been sent, or SSEWatch begins to watch a request.
     *  @param stream NULL: a watched request.  Request thread; may block */
    void (*opened)(sse_stream_t *stream, request_rec *r);

    /** An end; with SSE_TELL_CLOSED, of all that was opened.  Worker
     *  (SSE_WORKERS_CLOSE); may block */
    void (*closed)(const sse_ended_t *ended);

    /** Another child died with this stream open.  Worker (SSE_WORKERS_CRASH);
     *  may block */
    void (*crashed)(const sse_crash_t *crash);

    /** This child has appended these events; one that is marked as a duplicate
     *  was there before.  The publisher's thread: must not block */
    void (*published)(const sse_publisher_t *by, const sse_append_t *items,
                      int n);

    /** A channel has its first subscriber in this server, or has lost its last
     *  one.  Worker (SSE_WORKERS_PRESENCE), in any child: must not block for
     *  long */
    void (*first)(const sse_subscriber_t *subscriber);
    void (*last)(const sse_subscriber_t *subscriber);

    /** With first() and last().  NULL: they are told of all channels.  Else:
     *  what is to be kept with the subscriptions of this request, for first()
     *  and last() to be called with; text, which any child understands, also
     *  after a restart.  One listener at most has this function.
     *  Request thread.
     *  @return NULL: they are not told of these; or in r->pool */
    const char *(*route)(request_rec *r);
} sse_listener_t;

/** At most so many. */
#define SSE_LISTENERS_MAX 16

/** Register; again without effect.  Listeners are told in the order of their
 *  registration, of ends in the reverse order.  Aborts if there are too
 *  many. */
void sse_listeners_add(const sse_listener_t *listener);

/** The same, before all that sse_listeners_add() has registered, or will. */
void sse_listeners_add_head(const sse_listener_t *listener);

/** Whether any listener wants this event. */
int sse_listeners_want(sse_tell_e event);

/** Whether any listener wants this end.  loop; once for each end. */
int sse_listeners_want_end(const sse_ended_t *ended);

/* Tell those who want it.  On the thread that the listener's function says. */
void sse_listeners_opened(sse_stream_t *stream, request_rec *r);
void sse_listeners_closed(const sse_ended_t *ended);
void sse_listeners_crashed(const sse_crash_t *crash);
void sse_listeners_published(const sse_publisher_t *by,
                             const sse_append_t *items, int n);
void sse_listeners_first(const sse_subscriber_t *subscriber);
void sse_listeners_last(const sse_subscriber_t *subscriber);

/** What is to be kept with the subscriptions of this request; "": nothing, but
 *  a listener wants to be told.  Request thread.
 *  @return NULL: nobody wants to be told when its channels have a first or lose
 *          their last subscriber */
const char *sse_listeners_route(request_rec *r);

#endif /* SSE_LISTENERS_H */
