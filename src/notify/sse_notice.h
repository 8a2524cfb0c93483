/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_notice.h
 * The callbacks that wait for one request's end, and that they run once.
 *
 * Every stream has a notice; any other request gets one with the first
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

#ifndef SSE_NOTICE_H
#define SSE_NOTICE_H

#include "loop/sse_loop.h"
#include "mod_sse.h"

typedef struct sse_notice_t sse_notice_t;

/** The notice of this request (of the one that the client sent, where r is a
 *  subrequest or an internal redirect), or NULL. */
sse_notice_t *sse_notice_find(request_rec *r);

/** The same, made at need.  Request thread. */
sse_notice_t *sse_notice_of(request_rec *r, sse_loop_t *loop);

/** The request that the client sent. */
request_rec *sse_notice_first(request_rec *r);

/** What watches the request while it is no stream; see sse_watcher.h. */
struct sse_watcher_t *sse_notice_watcher(const sse_notice_t *notice);
void sse_notice_set_watcher(sse_notice_t *notice,
                            struct sse_watcher_t *watcher);

/** It is a stream: there is nothing to arm. */
void sse_notice_set_stream(sse_notice_t *notice);
int sse_notice_is_stream(const sse_notice_t *notice);

void sse_notice_acquire(sse_notice_t *notice);
void sse_notice_release(sse_notice_t *notice);

/** Register. @return APR_SUCCESS; APR_EOF: the request is being let go; another
 *          error: there can be no thread that would run it */
apr_status_t sse_notice_add(sse_notice_t *notice, request_rec *r,
                            apr_uint32_t reasons, sse_close_fn *fn, void *baton,
                            sse_watch_t **watch);

/** @return APR_SUCCESS: it will not run; APR_EOF: it has run, is running, or
 *          was cancelled before */
apr_status_t sse_notice_cancel(sse_watch_t *watch);

/** Whether a callback waits; if none does, the end counts as told. */
int sse_notice_close_unheard(sse_notice_t *notice, const sse_close_t *close,
                             const char *last_event_id);

/** Worker: run what waits. */
void sse_notice_run(sse_notice_t *notice, const sse_close_t *close,
                    const char *last_event_id);

/** Keep the request whole. @return 0: it is being let go */
int sse_notice_pin(sse_notice_t *notice);
void sse_notice_unpin(sse_notice_t *notice);

/** The end was told: when nobody pins it, post this task, and let nobody pin
 *  it again. */
void sse_notice_finish(sse_notice_t *notice, sse_task_t *task);

/** The same, waiting for it. Not on the loop. */
void sse_notice_finish_wait(sse_notice_t *notice);

#endif /* SSE_NOTICE_H */
