/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The gate: threads that use a child's environment are active; one that
 * changes it has exclusive access. */

#include <errno.h>
#include <time.h>

#include "store/lmdb/sse_lmdb.h"

/* How long to wait for the active threads to leave, keeping others out. */
#define ALONE_READER apr_time_from_msec(50)
#define ALONE_WRITER apr_time_from_sec(2)

void sse_lmdb_deadline(struct timespec *until, apr_interval_time_t patience)
{
    clock_gettime(CLOCK_MONOTONIC, until);
    until->tv_sec += (time_t)apr_time_sec(patience);
    until->tv_nsec += (long)apr_time_usec(patience) * 1000;
    if (until->tv_nsec >= 1000000000) {
        ++until->tv_sec;
        until->tv_nsec -= 1000000000;
    }
}

void sse_lmdb_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

/* With the gate. @return whether no thread is active */
static int wait_for_active(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    struct timespec until;
    int rc = 0;

    sse_lmdb_deadline(&until,
                      who == SSE_LMDB_READER ? ALONE_READER : ALONE_WRITER);
    while (store->active && !rc) {
        rc = pthread_cond_timedwait(&store->gate_moved, &store->gate, &until);
    }
    return !store->active;
}

/* With the gate.  Readers wait only for a moment, counted from when the other
 * thread got exclusive access.  @return whether no thread has it */
static int wait_for_alone(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    int rc = 0;

    while (store->alone && !rc) {
        rc = who == SSE_LMDB_READER
                 ? pthread_cond_timedwait(&store->gate_moved, &store->gate,
                                          &store->alone_long)
                 : pthread_cond_wait(&store->gate_moved, &store->gate);
    }
    return !store->alone;
}

int sse_lmdb_alone(sse_lmdb_t *store, sse_lmdb_who_e who,
                   int (*fn)(sse_lmdb_t *store, sse_lmdb_who_e who))
{
    int rc = 0;

    pthread_mutex_lock(&store->gate);
    if (store->alone) {
        rc = wait_for_alone(store, who) ? 0 : EAGAIN;
        pthread_mutex_unlock(&store->gate);
        return rc;
    }
    store->alone = 1;
    sse_lmdb_deadline(&store->alone_long, ALONE_READER);
    rc = wait_for_active(store, who) ? 0 : EAGAIN;
    pthread_mutex_unlock(&store->gate);
    if (!rc) {
        rc = fn(store, who);
    }
    pthread_mutex_lock(&store->gate);
    store->alone = 0;
    pthread_cond_broadcast(&store->gate_moved);
    pthread_mutex_unlock(&store->gate);
    return rc;
}

int sse_lmdb_gate_enter(sse_lmdb_t *store, sse_lmdb_who_e who, MDB_txn **idle)
{
    int is_open;

    pthread_mutex_lock(&store->gate);
    is_open = wait_for_alone(store, who);
    store->active += is_open;
    if (idle) {
        *idle = is_open && store->idle_count ? store->idle[--store->idle_count]
                                             : NULL;
    }
    pthread_mutex_unlock(&store->gate);
    return is_open ? 0 : EAGAIN;
}

void sse_lmdb_gate_leave(sse_lmdb_t *store, MDB_txn *txn)
{
    pthread_mutex_lock(&store->gate);
    if (txn && store->idle_count < SSE_LMDB_IDLE) {
        store->idle[store->idle_count++] = txn;
    }
    else if (txn) {
        mdb_txn_abort(txn);
    }
    if (!--store->active && store->alone) {
        pthread_cond_broadcast(&store->gate_moved);
    }
    pthread_mutex_unlock(&store->gate);
}

void sse_lmdb_readers_clear(sse_lmdb_t *store)
{
    int dead;

    if (sse_lmdb_gate_enter(store, SSE_LMDB_READER, NULL)) {
        return;
    }
    if (store->env) {
        mdb_reader_check(store->env, &dead);
    }
    sse_lmdb_gate_leave(store, NULL);
}
