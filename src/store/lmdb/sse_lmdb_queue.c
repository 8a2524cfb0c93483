/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Publishers queue requests, and one thread writes all that have come by the
 * time its transaction begins, so that they share one commit (and, with
 * sync=on, one wait for the disk).  While it may wait for another process, no
 * request is TAKEN: publishers can withdraw theirs (sse_lmdb_writer.h). */

#include <errno.h>

#include "store/lmdb/sse_lmdb.h"

#define GROUP_ITEMS 4096
#define ROOM_ROUNDS 8  /**< transactions that only evict, before one append */
#define FULL_ROUNDS 24 /**< times that MDB_MAP_FULL is fought */

typedef sse_lmdb_request_t request_t;

/** The requests of one transaction. */
typedef struct {
    sse_lmdb_t *store;
    sse_lmdb_writer_jobs_t jobs;
    request_t *first;
    apr_uint64_t need;
    int items;
    int count;
} group_t;

/* Whether the transaction should hold this one, too. */
static int want(void *baton, const sse_lmdb_writer_job_t *job)
{
    const request_t *request = (const request_t *)job;
    group_t *group = baton;

    if (group->count &&
        (group->first->is_alone || request->is_alone ||
         group->items + request->n > GROUP_ITEMS ||
         group->need + request->pages > group->store->soft / 16)) {
        return 0;
    }
    if (!group->count++) {
        group->first = (request_t *)request;
    }
    group->need += request->pages;
    group->items += request->n;
    return 1;
}

static int want_all(void *baton, const sse_lmdb_writer_job_t *job) { return 1; }

/* All of these have the same result. */
static void finish(sse_lmdb_t *store, sse_lmdb_writer_jobs_t *jobs, int rc)
{
    sse_lmdb_writer_job_t *job;

    TAILQ_FOREACH(job, jobs, next) { job->rc = rc; }
    sse_lmdb_writer_finish(store->writer, jobs);
}

/* No transaction could be begun. */
static void fail_all(sse_lmdb_t *store, int rc)
{
    sse_lmdb_writer_jobs_t jobs;

    sse_lmdb_writer_take(store->writer, want_all, NULL, &jobs);
    finish(store, &jobs, rc);
}

/* In its transaction.  @return 0; EAGAIN: it has only evicted */
static int write_group(sse_lmdb_write_t *w, group_t *group)
{
    int again, rc = sse_lmdb_keep_room(w, group->need, &again);

    if (!rc && again && group->first->room_rounds++ < ROOM_ROUNDS) {
        rc = sse_lmdb_write_end(w, 0);
        return rc ? rc : EAGAIN;
    }
    if (!rc) {
        rc = sse_lmdb_put(w, &group->jobs, group->items);
    }
    return sse_lmdb_write_end(w, rc);
}

/* A request that needs too much must not fail the others. */
static void separate(group_t *group)
{
    sse_lmdb_writer_job_t *job;
    request_t *request;

    TAILQ_FOREACH(job, &group->jobs, next)
    {
        request = (request_t *)job;
        request->is_alone = 1;
        request->room_rounds = 0;
    }
    sse_lmdb_writer_return(group->store->writer, &group->jobs);
}

/* What to do after a transaction. */
static void conclude(group_t *group, int rc)
{
    request_t *first = group->first;

    if (rc == EAGAIN) {
        sse_lmdb_writer_return(group->store->writer, &group->jobs);
    }
    else if (rc && group->count > 1) {
        separate(group);
    }
    else if (rc == MDB_MAP_FULL && first->pages &&
             first->full_rounds < FULL_ROUNDS - 1) {
        first->is_alone = 1;
        first->room_rounds = 0;
        group->store->room_round = ++first->full_rounds;
        group->store->room_pages = first->pages;
        sse_lmdb_writer_return(group->store->writer, &group->jobs);
    }
    else {
        finish(group->store, &group->jobs, rc);
    }
}

int sse_lmdb_is_free(void *baton)
{
    sse_lmdb_t *store = baton;

    return !store->room_round && sse_lmdb_lock_looks_free(__atomic_load_n(
                                     &store->lock, __ATOMIC_ACQUIRE));
}

/* Before a transaction, with no request TAKEN, as it may take long. */
static void make_room(sse_lmdb_t *store)
{
    int round = store->room_round;

    if (round) {
        store->room_round = 0;
        sse_lmdb_make_room(store, store->room_pages, round);
    }
}

void sse_lmdb_serve(void *baton)
{
    group_t group = {0};
    sse_lmdb_t *store = baton;
    sse_lmdb_write_t w;
    int rc, word;

    group.store = store;
    make_room(store);
    rc = sse_lmdb_write_begin(&w, store);
    if (rc) {
        fail_all(store, rc);
        return;
    }
    if (!sse_lmdb_writer_take(store->writer, want, &group, &group.jobs)) {
        sse_lmdb_write_abort(&w);
        return;
    }
    word = sse_lmdb_lock_find(store->lock);
    rc = write_group(&w, &group);
    sse_lmdb_lock_found(store->lock, word);
    conclude(&group, rc);
}

int sse_lmdb_submit(sse_lmdb_t *store, request_t *request,
                    apr_interval_time_t patience)
{
    int rc = sse_lmdb_writer_submit(store->writer, &request->job, patience);

    return rc ? rc : request->job.rc;
}
