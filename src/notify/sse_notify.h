/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_notify.h
 * This part's own listeners, of which the C hooks of mod_sse.h are one; and how
 * the listeners to an end are told: on a worker.
 *
 * A listener that blocks must not delay any stream, so ends are told by a small
 * pool of threads.  Where a listener wants every end, the pool's first thread
 * is reserved before anything opens, so that each end can be told.  For an end
 * that nobody wants there is no job and no thread.
 *
 * Threads: tagged at each function.
 */

#ifndef SSE_NOTIFY_H
#define SSE_NOTIFY_H

#include "loop/sse_loop.h"
#include "notify/sse_listeners.h"

/** An end to be told. */
typedef struct {
    sse_ended_t ended;      /**< close.last_event_id is set here */
    char last_event_id[40]; /**< a store's id; empty: none */
    char *last_event_text;  /**< instead, an application's own id, malloc'ed;
                                 or NULL.  Taken over */
    sse_task_t *done;       /**< posted to the loop when all have been told; the
                           request is whole until then */
    sse_loop_t *loop;
    apr_uint64_t seen; /**< when it was known, as of uv_hrtime(); 0: how long
                            it takes to be told is not counted */
} sse_ending_t;

/** register_hooks: add this part's own listeners. */
void sse_notify_register(void);

/** Reserve a thread that tells of ends, if a listener wants every end.  Before
 *  sse_listeners_opened().  Any thread.
 *  @return an error: there is none, and nothing may be opened */
apr_status_t sse_notify_reserve(void);

/** Have the end told; the argument is copied.  loop.
 *  @return 0: nobody wants it, and done is not posted */
int sse_notify_end(sse_ending_t *ending);

#endif /* SSE_NOTIFY_H */
