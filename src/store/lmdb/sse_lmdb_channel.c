/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A write transaction has one channel at hand: its record is read once and
 * written once, however many events of a batch are the channel's. */

#include "store/lmdb/sse_lmdb.h"

static int make_new(sse_lmdb_write_t *w, sse_slice_t key)
{
    memset(&w->channel, 0, sizeof(w->channel));
    w->channel.number = w->state.next_number++;
    sse_lmdb_owner_add(w, 1);
    /* A channel of that key may have been removed. */
    return sse_lmdb_floor_get(w->store, w->txn, &w->state, key,
                              &w->channel.evicted);
}

int sse_lmdb_channel_use(sse_lmdb_write_t *w, sse_slice_t key, int create)
{
    int rc, is_new;

    if (w->used) {
        if (w->key_len == key.len && !memcmp(w->key, key.ptr, key.len)) {
            return 0;
        }
        if ((rc = sse_lmdb_channel_done(w))) {
            return rc;
        }
    }
    rc = sse_lmdb_channel_get(w->store, w->txn, key, &w->channel);
    is_new = rc == MDB_NOTFOUND && create;
    if ((rc && !is_new) || (rc = sse_lmdb_owner_use(w, key))) {
        return rc;
    }
    memcpy(w->key, key.ptr, key.len);
    w->key_len = key.len;
    w->used = 1;
    return is_new ? make_new(w, key) : 0;
}

int sse_lmdb_flush(sse_lmdb_write_t *w)
{
    int rc = w->used ? sse_lmdb_channel_done(w) : 0;

    return rc ? rc : sse_lmdb_owner_done(w);
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

/* When tidy() has to look at the channel; 0: never, as it stands. */
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
    int rc;

    /* Not every append moves it: tidy() postpones an early entry. */
    if (!due || (w->channel.due && w->channel.due <= due)) {
        return 0;
    }
    if ((rc = due_del(w))) {
        return rc;
    }
    w->channel.due = due;
    sse_lmdb_pair_set(buf, (apr_uint64_t)due, w->channel.number);
    return sse_lmdb_set(w, SSE_DB_DUE, buf, sizeof(buf), w->key, w->key_len);
}

int sse_lmdb_channel_done(sse_lmdb_write_t *w)
{
    int rc, left;

    w->used = 0;
    if ((rc = sse_lmdb_channel_trim(w, &left)) ||
        (rc = due_put(w, left ? w->now : due_time(&w->channel))) ||
        (rc = sse_lmdb_weight_put(w))) {
        return rc;
    }
    return sse_lmdb_set(w, SSE_DB_CHANNELS, w->key, w->key_len, &w->channel,
                        sizeof(w->channel));
}

static int over(const sse_lmdb_channel_t *channel, apr_time_t now)
{
    return channel->count > channel->max_count ||
           (channel->max_bytes && channel->bytes > channel->max_bytes) ||
           (channel->max_age && channel->first_time <= now - channel->max_age);
}

/* Delete the first entry; the cursor then stands before the next. */
static int drop_first(sse_lmdb_write_t *w, MDB_cursor *cursor,
                      const sse_lmdb_entry_t *entry, int is_urgent)
{
    sse_lmdb_channel_t *channel = &w->channel;
    apr_uint64_t room =
        sse_lmdb_room(w->store, sse_lmdb_entry_size(entry, w->key_len));
    int is_gone, rc = mdb_cursor_del(cursor, 0);

    channel->count--;
    channel->bytes -= entry->bytes;
    channel->evicted = channel->first;
    sse_lmdb_owner_shrink(w, room);
    if (!rc) {
        rc = sse_lmdb_event_leave(w, channel->number, channel->first, entry,
                                  is_urgent, &is_gone);
    }
    if (!rc && !is_gone) {
        w->state.lingering += room;
    }
    return rc;
}

/** How much of a history is to go. */
typedef struct {
    int max;           /**< events at most */
    apr_uint64_t room; /**< stop once that much has gone */
    int is_forced;     /**< also what is within its limits; 2: without
                            lingering */
    int n;             /**< out: events that went */
} cut_t;

/* @param left room of the history that may stay */
static int is_enough(const sse_lmdb_write_t *w, const cut_t *cut,
                     apr_uint64_t left)
{
    return cut->n == cut->max ||
           (cut->is_forced ? cut->n && w->channel.room <= left
                           : !over(&w->channel, w->now));
}

/* Delete until the limits are met, or it is enough. */
static int cut_some(sse_lmdb_write_t *w, cut_t *cut)
{
    sse_lmdb_channel_t *channel = &w->channel;
    apr_uint64_t left =
        channel->room > cut->room ? channel->room - cut->room : 0;
    apr_uint64_t number = channel->number;
    MDB_cursor_op op = MDB_SET_RANGE;
    sse_id_t id = channel->first;
    sse_lmdb_entry_t entry;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_INDEX], &cursor);

    if (rc) {
        return rc;
    }
    while (!(rc = sse_lmdb_entry_seek(cursor, op, number, &id, &entry))) {
        channel->first = id;
        channel->first_time = entry.time;
        if (is_enough(w, cut, left) ||
            (rc = drop_first(w, cursor, &entry, cut->is_forced > 1))) {
            break;
        }
        ++cut->n;
        if (!channel->count) {
            channel->first = 0;
            break;
        }
        op = MDB_NEXT;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

int sse_lmdb_channel_trim(sse_lmdb_write_t *w, int *left)
{
    cut_t cut = {SSE_LMDB_TRIM_MAX, 0, 0, 0};
    int rc;

    *left = 0;
    if (!w->channel.count || !over(&w->channel, w->now)) {
        return 0;
    }
    rc = cut_some(w, &cut);
    *left = cut.n == cut.max && w->channel.count && over(&w->channel, w->now);
    return rc;
}

int sse_lmdb_channel_cut(sse_lmdb_write_t *w, int is_urgent, int max,
                         apr_uint64_t room, int *n)
{
    cut_t cut = {max, room, 1 + is_urgent, 0};
    int rc = cut_some(w, &cut);

    *n = cut.n;
    return rc;
}

int sse_lmdb_channel_remove(sse_lmdb_write_t *w)
{
    sse_lmdb_channel_t *channel = &w->channel;
    sse_slice_t key = {w->key, w->key_len};
    int rc = due_del(w);

    w->used = 0;
    if (rc || (rc = sse_lmdb_weight_del(w)) ||
        (rc = sse_lmdb_floor_raise(w, key, channel->evicted))) {
        return rc;
    }
    sse_lmdb_owner_add(w, -1);
    return sse_lmdb_del(w, SSE_DB_CHANNELS, w->key, w->key_len);
}

int sse_lmdb_channel_bury(sse_lmdb_write_t *w)
{
    sse_lmdb_channel_t *channel = &w->channel;
    apr_uint64_t number = channel->number;
    int rc = due_del(w);

    if (rc || (rc = sse_lmdb_weight_del(w))) {
        return rc;
    }
    /* Its events linger until its grave is empty. */
    w->state.lingering += channel->room;
    sse_lmdb_owner_shrink(w, channel->room);
    if (channel->count) {
        rc = sse_lmdb_set(w, SSE_DB_GRAVES, &number, sizeof(number), "", 1);
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
