/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Positions of subscribers, and the log. */

#include "store/lmdb/sse_lmdb.h"

apr_status_t sse_lmdb_last(sse_store_t *base, sse_id_t *id)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    sse_lmdb_state_t state;
    MDB_txn *txn;
    int rc = sse_lmdb_read_begin(store, &txn, &state);

    if (!rc) {
        *id = state.last;
        sse_lmdb_read_end(store, txn);
    }
    return sse_lmdb_status(rc);
}

apr_status_t sse_lmdb_time(sse_store_t *base, apr_time_t *now)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    sse_lmdb_state_t state;
    MDB_txn *txn;
    int rc = sse_lmdb_read_begin(store, &txn, &state);

    if (!rc) {
        *now = sse_lmdb_now(store, &state);
        sse_lmdb_read_end(store, txn);
    }
    return sse_lmdb_status(rc);
}

/* The channel's first entry from that id on. */
static int seek(MDB_cursor *cursor, apr_uint64_t channel, sse_id_t from,
                sse_id_t *id, sse_lmdb_entry_t *entry)
{
    *id = from;
    return sse_lmdb_entry_seek(cursor, MDB_SET_RANGE, channel, id, entry);
}

/* Times grow with the ids: a binary search by age. */
static int bisect(MDB_cursor *cursor, const sse_lmdb_channel_t *channel,
                  apr_time_t until, sse_id_t *first)
{
    sse_id_t low = channel->first, high = channel->last, mid, id;
    sse_lmdb_entry_t entry;
    int rc = seek(cursor, channel->number, high, &id, &entry);

    *first = 0;
    if (rc || entry.time <= until) {
        return rc;
    }
    while (low < high) {
        mid = low + (high - low) / 2;
        if ((rc = seek(cursor, channel->number, mid, &id, &entry))) {
            return rc;
        }
        if (entry.time <= until) {
            low = id + 1;
        }
        else {
            high = mid;
        }
    }
    return seek(cursor, channel->number, low, first, &entry);
}

int sse_lmdb_first_kept(sse_lmdb_t *store, MDB_txn *txn,
                        const sse_lmdb_channel_t *channel, apr_time_t now,
                        sse_id_t *first)
{
    apr_time_t until = now - channel->max_age;
    MDB_cursor *cursor;
    int rc;

    *first = channel->count ? channel->first : 0;
    if (!*first || !channel->max_age || channel->first_time > until) {
        return 0;
    }
    if ((rc = mdb_cursor_open(txn, store->db[SSE_DB_INDEX], &cursor))) {
        return rc;
    }
    rc = bisect(cursor, channel, until, first);
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

int sse_lmdb_gap(sse_lmdb_t *store, MDB_txn *txn,
                 const sse_lmdb_channel_t *channel, sse_id_t first,
                 sse_id_t after, sse_id_t *lost)
{
    sse_lmdb_entry_t entry;
    MDB_cursor *cursor;
    sse_id_t id;
    int rc;

    *lost = after < channel->evicted ? channel->evicted : 0;
    if (*lost || !channel->count || first == channel->first) {
        return 0;
    }
    /* Some are over their age, but still there: is one after that id? */
    if (!first) {
        *lost = after < channel->last ? channel->last : 0;
        return 0;
    }
    if (after + 1 >= first) {
        return 0;
    }
    if ((rc = mdb_cursor_open(txn, store->db[SSE_DB_INDEX], &cursor))) {
        return rc;
    }
    rc = seek(cursor, channel->number, after + 1, &id, &entry);
    mdb_cursor_close(cursor);
    *lost = !rc && id < first ? first - 1 : 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int look_at(sse_lmdb_t *store, MDB_txn *txn, sse_slice_t key,
                   sse_id_t after, const sse_lmdb_state_t *state,
                   apr_time_t now, sse_position_t *position)
{
    sse_lmdb_channel_t channel;
    sse_id_t first, lost;
    int rc = sse_lmdb_channel_get(store, txn, key, &channel);

    if (rc == MDB_NOTFOUND) {
        rc = sse_lmdb_floor_get(store, txn, state, key, &lost);
        position->gap |= !rc && after < lost;
        return rc;
    }
    if (rc || (rc = sse_lmdb_first_kept(store, txn, &channel, now, &first)) ||
        (rc = sse_lmdb_gap(store, txn, &channel, first, after, &lost))) {
        return rc;
    }
    position->gap |= lost != 0;
    if (first && (!position->oldest || first < position->oldest)) {
        position->oldest = first;
    }
    return 0;
}

apr_status_t sse_lmdb_look(sse_store_t *base, const sse_slice_t *channels,
                           int n, sse_id_t after, sse_position_t *position)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    sse_lmdb_state_t state;
    apr_time_t now;
    MDB_txn *txn;
    int i, rc;

    if ((rc = sse_lmdb_read_begin(store, &txn, &state))) {
        return sse_lmdb_status(rc);
    }
    now = sse_lmdb_now(store, &state);
    position->last = state.last;
    position->oldest = 0;
    position->gap = after < state.origin || after > state.last;
    for (i = 0; i < n && !rc; ++i) {
        rc = look_at(store, txn, channels[i], after, &state, now, position);
    }
    sse_lmdb_read_end(store, txn);
    return sse_lmdb_status(rc);
}

typedef struct {
    sse_id_t next;
    int missing;
    apr_status_t stopped; /**< what the callback said */
} follow_t;

/* @return 0: max were read; MDB_NOTFOUND: all of them */
static int follow_log(MDB_cursor *cursor, int max, sse_store_fn *fn,
                      void *baton, follow_t *at)
{
    sse_id_t from = at->next + 1, id;
    MDB_val key = {sizeof(from), &from}, val;
    MDB_cursor_op op = MDB_SET_RANGE;
    sse_lmdb_event_t event;
    int rc;

    for (; max > 0; --max, op = MDB_NEXT) {
        if ((rc = mdb_cursor_get(cursor, &key, &val, op))) {
            return rc;
        }
        if (!sse_lmdb_id_get(&key, &id) ||
            sse_lmdb_event_parse(id, &val, &event)) {
            return MDB_CORRUPTED;
        }
        if ((at->stopped = fn(baton, &event.record))) {
            return 0;
        }
        at->missing |= id != at->next + 1;
        at->next = id;
    }
    return 0;
}

apr_status_t sse_lmdb_follow(sse_store_t *base, sse_id_t after, int max,
                             sse_store_fn *fn, void *baton, sse_id_t *next,
                             int *missing)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    follow_t at = {after, 0, APR_SUCCESS};
    sse_lmdb_state_t state;
    MDB_cursor *cursor;
    MDB_txn *txn;
    int rc = sse_lmdb_read_begin(store, &txn, &state);

    *next = after;
    *missing = 0;
    if (rc) {
        return sse_lmdb_status(rc);
    }
    if (after < state.last) {
        rc = mdb_cursor_open(txn, store->db[SSE_DB_EVENTS], &cursor);
        if (!rc) {
            rc = follow_log(cursor, max, fn, baton, &at);
            mdb_cursor_close(cursor);
        }
    }
    else if (after > state.last) {
        rc = MDB_NOTFOUND; /* not one of this store's */
    }
    if (rc == MDB_NOTFOUND) {
        at.missing |= at.next != state.last;
        at.next = state.last;
        rc = 0;
    }
    sse_lmdb_read_end(store, txn);
    *next = at.next;
    *missing = at.missing;
    return rc ? sse_lmdb_status(rc) : at.stopped;
}
