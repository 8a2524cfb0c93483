/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What expires: records that have lingered, and forgotten channels. */

#include "store/lmdb/sse_lmdb.h"

static void linger_less(sse_lmdb_write_t *w, apr_uint64_t room)
{
    w->state.lingering -= room < w->state.lingering ? room : w->state.lingering;
}

int sse_lmdb_doom(sse_lmdb_write_t *w, sse_id_t id, apr_time_t since)
{
    return sse_lmdb_set(w, SSE_DB_DOOMED, &id, sizeof(id), &since,
                        sizeof(since));
}

int sse_lmdb_event_leave(sse_lmdb_write_t *w, apr_uint64_t number, sse_id_t id,
                         const sse_lmdb_entry_t *entry, int is_urgent,
                         int *is_gone)
{
    sse_lmdb_event_t event;
    int rc;

    if (entry->keyed) {
        rc = sse_lmdb_event_get(w->store, w->txn, id, &event);
        if (!rc && event.idempotency.ptr) {
            rc = sse_lmdb_key_del(w, number, event.idempotency, id);
        }
        if (rc) {
            return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
        }
    }
    *is_gone = is_urgent || entry->time + SSE_STORE_LINGER <= w->now;
    return *is_gone ? sse_lmdb_del(w, SSE_DB_EVENTS, &id, sizeof(id))
                    : sse_lmdb_doom(w, id, entry->time);
}

/* -- Records that linger --------------------------------------------------- */

/** Cursors of both databases, which are in the order of the ids: no search. */
typedef struct {
    MDB_cursor *doomed, *events;
} pair_t;

static int pair_open(sse_lmdb_write_t *w, pair_t *pair)
{
    int rc =
        mdb_cursor_open(w->txn, w->store->db[SSE_DB_DOOMED], &pair->doomed);

    if (!rc && (rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_EVENTS],
                                     &pair->events))) {
        mdb_cursor_close(pair->doomed);
    }
    return rc;
}

static void pair_close(pair_t *pair)
{
    mdb_cursor_close(pair->events);
    mdb_cursor_close(pair->doomed);
}

/* Delete the record under the cursor from both. */
static int take_one(sse_lmdb_write_t *w, pair_t *pair, sse_id_t id)
{
    MDB_val key = {sizeof(id), &id}, val;
    int rc = mdb_cursor_del(pair->doomed, 0);

    if (!rc && !(rc = mdb_cursor_get(pair->events, &key, &val, MDB_SET))) {
        linger_less(w, sse_lmdb_room(w->store, val.mv_size));
        rc = mdb_cursor_del(pair->events, 0);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* @param max in and out: records that may still go */
static int take_doomed(sse_lmdb_write_t *w, int is_early, int *max)
{
    MDB_val key, val;
    sse_id_t id;
    apr_time_t since;
    pair_t pair;
    int rc = pair_open(w, &pair);

    if (rc) {
        return rc;
    }
    rc = mdb_cursor_get(pair.doomed, &key, &val, MDB_FIRST);
    while (!rc && *max) {
        if (!sse_lmdb_id_get(&key, &id) || val.mv_size != sizeof(since)) {
            rc = MDB_CORRUPTED;
            break;
        }
        memcpy(&since, val.mv_data, sizeof(since));
        if (!is_early && since + SSE_STORE_LINGER > w->now) {
            break;
        }
        --*max;
        if ((rc = take_one(w, &pair, id))) {
            break;
        }
        rc = mdb_cursor_get(pair.doomed, &key, &val, MDB_NEXT);
    }
    pair_close(&pair);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* -- Graves ---------------------------------------------------------------- */

/* An event of a grave, which counts as lingering already. */
static int leave_grave(sse_lmdb_write_t *w, apr_uint64_t grave, sse_id_t id,
                       const sse_lmdb_entry_t *entry)
{
    MDB_val key = {sizeof(id), &id}, val;
    apr_uint64_t room;
    int is_gone, rc = mdb_get(w->txn, w->store->db[SSE_DB_EVENTS], &key, &val);

    if (rc) {
        return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
    }
    room = sse_lmdb_room(w->store, val.mv_size);
    rc = sse_lmdb_event_leave(w, grave, id, entry, 0, &is_gone);
    if (!rc && is_gone) {
        linger_less(w, room);
    }
    return rc;
}

/* Delete index entries of a number that no channel has any more. */
static int empty_grave(sse_lmdb_write_t *w, apr_uint64_t grave, int *max)
{
    sse_lmdb_entry_t entry;
    sse_id_t id = 0;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_INDEX], &cursor);

    if (rc) {
        return rc;
    }
    rc = sse_lmdb_entry_seek(cursor, MDB_SET_RANGE, grave, &id, &entry);
    while (!rc && *max) {
        --*max;
        if (!(rc = mdb_cursor_del(cursor, 0)) &&
            !(rc = leave_grave(w, grave, id, &entry))) {
            rc = sse_lmdb_entry_seek(cursor, MDB_NEXT, grave, &id, &entry);
        }
    }
    mdb_cursor_close(cursor);
    if (rc == MDB_NOTFOUND) {
        rc = sse_lmdb_del(w, SSE_DB_GRAVES, &grave, sizeof(grave));
    }
    return rc;
}

static int empty_graves(sse_lmdb_write_t *w, int *max)
{
    MDB_val key, val;
    apr_uint64_t number;
    int rc = 0;

    while (!rc && *max) {
        rc = sse_lmdb_seek(w->txn, w->store->db[SSE_DB_GRAVES], MDB_FIRST, &key,
                           &val);
        if (!rc) {
            rc = sse_lmdb_id_get(&key, &number) ? empty_grave(w, number, max)
                                                : MDB_CORRUPTED;
        }
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int sse_lmdb_expire(sse_lmdb_write_t *w, int max, int *left)
{
    int half = max / 2; /* for each, so that neither starves */
    int rc = take_doomed(w, 0, &half);

    if (rc) {
        return rc;
    }
    max = max - max / 2 + half;
    rc = empty_graves(w, &max);
    *left = !max || !half;
    return rc;
}

int sse_lmdb_expire_some(sse_lmdb_write_t *w, int is_early, int max, int *n)
{
    int left = max, rc = take_doomed(w, is_early, &left);

    if (!rc && left == max) {
        /* Events of forgotten channels linger first. */
        rc = empty_graves(w, &left);
    }
    *n = max - left;
    return rc;
}
