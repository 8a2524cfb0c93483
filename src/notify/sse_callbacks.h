/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_callbacks.h
 * The callbacks that are registered for one request's end (sse_on_close()):
 * each runs at most once.
 *
 * Every stream has such a list; any other request gets one by its first
 * sse_on_close() or by SSEWatch.  Callbacks run on a worker, one after the
 * other, in the order of their registration.  A callback that is registered
 * after the end runs at once, with the stored reason.
 *
 * While module code is given the request, the request is pinned: it is released
 * when its end has been told and no pin is left.
 *
 * Life: reference-counted; the request holds a reference, a watch handle holds
 * none and lives as long as its request.
 *
 * Threads: any, except where tagged.  Under the lock only the lock of the
 * loop's queue is taken; no callback runs under it.
 */

#ifndef SSE_CALLBACKS_H
#define SSE_CALLBACKS_H

#include "loop/sse_loop.h"
#include "notify/sse_listeners.h"

typedef struct sse_callbacks_t sse_callbacks_t;

/** The list of callbacks of this request (of the one that the client sent,
 *  where r is a subrequest or an internal redirect), or NULL. */
sse_callbacks_t *sse_callbacks_find(request_rec *r);

/** The same, made if there is none.  Request thread. */
sse_callbacks_t *sse_callbacks_of(request_rec *r, sse_loop_t *loop);

/** The request that the client sent. */
request_rec *sse_callbacks_first(request_rec *r);

/** The watcher (sse_watcher.h) of a request that is no stream, or NULL.
 *  @param callbacks may be NULL, too */
struct sse_watcher_t *sse_callbacks_watcher(const sse_callbacks_t *callbacks);
void sse_callbacks_set_watcher(sse_callbacks_t *callbacks,
                               struct sse_watcher_t *watcher);

/** The request is a stream and needs no watcher.
 *  @param channels their keys, which live until its opening has been told */
void sse_callbacks_set_stream(sse_callbacks_t *callbacks,
                              const sse_slice_t *channels, int n_channels);
int sse_callbacks_is_stream(const sse_callbacks_t *callbacks);

/** The keys of the channels that it opens with.  Until its opening has been
 *  told. @return how many */
int sse_callbacks_channels(const sse_callbacks_t *callbacks,
                           const sse_slice_t **channels);

/** What webhooks keep of the request's opening for its end, or NULL.  Set while
 *  the opening is told. */
void *sse_callbacks_kept(const sse_callbacks_t *callbacks);
void sse_callbacks_keep(sse_callbacks_t *callbacks, void *kept);

void sse_callbacks_acquire(sse_callbacks_t *callbacks);
void sse_callbacks_release(sse_callbacks_t *callbacks);

/** Register a callback.
 *  @return APR_SUCCESS; APR_EOF: the request is being released; another error:
 *          no thread can be made that would run it */
apr_status_t sse_callbacks_add(sse_callbacks_t *callbacks, request_rec *r,
                               apr_uint32_t reasons, sse_close_fn *fn,
                               void *baton, sse_watch_t **watch);

/** Cancel a callback.
 *  @return APR_SUCCESS: it will not run; APR_EOF: it has run, is running, or
 *          was cancelled before */
apr_status_t sse_callbacks_cancel(sse_watch_t *watch);

/** Runs a request's callbacks at its end. */
extern const sse_listener_t sse_callbacks_listener;

/** Keep the request whole.  @return 0: it is being released */
int sse_callbacks_pin(sse_callbacks_t *callbacks);
void sse_callbacks_unpin(sse_callbacks_t *callbacks);

/** The end was told: post this task once there is no pin; from then on the
 *  request cannot be pinned. */
void sse_callbacks_finish(sse_callbacks_t *callbacks, sse_task_t *task);

/** The same, but wait until there is no pin.  Not on the loop. */
void sse_callbacks_finish_wait(sse_callbacks_t *callbacks);

#endif /* SSE_CALLBACKS_H */
