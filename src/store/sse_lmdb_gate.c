/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The gate: who uses a child's environment, and who wants it alone. */

#include <errno.h>
#include <time.h>

#include "store/sse_lmdb.h"

/* How long who wants to be alone keeps all others out. */
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

/* With the gate. @return whether nobody is active any more */
static int wait_for_active(sse_store_t *store, sse_lmdb_who_e who)
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

int sse_lmdb_alone(sse_store_t *store, sse_lmdb_who_e who,
                   int (*fn)(sse_store_t *store, sse_lmdb_who_e who))
{
    int rc = 0;

    pthread_mutex_lock(&store->gate);
    if (store->alone) {
        while (store->alone) {
            pthread_cond_wait(&store->gate_moved, &store->gate);
        }
    }
    else {
        store->alone = 1;
        rc = wait_for_active(store, who) ? fn(store, who) : EAGAIN;
        store->alone = 0;
        pthread_cond_broadcast(&store->gate_moved);
    }
    pthread_mutex_unlock(&store->gate);
    return rc;
}

MDB_txn *sse_lmdb_gate_enter(sse_store_t *store, int idle)
{
    MDB_txn *txn = NULL;

    pthread_mutex_lock(&store->gate);
    while (store->alone) {
        pthread_cond_wait(&store->gate_moved, &store->gate);
    }
    ++store->active;
    if (idle && store->idle_count) {
        txn = store->idle[--store->idle_count];
    }
    pthread_mutex_unlock(&store->gate);
    return txn;
}

void sse_lmdb_gate_leave(sse_store_t *store, MDB_txn *txn)
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

void sse_lmdb_enter(sse_store_t *store) { sse_lmdb_gate_enter(store, 0); }

void sse_lmdb_leave(sse_store_t *store) { sse_lmdb_gate_leave(store, NULL); }

void sse_lmdb_readers_clear(sse_store_t *store)
{
    int dead;

    sse_lmdb_gate_enter(store, 0);
    if (store->env) {
        mdb_reader_check(store->env, &dead);
    }
    sse_lmdb_gate_leave(store, NULL);
}
