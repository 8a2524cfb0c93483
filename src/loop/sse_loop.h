/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_loop.h
 * One event loop per child: sockets, timers, wake-ups, and tasks that other
 * threads hand to it.
 *
 * Built on libuv.  The loop has one thread of its own, made in child_init with
 * all signals blocked.  Nothing on it may block, and no user code runs on it.
 *
 * Threads: sse_loop_post(), sse_loop_urge(), sse_loop_is_gone() and
 * sse_loop_stop() may be called from anywhere; the rest on the loop's thread
 * only.
 */

#ifndef SSE_LOOP_H
#define SSE_LOOP_H

#include <apr_pools.h>
#include <apr_time.h>
#include <uv.h>

typedef struct sse_loop_t sse_loop_t;
typedef struct sse_task_t sse_task_t;

/** A piece of work for the loop, part of the object it is about: no memory is
 *  needed to post it, and posting what is already queued does nothing.  The
 *  object must live until it has run. */
struct sse_task_t {
    void (*run)(sse_task_t *task);
    sse_task_t *next; /**< under the loop's lock */
    int queued;       /**< under the loop's lock */
};

/** The object that this member (a task, a handle) is part of. */
#define sse_owner_of(ptr, type, member)                                        \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/** Make the loop.  Until it is started the maker's thread owns it and may open
 *  handles on it: a child can be told to stop before the loop's first turn. */
apr_status_t sse_loop_create(sse_loop_t **loop);

/** Start its thread. @param pool the thread's */
apr_status_t sse_loop_start(sse_loop_t *loop, apr_pool_t *pool);

/**
 * Have the thread leave, and wait for it, at most so long: the loop may be kept
 * by a thread that this call interrupted (prefork stops inside a signal
 * handler).  Only atomics and uv_async_send() are used, for the same reason.
 * @return whether the thread is gone; if not, its memory must be left alone
 */
int sse_loop_stop(sse_loop_t *loop, apr_interval_time_t wait);

/** Have the task run on the loop, after those posted before it.  It may be
 *  posted again as soon as it runs.
 *  @return whether it was queued by this call; 0: it was queued already */
int sse_loop_post(sse_loop_t *loop, sse_task_t *task);

/** Whether its thread has left, or was never started: nothing that is posted
 *  will run.  Any thread. */
int sse_loop_is_gone(const sse_loop_t *loop);

/** Have this run on the loop, soon; for signal handlers too.  There is one such
 *  call: on_urgent is set before the loop is shared with other threads. */
void sse_loop_on_urgent(sse_loop_t *loop, void (*fn)(void *), void *baton);
void sse_loop_urge(sse_loop_t *loop);

/** Milliseconds on the loop's clock, as of this turn. */
apr_uint64_t sse_loop_now(sse_loop_t *loop);

/** For handles of one's own. */
uv_loop_t *sse_loop_uv(sse_loop_t *loop);

#endif /* SSE_LOOP_H */
