/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_shared_private.h
 * What the files of shared programs share: this child's part of one.
 *
 * malloc'ed when the first request of its channel comes.  Whoever sees, on the
 * loop, that no request is left takes it out of the table, returns and stops
 * it, and frees it when its handles are closed.
 *
 * Threads: tagged.  The lock is that of the table (sse_exec_shared.c); under it
 * only that of the loop's queue is taken.
 */

#ifndef SSE_EXEC_SHARED_PRIVATE_H
#define SSE_EXEC_SHARED_PRIVATE_H

#include <sys/queue.h>

#include "exec/sse_exec_client.h"
#include "exec/sse_exec_errors.h"
#include "exec/sse_exec_intake.h"
#include "exec/sse_exec_output.h"
#include "exec/sse_exec_shared.h"
#include "loop/sse_complain.h"
#include "loop/sse_workers.h"

typedef enum {
    SSE_EXEC_IS_JOINING, /**< a request's thread asks the supervisor; others
                                wait for what comes of it */
    SSE_EXEC_IS_JOINED,  /**< the program runs, or is about to again */
    SSE_EXEC_IS_FAILED,  /**< it does not; nobody finds this one any more */
    SSE_EXEC_IS_LOST,    /**< the supervisor has died; soon it is asked anew */
    SSE_EXEC_IS_REJOINING, /**< a worker asks it */
} sse_exec_shared_state_e;

/** Output that this child is to read when that of the process before has been
 *  read. */
typedef struct sse_exec_owned_t {
    STAILQ_ENTRY(sse_exec_owned_t) link;
    int out, err, rest; /**< rest: -1: none */
    int value;          /**< how it begins: SSE_EXEC_FRESH... */
} sse_exec_owned_t;

typedef struct sse_exec_shared_t sse_exec_shared_t;
struct sse_exec_shared_t {
    sse_exec_program_t program; /**< the client's part */

    /* const */
    apr_pool_t *pool; /**< of the copied plan */
    sse_exec_shared_plan_t plan;
    sse_exec_intake_conf_t intake_conf;
    server_rec *server;

    /* lock */
    LIST_ENTRY(sse_exec_shared_t) link;
    int is_listed;
    int requests; /**< that want it to run */
    sse_exec_shared_state_e state;
    int was_lost;        /**< while it was asked, the supervisor has died */
    apr_status_t status; /**< FAILED: why */
    sse_exec_message_t answer;

    sse_task_t task;           /**< any: something may be to do */
    sse_job_t rejoin_job;      /**< worker, while REJOINING */
    sse_complaint_t complaint; /**< atomic: of other commands */

    /* loop, but while a worker is at work its */
    sse_exec_intake_t *intake; /**< NULL: there is no output to read */
    apr_status_t published;
    sse_job_t job;

    /* loop */
    sse_task_t done_task;
    int is_at_work; /**< a worker publishes */
    int has_news; /**< bytes, or the end, that it has not seen; or it is to try
                         again */
    int is_waiting; /**< for the store, which takes nothing, or for room to
                         watch the next output */
    sse_complaint_t store_complaint;
    int has_ended;      /**< all output was read */
    int has_read;       /**< something of it, or of what was left of it */
    int is_exited;      /**< the newest process has ended */
    int is_owner;       /**< the supervisor believes that it reads here */
    int has_given_back; /**< and was not told OWN again */
    STAILQ_HEAD(, sse_exec_owned_t) next;
    sse_exec_output_t output;
    int is_open;               /**< output: until it is closed */
    sse_exec_errors_t *errors; /**< or NULL */
    int has_timers;
    uv_timer_t wait_timer;   /**< until that is tried again */
    uv_timer_t rejoin_timer; /**< until the supervisor is asked again */
    apr_uint64_t rejoin_msec;
    int is_going;
    int open_timers;      /**< while it goes */
    sse_task_t free_task; /**< behind all others */
};

/** loop: what the client tells. */
extern const sse_exec_program_events_t sse_exec_shared_events;

/** loop: see what is to be done next, and do it. */
void sse_exec_shared_go_on(sse_exec_shared_t *shared);

/** loop: no request needs it.  If nobody asks for it at the moment, take it out
 *  of the table.  @return whether that was done: no thread knows it any more */
int sse_exec_shared_remove(sse_exec_shared_t *shared);

/** loop: the supervisor has died. */
void sse_exec_shared_lose(sse_exec_shared_t *shared);

/** loop: have a worker ask the supervisor, if that is to be done. */
void sse_exec_shared_rejoin(sse_exec_shared_t *shared);

sse_exec_shared_state_e sse_exec_shared_state(sse_exec_shared_t *shared);

/** How many programs' output this child owns; loop: add or subtract one. */
void sse_exec_shared_count_owned(int by);

sse_loop_t *sse_exec_shared_loop(void);

#endif /* SSE_EXEC_SHARED_PRIVATE_H */
