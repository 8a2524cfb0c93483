/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_watcher_private.h
 * What the files of a watcher share: the request's thread and the telling
 * (sse_watcher.c), the watching on the loop (sse_watcher_loop.c), and the reads
 * from a back end (sse_watcher_backend.c).
 *
 * Life: malloc'ed; one reference is the request's, one the loop's while it
 * watches, and one each posted task's.
 *
 * Threads: members are tagged.  The lock is a leaf but for the loop's queue.
 */

#ifndef SSE_WATCHER_PRIVATE_H
#define SSE_WATCHER_PRIVATE_H

#include <pthread.h>
#include <sys/queue.h>

#include "loop/sse_peer.h"
#include "notify/sse_notes.h"
#include "notify/sse_watcher.h"

/** Who may use the connection; see the table in sse_watcher_loop.c. */
typedef enum {
    SSE_WATCHER_NEW,       /**< the loop has not seen it yet */
    SSE_WATCHER_WATCHED,   /**< the loop watches the client */
    SSE_WATCHER_RETURNING, /**< the request's thread wants it back */
    SSE_WATCHER_RETURNED   /**< the loop does not touch it any more */
} sse_watcher_state_e;

/** What the listeners have been told; see the table in sse_watcher.c. */
typedef enum {
    SSE_TOLD_NOTHING,
    SSE_TOLD_OPENING, /**< the opening is being told */
    SSE_TOLD_OPEN,
    SSE_TOLD_LATER,   /**< the end has come while the opening is being told */
    SSE_TOLD_CLOSING, /**< the end is being told */
    SSE_TOLD_CLOSED
} sse_told_e;

typedef struct sse_watcher_t {
    apr_uint32_t refs;          /* atomic */
    int reason;                 /* atomic; sse_close_reason_e; set once */
    request_rec *r;             /* const; valid until it has returned */
    sse_loop_t *loop;           /* const */
    sse_callbacks_t *callbacks; /* const; holds a reference */
    int fd;                     /* const; -1: HTTP/2 */
    const int *taken;           /* const, its value atomic; NULL: no HTTP/2.
                                   All of the response was taken */
    int half_keep;              /* const */
    apr_time_t opened;          /* const */
    apr_time_t closed;          /* whoever set the reason */
    apr_status_t status;        /* likewise */
    sse_notes_t *notes;         /* request */

    pthread_mutex_t lock;
    pthread_cond_t cond;       /* one of the two states has changed */
    sse_watcher_state_e state; /* lock */
    sse_told_e told;           /* lock */
    sse_watch_mode_e mode;     /* lock; set by the request's thread */
    int late;    /* lock: the client left when all had been produced */
    int is_cut;  /* lock: the handler's reads and writes are to fail */
    int read_fd; /* lock: what the handler's thread waits for, or -1 */

    sse_peer_t peer;                 /* loop */
    int peer_open;                   /* loop */
    int is_listed;                   /* loop */
    TAILQ_ENTRY(sse_watcher_t) link; /* loop */
    sse_task_t arm_task, disarm_task, tell_task, told_task;
} sse_watcher_t;

/* sse_watcher.c: any thread */

void sse_watcher_release(sse_watcher_t *watcher);
/** Post one of its tasks, with a reference that the task drops. */
void sse_watcher_post(sse_watcher_t *watcher, sse_task_t *task);

/** It has ended for this reason, unless it had ended before; that is told. */
void sse_watcher_end(sse_watcher_t *watcher, sse_close_reason_e reason,
                     apr_status_t status);

/** Whether all of its response, over HTTP/2, was taken, whatever is aborted
 *  after that. */
int sse_watcher_is_taken(const sse_watcher_t *watcher);

/* sse_watcher_output.c: request thread */

/** Follow the response to an HTTP/2 request.
 *  @return whether all of it was taken; lives as long as the connection */
const int *sse_watcher_output_add(conn_rec *c);

/* sse_watcher_loop.c */

/** child_init. */
void sse_watcher_loop_init(sse_loop_t *loop);
/** Request thread: have the loop watch it. */
void sse_watcher_give(sse_watcher_t *watcher);
/** Request thread: have it back from the loop.  The descriptor may be closed as
 *  soon as this returns.  Again without effect. */
void sse_watcher_take_back(sse_watcher_t *watcher);

#endif /* SSE_WATCHER_PRIVATE_H */
