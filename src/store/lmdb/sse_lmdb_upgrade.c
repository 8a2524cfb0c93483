/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Upgrade a store of version 1 in one transaction: ids and histories stay.
 *
 * Version 1 had one floor for all channels, which stays as the least floor of
 * all buckets; no owners and no weights, which are made from the channels; no
 * sum of the lingering records; entries with a flag instead of the length of
 * the idempotency key; and the machine's clock for its time.  Its channels lack
 * the last two members, its state all after txn.
 *
 * A child of a version 1 module that has such a store open fails, as it finds
 * another version, until it exits. */

#include <stddef.h>

#include "store/lmdb/sse_lmdb.h"

#define OLD_CHANNEL offsetof(sse_lmdb_channel_t, room)

/* Called for each entry of a database. */
typedef int entry_fn(sse_lmdb_write_t *w, const MDB_val *key,
                     const MDB_val *val);

static int each(sse_lmdb_write_t *w, int db, entry_fn *fn)
{
    MDB_val key, val;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(w->txn, w->store->db[db], &cursor);

    if (rc) {
        return rc;
    }
    while (!(rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT)) &&
           !(rc = fn(w, &key, &val))) {
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* An idempotency key: its event's entry is to have its length. */
static int on_key(sse_lmdb_write_t *w, const MDB_val *key, const MDB_val *val)
{
    unsigned char buf[16];
    sse_lmdb_entry_t entry;
    sse_id_t id;
    MDB_val name = {sizeof(buf), buf};

    if (key->mv_size <= 8 || !sse_lmdb_id_get(val, &id)) {
        return MDB_CORRUPTED;
    }
    sse_lmdb_pair_set(buf, 0, id);
    memcpy(buf, key->mv_data, 8);
    if (sse_lmdb_get(w->txn, w->store->db[SSE_DB_INDEX], &name, &entry,
                     sizeof(entry))) {
        return MDB_CORRUPTED;
    }
    entry.keyed = (apr_uint32_t)key->mv_size - 8;
    return sse_lmdb_set(w, SSE_DB_INDEX, buf, sizeof(buf), &entry,
                        sizeof(entry));
}

static int on_doomed(sse_lmdb_write_t *w, const MDB_val *key,
                     const MDB_val *val)
{
    MDB_val id = *key, event;
    int rc = mdb_get(w->txn, w->store->db[SSE_DB_EVENTS], &id, &event);

    if (rc) {
        return MDB_CORRUPTED;
    }
    w->state.lingering += sse_lmdb_room(w->store, event.mv_size);
    return 0;
}

/* The room of the events that have an index entry of that number. */
static int room_of(sse_lmdb_write_t *w, apr_uint64_t number, apr_uint64_t *room)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val, event;
    MDB_cursor_op op = MDB_SET_RANGE;
    apr_uint64_t whose;
    sse_id_t id;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_INDEX], &cursor);

    *room = 0;
    sse_lmdb_pair_set(buf, number, 0);
    for (; !rc; op = MDB_NEXT) {
        rc = mdb_cursor_get(cursor, &key, &val, op);
        if (rc || !sse_lmdb_pair_get(&key, &whose, &id) || whose != number) {
            break;
        }
        rc = mdb_get(w->txn, w->store->db[SSE_DB_EVENTS],
                     &(MDB_val){sizeof(id), &id}, &event);
        rc = rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
        *room += rc ? 0 : sse_lmdb_room(w->store, event.mv_size);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int on_grave(sse_lmdb_write_t *w, const MDB_val *key, const MDB_val *val)
{
    apr_uint64_t number, room;
    int rc = sse_lmdb_id_get(key, &number) ? room_of(w, number, &room)
                                           : MDB_CORRUPTED;

    w->state.lingering += rc ? 0 : room;
    return rc;
}

/* -- Channels -------------------------------------------------------------- */

/* The channel of that key, written back as any other is. */
static int convert(sse_lmdb_write_t *w, sse_slice_t name, const MDB_val *val)
{
    sse_lmdb_channel_t old;
    apr_uint64_t room;
    int rc;

    memset(&old, 0, sizeof(old));
    memcpy(&old, val->mv_data, OLD_CHANNEL);
    if ((rc = sse_lmdb_flush(w)) || (rc = room_of(w, old.number, &room)) ||
        (rc = sse_lmdb_owner_use(w, name))) {
        return rc;
    }
    memcpy(w->key, name.ptr, name.len);
    w->key_len = name.len;
    w->channel = old;
    w->used = 1;
    sse_lmdb_owner_add(w, 1);
    sse_lmdb_owner_grow(w, room);
    return sse_lmdb_weight_put(w);
}

/* The first channel after that key. */
static int channel_after(sse_lmdb_write_t *w, sse_slice_t after, MDB_val *key,
                         MDB_val *val)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_CHANNELS], &cursor);

    if (!rc) {
        rc = sse_lmdb_after(cursor, after.ptr, after.len, key, val);
        mdb_cursor_close(cursor);
    }
    return rc;
}

static int convert_all(sse_lmdb_write_t *w)
{
    char copy[SSE_STORE_KEY_MAX];
    sse_slice_t name = {copy, 0};
    MDB_val key, val;
    int rc;

    while (!(rc = channel_after(w, name, &key, &val))) {
        if (!key.mv_size || key.mv_size > sizeof(copy) ||
            val.mv_size != OLD_CHANNEL) {
            return MDB_CORRUPTED;
        }
        memcpy(copy, key.mv_data, key.mv_size);
        name.len = key.mv_size;
        if ((rc = convert(w, name, &val))) {
            return rc;
        }
    }
    return rc == MDB_NOTFOUND ? sse_lmdb_flush(w) : rc;
}

/* -- The state ------------------------------------------------------------- */

/* The store's time is not before the newest record's. */
static int time_of_last(sse_lmdb_write_t *w)
{
    sse_lmdb_event_t event;
    MDB_val key, val;
    sse_id_t id;
    int rc = sse_lmdb_seek(w->txn, w->store->db[SSE_DB_EVENTS], MDB_LAST, &key,
                           &val);

    if (!rc && (!sse_lmdb_id_get(&key, &id) ||
                sse_lmdb_event_parse(id, &val, &event))) {
        return MDB_CORRUPTED;
    }
    if (!rc) {
        w->state.time = event.record.time;
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int sse_lmdb_upgrade(MDB_txn *txn, const MDB_dbi *db,
                     const sse_lmdb_state_t *old)
{
    sse_lmdb_t store = {.boot = sse_lmdb_boot()}; /* what records need of it */
    sse_lmdb_write_t w = {.store = &store, .txn = txn, .state = *old};
    MDB_stat st;
    int rc = mdb_env_stat(mdb_txn_env(txn), &st);

    memcpy(store.db, db, sizeof(store.db));
    store.psize = rc ? 0 : st.ms_psize;
    w.state.version = SSE_LMDB_VERSION;
    if (rc || (rc = sse_lmdb_state_init(&w.state, txn)) ||
        (rc = time_of_last(&w)) || (rc = each(&w, SSE_DB_KEYS, on_key)) ||
        (rc = each(&w, SSE_DB_DOOMED, on_doomed)) ||
        (rc = each(&w, SSE_DB_GRAVES, on_grave))) {
        return rc;
    }
    w.now = sse_lmdb_clock_set(&store, &w.state);
    rc = convert_all(&w);
    return rc ? rc : sse_lmdb_state_put(txn, db[SSE_DB_META], &w.state);
}
