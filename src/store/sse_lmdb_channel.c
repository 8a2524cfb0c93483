/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* One channel at a time is in hand while a transaction writes: its record is
 * read once and written once, however many events of a batch are its own. */

#include "store/sse_lmdb.h"

static void make_new(sse_lmdb_write_t *w)
{
    memset(&w->channel, 0, sizeof(w->channel));
    w->channel.number = w->state.next_number++;
    /* It may have been here before, and removed. */
    w->channel.evicted = w->state.floor;
}

int sse_lmdb_channel_use(sse_lmdb_write_t *w, sse_slice_t key, int create)
{
    int rc;

    if (w->used) {
        if (w->key_len == key.len && !memcmp(w->key, key.ptr, key.len)) {
            return 0;
        }
        if ((rc = sse_lmdb_channel_done(w))) {
            return rc;
        }
    }
    rc = sse_lmdb_channel_get(w->store, w->txn, key, &w->channel);
    if (rc == MDB_NOTFOUND && create) {
        make_new(w);
        rc = 0;
    }
    if (!rc) {
        memcpy(w->key, key.ptr, key.len);
        w->key_len = key.len;
        w->used = 1;
    }
    return rc;
}

static int due_del(sse_lmdb_write_t *w)
{
    unsigned char key[16];

    if (!w->channel.due) {
        return 0;
    }
    sse_lmdb_pair_set(key, (apr_uint64_t)w->channel.due, w->channel.number);
    w->channel.due = 0;
    return sse_lmdb_del(w, SSE_DB_DUE, key, sizeof(key));
}

/* When tidy() has something to do here; 0: never, as it stands. */
static apr_time_t due_time(const sse_lmdb_channel_t *channel)
{
    if (!channel->count) {
        return channel->last_time + SSE_STORE_LINGER;
    }
    return channel->max_age ? channel->first_time + channel->max_age : 0;
}

static int due_put(sse_lmdb_write_t *w, apr_time_t due)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val = {w->key_len, w->key};
    int rc;

    /* One that comes too early is put off by tidy(), which saves every append
     * to a busy channel from moving it. */
    if (!due || (w->channel.due && w->channel.due <= due)) {
        return 0;
    }
    if ((rc = due_del(w))) {
        return rc;
    }
    w->channel.due = due;
    sse_lmdb_pair_set(buf, (apr_uint64_t)due, w->channel.number);
    return mdb_put(w->txn, w->store->db[SSE_DB_DUE], &key, &val, 0);
}

int sse_lmdb_channel_done(sse_lmdb_write_t *w)
{
    MDB_val key = {w->key_len, w->key};
    MDB_val val = {sizeof(w->channel), &w->channel};
    int rc, left;

    w->used = 0;
    if ((rc = sse_lmdb_channel_trim(w, &left)) ||
        (rc = due_put(w, left ? w->now : due_time(&w->channel)))) {
        return rc;
    }
    return mdb_put(w->txn, w->store->db[SSE_DB_CHANNELS], &key, &val, 0);
}

int sse_lmdb_event_leave(sse_lmdb_write_t *w, apr_uint64_t number, sse_id_t id,
                         const sse_lmdb_entry_t *entry)
{
    apr_time_t since = entry->time;
    MDB_val key = {sizeof(id), &id}, val = {sizeof(since), &since};
    sse_lmdb_event_t event;
    int rc;

    if (entry->keyed) {
        rc = sse_lmdb_event_get(w->store, w->txn, id, &event);
        if (!rc && event.pubkey.ptr) {
            rc = sse_lmdb_key_del(w, number, event.pubkey, id);
        }
        if (rc) {
            return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
        }
    }
    if (since + SSE_STORE_LINGER <= w->now) {
        return sse_lmdb_del(w, SSE_DB_EVENTS, &id, sizeof(id));
    }
    return mdb_put(w->txn, w->store->db[SSE_DB_DOOMED], &key, &val, 0);
}

static int over(const sse_lmdb_channel_t *channel, apr_time_t now)
{
    return channel->count > channel->max_count ||
           (channel->max_bytes && channel->bytes > channel->max_bytes) ||
           (channel->max_age && channel->first_time <= now - channel->max_age);
}

/* The entry under the cursor is the history's first now, if it is one. */
static int set_first(sse_lmdb_channel_t *channel, const MDB_val *key,
                     const MDB_val *val, sse_lmdb_entry_t *entry)
{
    apr_uint64_t number, id;

    if (!sse_lmdb_pair_get(key, &number, &id) || number != channel->number ||
        !sse_lmdb_entry_get(val, entry)) {
        return MDB_CORRUPTED;
    }
    channel->first = id;
    channel->first_time = entry->time;
    return 0;
}

/* Take the first entry away; the cursor then stands before the next. */
static int drop_first(sse_lmdb_write_t *w, MDB_cursor *cursor,
                      const sse_lmdb_entry_t *entry)
{
    sse_lmdb_channel_t *channel = &w->channel;
    int rc = mdb_cursor_del(cursor, 0);

    channel->count--;
    channel->bytes -= entry->bytes;
    channel->evicted = channel->first;
    return rc ? rc
              : sse_lmdb_event_leave(w, channel->number, channel->first, entry);
}

int sse_lmdb_channel_trim(sse_lmdb_write_t *w, int *left)
{
    sse_lmdb_channel_t *channel = &w->channel;
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    sse_lmdb_entry_t entry;
    MDB_cursor *cursor;
    int rc, n = 0;

    *left = 0;
    if (!channel->count || !over(channel, w->now)) {
        return 0;
    }
    rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_INDEX], &cursor);
    if (rc) {
        return rc;
    }
    sse_lmdb_pair_set(buf, channel->number, channel->first);
    rc = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
    for (;;) {
        if (rc || (rc = set_first(channel, &key, &val, &entry)) ||
            !over(channel, w->now)) {
            break;
        }
        if (n++ == SSE_LMDB_TRIM_MAX) {
            *left = 1;
            break;
        }
        if ((rc = drop_first(w, cursor, &entry))) {
            break;
        }
        if (!channel->count) {
            channel->first = 0;
            break;
        }
        rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

int sse_lmdb_channel_remove(sse_lmdb_write_t *w)
{
    sse_lmdb_channel_t *channel = &w->channel;
    int rc = due_del(w);

    w->used = 0;
    if (channel->evicted > w->state.floor) {
        w->state.floor = channel->evicted;
    }
    return rc ? rc : sse_lmdb_del(w, SSE_DB_CHANNELS, w->key, w->key_len);
}

int sse_lmdb_channel_bury(sse_lmdb_write_t *w)
{
    sse_lmdb_channel_t *channel = &w->channel;
    apr_uint64_t number = channel->number;
    MDB_val key = {sizeof(number), &number}, val = {1, (void *)""};
    int rc = due_del(w);

    if (rc) {
        return rc;
    }
    if (channel->count) {
        rc = mdb_put(w->txn, w->store->db[SSE_DB_GRAVES], &key, &val, 0);
    }
    if (channel->last > channel->evicted) {
        channel->evicted = channel->last;
    }
    channel->number = w->state.next_number++;
    channel->count = channel->bytes = 0;
    channel->first = 0;
    channel->last_time = w->now;
    return rc;
}
