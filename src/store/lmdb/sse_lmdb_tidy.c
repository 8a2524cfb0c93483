/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Housekeeping.  It looks for work in a read transaction first, so that the
 * children do not all write to a quiet store every few seconds. */

#include "store/lmdb/sse_lmdb.h"

#define TIDY_MAX 1024 /**< steps of one call */

/* @return 0: there is a channel due, of that key; or MDB_NOTFOUND */
static int first_due(sse_lmdb_t *store, MDB_txn *txn, apr_time_t now,
                     apr_time_t *due, apr_uint64_t *number, MDB_val *channel)
{
    MDB_val key;
    apr_uint64_t time;
    int rc =
        sse_lmdb_seek(txn, store->db[SSE_DB_DUE], MDB_FIRST, &key, channel);

    if (rc) {
        return rc;
    }
    if (!sse_lmdb_pair_get(&key, &time, number) || !channel->mv_size ||
        channel->mv_size > SSE_STORE_KEY_MAX) {
        return MDB_CORRUPTED;
    }
    *due = (apr_time_t)time;
    return *due <= now ? 0 : MDB_NOTFOUND;
}

/* @return 0: there is work; or MDB_NOTFOUND */
static int look_for_work(sse_lmdb_t *store, MDB_txn *txn, apr_time_t now)
{
    MDB_val key, val;
    apr_time_t time;
    apr_uint64_t number;
    int rc =
        sse_lmdb_seek(txn, store->db[SSE_DB_GRAVES], MDB_FIRST, &key, &val);

    if (rc != MDB_NOTFOUND) {
        return rc;
    }
    rc = sse_lmdb_seek(txn, store->db[SSE_DB_DOOMED], MDB_FIRST, &key, &val);
    if (!rc) {
        if (val.mv_size != sizeof(time)) {
            return MDB_CORRUPTED;
        }
        memcpy(&time, val.mv_data, sizeof(time));
        rc = time + SSE_STORE_LINGER <= now ? 0 : MDB_NOTFOUND;
    }
    return rc == MDB_NOTFOUND ? first_due(store, txn, now, &time, &number, &val)
                              : rc;
}

/* @return the steps it took in *steps; MDB_NOTFOUND: none is due */
static int tidy_channel(sse_lmdb_write_t *w, int *steps)
{
    char copy[SSE_STORE_KEY_MAX];
    unsigned char buf[16];
    sse_slice_t key = {copy, 0};
    MDB_val val;
    apr_time_t due;
    apr_uint64_t number, before;
    int left, rc = first_due(w->store, w->txn, w->now, &due, &number, &val);

    if (rc) {
        return rc;
    }
    memcpy(copy, val.mv_data, val.mv_size);
    key.len = val.mv_size;
    sse_lmdb_pair_set(buf, (apr_uint64_t)due, number);
    rc = sse_lmdb_del(w, SSE_DB_DUE, buf, sizeof(buf));
    if (rc || (rc = sse_lmdb_channel_use(w, key, 0))) {
        return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
    }
    w->channel.due = 0;
    before = w->channel.count;
    if ((rc = sse_lmdb_channel_trim(w, &left))) {
        return rc;
    }
    *steps = 1 + (int)(before - w->channel.count);
    if (!w->channel.count &&
        w->channel.last_time + SSE_STORE_LINGER <= w->now) {
        return sse_lmdb_channel_remove(w);
    }
    return sse_lmdb_channel_done(w);
}

/** A request to the writer. */
typedef struct {
    apr_interval_time_t ahead; /**< of the clock, is the caller's time */
    int max;
    int more; /**< out */
} tidy_t;

static int tidy_some(sse_lmdb_write_t *w, void *baton)
{
    tidy_t *tidy = baton;
    int steps, max = tidy->max, rc;

    w->now = sse_lmdb_now(w->store, &w->state) + tidy->ahead;
    tidy->more = 0;
    rc = sse_lmdb_expire(w, max, &tidy->more);
    while (!rc && max > 0) {
        steps = 0;
        rc = tidy_channel(w, &steps);
        max -= steps;
    }
    tidy->more |= !rc;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

apr_status_t sse_lmdb_tidy(sse_store_t *base, apr_time_t now, int *more)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    sse_lmdb_state_t state;
    /* Computed once: the clock may be set while this waits for the writer. */
    tidy_t tidy = {now - apr_time_now(), TIDY_MAX, 0};
    MDB_txn *txn;
    int rc;

    *more = 0;
    sse_lmdb_readers_clear(store);
    rc = sse_lmdb_env_check(store, SSE_LMDB_READER);
    if (rc || (rc = sse_lmdb_read_begin(store, &txn, &state))) {
        return sse_lmdb_status(rc);
    }
    rc = look_for_work(store, txn, sse_lmdb_now(store, &state) + tidy.ahead);
    sse_lmdb_read_end(store, txn);
    if (rc) {
        return sse_lmdb_status(rc == MDB_NOTFOUND ? 0 : rc);
    }
    do {
        sse_lmdb_request_t request = {
            .also = tidy_some,
            .baton = &tidy,
            .is_alone = 1 /* with a time of its own */
        };

        rc = sse_lmdb_submit(store, &request, SSE_LMDB_TIDY);
        /* Freeing pages copies some first: try with fewer. */
    } while (rc == MDB_MAP_FULL && (tidy.max /= 8));
    *more = tidy.more;
    if (rc == MDB_MAP_FULL) {
        /* Readers hold the freed pages for a moment. */
        *more = 1;
        rc = 0;
    }
    return sse_lmdb_status(rc);
}
