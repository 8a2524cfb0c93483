/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_callbacks.h
 * The callbacks that wait for one request's end, and that they run once.
 *
 * Every stream has a callbacks; any other request gets one with the first
 * sse_on_close() or by SSEWatch.  Callbacks run one after the other, in the
 * order they were registered, on a worker thread.  One that is registered after
 * the end runs at once, likewise, with the stored reason.
 *
 * User code that was given the request pins it: a request that has ended is let
 * go when its end has been told and nobody pins it.
 *
 * Life: counted; the request holds a reference, each watch handle none: a
 * handle lives as long as its request.
 *
 * Threads: any, but for what is tagged.  The lock is a leaf but for the loop's
 * queue, and is never held over a callback.
 */

#ifndef SSE_CALLBACKS_H
#define SSE_CALLBACKS_H

#include "loop/sse_loop.h"
#include "notify/sse_listeners.h"

typedef struct sse_callbacks_t sse_callbacks_t;

/** The list of callbacks of this request (of the one that the client sent,
 *  where r is a subrequest or an internal redirect), or NULL. */
sse_callbacks_t *sse_callbacks_find(request_rec *r);

/** The same, made at need.  Request thread. */
sse_callbacks_t *sse_callbacks_of(request_rec *r, sse_loop_t *loop);

/** The request that the client sent. */
request_rec *sse_callbacks_first(request_rec *r);

/** What watches the request while it is no stream; see sse_watcher.h. */
struct sse_watcher_t *sse_callbacks_watcher(const sse_callbacks_t *callbacks);
void sse_callbacks_set_watcher(sse_callbacks_t *callbacks,
                               struct sse_watcher_t *watcher);

/** It is a stream: there is nothing to arm. */
void sse_callbacks_set_stream(sse_callbacks_t *callbacks);
int sse_callbacks_is_stream(const sse_callbacks_t *callbacks);

void sse_callbacks_acquire(sse_callbacks_t *callbacks);
void sse_callbacks_release(sse_callbacks_t *callbacks);

/** Register. @return APR_SUCCESS; APR_EOF: the request is being let go; another
 *          error: there can be no thread that would run it */
apr_status_t sse_callbacks_add(sse_callbacks_t *callbacks, request_rec *r,
                               apr_uint32_t reasons, sse_close_fn *fn,
                               void *baton, sse_watch_t **watch);

/** @return APR_SUCCESS: it will not run; APR_EOF: it has run, is running, or
 *          was cancelled before */
apr_status_t sse_callbacks_cancel(sse_watch_t *watch);

/** Runs a request's callbacks at its end. */
extern const sse_listener_t sse_callbacks_listener;

/** Keep the request whole. @return 0: it is being let go */
int sse_callbacks_pin(sse_callbacks_t *callbacks);
void sse_callbacks_unpin(sse_callbacks_t *callbacks);

/** The end was told: when nobody pins it, post this task, and let nobody pin
 *  it again. */
void sse_callbacks_finish(sse_callbacks_t *callbacks, sse_task_t *task);

/** The same, waiting for it. Not on the loop. */
void sse_callbacks_finish_wait(sse_callbacks_t *callbacks);

#endif /* SSE_CALLBACKS_H */
