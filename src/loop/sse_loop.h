/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_loop.h
 * The event loop of a child: sockets, timers, and tasks that other threads post
 * to it.  Built on libuv, with a thread of its own, made in child_init with all
 * signals blocked.  Nothing on it may block; of other modules' code only output
 * filters that never wait run on it (sse_filters.h).
 *
 * Threads: sse_loop_post(), sse_loop_urge(), sse_loop_is_gone() and
 * sse_loop_stop() any; the rest the loop's.
 */

#ifndef SSE_LOOP_H
#define SSE_LOOP_H

#include <apr_pools.h>
#include <apr_time.h>
#include <sys/queue.h>
#include <uv.h>

typedef struct sse_loop_t sse_loop_t;
typedef struct sse_task_t sse_task_t;

/** Work for the loop, part of the object that it concerns: posting it needs no
 *  memory, and posting it while it is queued does nothing.  The object must
 *  live until the task has run. */
struct sse_task_t {
    void (*run)(sse_task_t *task);
    STAILQ_ENTRY(sse_task_t) link; /**< under the loop's lock */
    int queued;                    /**< likewise */
};

/** The object that this member (a task, a handle) is part of. */
#define sse_owner_of(ptr, type, member)                                        \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/** Make the loop.  Until it is started the calling thread owns it and may open
 *  handles on it: a child may be told to stop before the loop has run. */
apr_status_t sse_loop_create(sse_loop_t **loop);

/** Start its thread. @param pool the thread's */
apr_status_t sse_loop_start(sse_loop_t *loop, apr_pool_t *pool);

/** Stop the thread, and wait for it with a time-out: prefork stops inside a
 *  signal handler, so the interrupted thread may have what the loop waits for.
 *  For the same reason only atomics and uv_async_send() are used.
 *  @return whether the thread has ended; if not, leave its memory alone */
int sse_loop_stop(sse_loop_t *loop, apr_interval_time_t wait);

/** Run the task on the loop, after those posted before it.  It may be posted
 *  again as soon as it runs.
 *  @return whether this call has queued it; 0: it was queued already */
int sse_loop_post(sse_loop_t *loop, sse_task_t *task);

/** Whether the thread has ended or was never started: what is posted will not
 *  run. */
int sse_loop_is_gone(const sse_loop_t *loop);

/** Set what sse_loop_urge() runs on the loop, before other threads know the
 *  loop.  A signal handler may call sse_loop_urge(). */
void sse_loop_on_urgent(sse_loop_t *loop, void (*fn)(void *), void *baton);
void sse_loop_urge(sse_loop_t *loop);

/** Have fn told, before the loop waits again, how long this turn has kept it
 *  from looking for what became ready meanwhile: nanoseconds.  Before it is
 *  started. */
void sse_loop_on_turn(sse_loop_t *loop, void (*fn)(apr_uint64_t nsec));

/** loop: a callback for a descriptor begins, maybe the turn's first one.  What
 *  runs before is not in what sse_loop_on_turn() is told. */
void sse_loop_begin_turn(sse_loop_t *loop);

/** This turn's time, in milliseconds of the loop's clock. */
apr_uint64_t sse_loop_now(sse_loop_t *loop);

/** For the caller's own handles. */
uv_loop_t *sse_loop_uv(sse_loop_t *loop);

#endif /* SSE_LOOP_H */
