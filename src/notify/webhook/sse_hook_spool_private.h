/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_spool_private.h
 * What the files of the webhooks' queue share: adding and reading
 * (sse_hook_spool.c), directories (sse_hook_queue.c), segments that go
 * (sse_hook_sweep.c), and what dead owners have left (sse_hook_claim.c).
 *
 * Segments have numbers, in whose order the sender reads them: they only grow,
 * and only the one with the highest number grows at its end, so that the sender
 * sees each call once.  Those of a queue that is being claimed are in a list of
 * their own, with numbers of their own (SSE_HOOK_PENDING), until its orphans
 * have been told; then they get the next numbers, and this child's calls go to
 * a new segment behind them.
 *
 * Life: malloc'ed; the spool owns them.  Segments are freed by the sender's
 * thread only, which so may use one without the lock.
 *
 * Threads: members are tagged; "lock" is a leaf, taken with signals blocked.
 */

#ifndef SSE_HOOK_SPOOL_PRIVATE_H
#define SSE_HOOK_SPOOL_PRIVATE_H

#include <pthread.h>
#include <signal.h>

#include "notify/webhook/sse_hook_opens.h"
#include "notify/webhook/sse_hook_segment.h"

#define SSE_HOOK_PREFIX "hooks."
/** A bit in the number of a segment that the sender does not see yet. */
#define SSE_HOOK_PENDING (1u << 31)

/** A directory with segments. */
typedef struct sse_hook_queue_t {
    TAILQ_ENTRY(sse_hook_queue_t) link;
    int dir;                  /* const: its descriptor */
    apr_uint32_t n;           /* lock: its name is hooks.OWNER.n */
    apr_uint32_t last_file;   /* lock: the highest name of a segment */
    apr_uint32_t segments;    /* lock: how many there are */
    sse_hook_segment_t *tail; /* lock: grows at its end; or NULL */
    int is_pending;           /* lock: being claimed */
} sse_hook_queue_t;
typedef TAILQ_HEAD(sse_hook_queues_t, sse_hook_queue_t) sse_hook_queues_t;

/** What waits: all of it, or for one target. */
typedef struct {
    apr_uint64_t target; /* its hash; 0: all */
    apr_uint64_t calls, bytes;
} sse_hook_waiting_t;

struct sse_spool_t {
    const char *dir, *owner;           /* const */
    apr_uint64_t max_calls, max_bytes; /* const */
    apr_uint32_t segment_size;         /* const: the size of a full segment */

    pthread_mutex_t lock;
    sse_hook_queues_t queues;              /* lock: all below */
    sse_hook_queue_t *own;                 /* this child's */
    sse_hook_segments_t segments, pending; /* in the order of their numbers */
    apr_uint32_t last_number, last_pending;
    apr_uint32_t last_queue; /* the highest n of a queue's name */
    sse_hook_opens_t opens;
    sse_hook_waiting_t *shares; /* of own, for each target */
    int share_count;
    sse_hook_waiting_t mine, claimed; /* in this child's queue, in others */
    apr_uint64_t file_bytes;          /* of own's segments where calls wait:
                                         of all records in them */
    apr_time_t checked;               /* when the path was looked at */
    apr_time_t failed;                /* when it could not be written anew */
    int needs_sweep;                  /* a segment may go */

    sse_hook_reader_t reader; /* sender */
};

void sse_hook_lock(sse_spool_t *spool, sigset_t *before);
void sse_hook_unlock(sse_spool_t *spool, const sigset_t *before);

/* -- sse_hook_spool.c: under the lock -------------------------------------- */

/** The segment of that number, pending or not, or NULL. */
sse_hook_segment_t *sse_hook_find(const sse_spool_t *spool,
                                  apr_uint32_t number);

/** This record is in that segment now. */
void sse_hook_count(sse_spool_t *spool, sse_hook_segment_t *segment,
                    const sse_hook_head_t *head);

/** This OPEN is there.  One that was there before, in a copy, is closed. */
void sse_hook_open_at(sse_spool_t *spool, apr_uint64_t key, sse_spool_at_t at);

/** The OPEN of that key has its CLOSE, or another one has taken its place. */
void sse_hook_close_open(sse_spool_t *spool, apr_uint64_t key);

/* -- sse_hook_queue.c: under the lock, but for the first two --------------- */

/** The path of hooks.OWNER.n, with a suffix; malloc'ed. */
char *sse_hook_queue_path(const sse_spool_t *spool, apr_uint32_t n,
                          const char *suffix);

/** Open that directory as a queue that is in no list yet. */
apr_status_t sse_hook_queue_open(sse_hook_queue_t **queue,
                                 const sse_spool_t *spool, apr_uint32_t n);

/** Make this child's own, empty. */
apr_status_t sse_hook_queue_make(sse_spool_t *spool);

/** Write a record behind the last one of a queue, in a new segment if that is
 *  full.  @param at out: where it is */
apr_status_t sse_hook_queue_append(sse_spool_t *spool, sse_hook_queue_t *queue,
                                   const sse_hook_head_t *head,
                                   const sse_call_t *call, sse_spool_at_t *at);

/** Ten times a second: are the files still where they should be? */
void sse_hook_queue_look_after(sse_spool_t *spool);

/** Close it; its segments are closed. @param is_gone: remove it */
void sse_hook_queue_close(sse_spool_t *spool, sse_hook_queue_t *queue,
                          int is_gone);

/* -- sse_hook_sweep.c: sender ---------------------------------------------- */

/** Remove the segments that nobody needs, and queues without one. */
void sse_hook_sweep(sse_spool_t *spool);

/** A segment that has left its list: remove its file, and free it. */
void sse_hook_sweep_segment(sse_hook_segment_t *segment);

#endif /* SSE_HOOK_SPOOL_PRIVATE_H */
