/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "store/lmdb/sse_lmdb_channels.h"

#include "store/lmdb/sse_lmdb_presence.h"

/* Entries that a call of the provider's may look at; see sse_lmdb_walk_t. */
#define BUDGET 10000

/** A snapshot that is being read. */
typedef struct {
    sse_lmdb_t *store;
    MDB_txn *txn;
    apr_time_t now;          /**< the store's */
    apr_interval_time_t off; /**< the machine's clock less the store's */
    apr_uint64_t budget;
} reading_t;

/** A way through one of the two databases. */
typedef struct {
    MDB_cursor *cursor; /**< or NULL */
    MDB_val key, val;
    int rc; /**< MDB_NOTFOUND: at its end */
} way_t;

/* -- One channel ----------------------------------------------------------- */

/* Take what is over its age, and not removed yet, out of the sums.
 * @param first the oldest event that is not */
static int leave_out(reading_t *reading, const sse_lmdb_channel_t *channel,
                     sse_id_t first, sse_store_channel_t *out)
{
    MDB_cursor_op op = MDB_SET_RANGE;
    sse_lmdb_entry_t entry;
    sse_id_t id = channel->first;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(reading->txn, reading->store->db[SSE_DB_INDEX],
                             &cursor);

    if (rc) {
        return rc;
    }
    for (; reading->budget && !rc; op = MDB_NEXT, reading->budget--) {
        rc = sse_lmdb_entry_seek(cursor, op, channel->number, &id, &entry);
        if (rc || id >= first) {
            break;
        }
        out->events--;
        out->bytes -= entry.bytes;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

static int first_time(reading_t *reading, const sse_lmdb_channel_t *channel,
                      sse_store_channel_t *out)
{
    sse_lmdb_entry_t entry;
    sse_id_t id = out->first;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(reading->txn, reading->store->db[SSE_DB_INDEX],
                             &cursor);

    if (rc) {
        return rc;
    }
    rc = sse_lmdb_entry_seek(cursor, MDB_SET_RANGE, channel->number, &id,
                             &entry);
    mdb_cursor_close(cursor);
    out->first_time = entry.time + reading->off;
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

/* What its record says. */
static int record_take(reading_t *reading, const MDB_val *val,
                       sse_store_channel_t *out)
{
    sse_lmdb_channel_t channel;
    int rc;

    if (val->mv_size != sizeof(channel)) {
        return MDB_CORRUPTED;
    }
    memcpy(&channel, val->mv_data, sizeof(channel));
    out->last = channel.last;
    out->last_time = channel.last_time ? channel.last_time + reading->off : 0;
    rc = sse_lmdb_first_kept(reading->store, reading->txn, &channel,
                             reading->now, &out->first);
    if (rc || !out->first) {
        return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
    }
    out->events = channel.count;
    out->bytes = channel.bytes;
    out->first_time = channel.first_time + reading->off;
    if (out->first == channel.first) {
        return 0;
    }
    rc = leave_out(reading, &channel, out->first, out);
    return rc ? rc : first_time(reading, &channel, out);
}

static int presence_take(const MDB_val *val, sse_store_channel_t *out)
{
    sse_lmdb_presence_t on;

    if (val->mv_size != sizeof(on)) {
        return MDB_CORRUPTED;
    }
    memcpy(&on, val->mv_data, sizeof(on));
    out->streams = on.streams;
    out->users = on.users;
    return 0;
}

/* -- All channels ---------------------------------------------------------- */

static void way_begin(way_t *way, MDB_txn *txn, MDB_dbi db,
                      const sse_lmdb_walk_t *walk)
{
    sse_slice_t from = walk->from;

    way->cursor = NULL;
    way->key = (MDB_val){from.len, (void *)from.ptr};
    way->rc = db ? mdb_cursor_open(txn, db, &way->cursor) : MDB_NOTFOUND;
    if (way->rc) {
        return;
    }
    way->rc = walk->is_after
                  ? sse_lmdb_after(way->cursor, from.ptr, from.len, &way->key,
                                   &way->val)
                  : mdb_cursor_get(way->cursor, &way->key, &way->val,
                                   from.len ? MDB_SET_RANGE : MDB_FIRST);
}

static void way_next(way_t *way)
{
    way->rc = mdb_cursor_get(way->cursor, &way->key, &way->val, MDB_NEXT);
}

static void way_end(way_t *way)
{
    if (way->cursor) {
        mdb_cursor_close(way->cursor);
    }
}

/* @return below 0: a's channel is the first */
static int compare(const reading_t *reading, const way_t *a, const way_t *b)
{
    return a->rc   ? 1
           : b->rc ? -1
                   : mdb_cmp(reading->txn, reading->store->db[SSE_DB_CHANNELS],
                             &a->key, &b->key);
}

/* The channel that comes next in any of the two. */
static int take(reading_t *reading, way_t *records, way_t *presence,
                sse_store_channel_t *out)
{
    int order = compare(reading, records, presence), rc = 0;
    const MDB_val *key = order > 0 ? &presence->key : &records->key;

    if (!key->mv_size || key->mv_size > SSE_STORE_KEY_MAX) {
        return MDB_CORRUPTED;
    }
    memset(out, 0, sizeof(*out));
    out->channel = (sse_slice_t){key->mv_data, key->mv_size};
    if (order <= 0) {
        rc = record_take(reading, &records->val, out);
        way_next(records);
    }
    if (!rc && order >= 0) {
        rc = presence_take(&presence->val, out);
        way_next(presence);
    }
    return rc;
}

static int walk_on(reading_t *reading, way_t *records, way_t *presence,
                   sse_store_channel_fn *fn, void *baton, apr_status_t *stopped)
{
    sse_store_channel_t channel;
    int rc;

    while (!records->rc || !presence->rc) {
        if ((rc = take(reading, records, presence, &channel))) {
            return rc;
        }
        if ((*stopped = fn(baton, &channel)) != APR_SUCCESS) {
            return 0;
        }
    }
    return records->rc != MDB_NOTFOUND    ? records->rc
           : presence->rc != MDB_NOTFOUND ? presence->rc
                                          : 0;
}

/* @return as sse_lmdb_read_begin() */
static int begin(reading_t *reading, sse_lmdb_t *store, apr_uint64_t budget)
{
    sse_lmdb_state_t state;
    int rc = sse_lmdb_read_begin(store, &reading->txn, &state);

    if (!rc) {
        reading->store = store;
        reading->now = sse_lmdb_now(store, &state);
        reading->off = apr_time_now() - reading->now;
        reading->budget = budget;
    }
    return rc;
}

int sse_lmdb_channels_walk(sse_lmdb_t *store, const sse_lmdb_walk_t *walk,
                           sse_store_channel_fn *fn, void *baton,
                           apr_status_t *stopped)
{
    reading_t reading;
    way_t records, presence;
    int rc = begin(&reading, store, walk->budget);

    *stopped = APR_SUCCESS;
    if (rc) {
        return rc;
    }
    way_begin(&records, reading.txn, store->db[SSE_DB_CHANNELS], walk);
    way_begin(&presence, reading.txn, store->db[SSE_DB_PRESENCE], walk);
    rc = walk_on(&reading, &records, &presence, fn, baton, stopped);
    way_end(&presence);
    way_end(&records);
    sse_lmdb_read_end(store, reading.txn);
    return rc;
}

/* -- The provider's -------------------------------------------------------- */

/** Those that begin with a prefix. */
typedef struct {
    sse_slice_t prefix;
    int left; /**< that may still be given */
    int more;
    sse_store_channel_fn *fn;
    void *baton;
} some_t;

static int begins_with(sse_slice_t key, sse_slice_t prefix)
{
    return key.len >= prefix.len && !memcmp(key.ptr, prefix.ptr, prefix.len);
}

static apr_status_t on_channel(void *baton, const sse_store_channel_t *channel)
{
    some_t *some = baton;

    if (!begins_with(channel->channel, some->prefix)) {
        return APR_EOF;
    }
    if (!some->left) {
        some->more = 1;
        return APR_EOF;
    }
    some->left--;
    return some->fn(some->baton, channel);
}

/* Whether that key is behind all that a prefix's keys follow: the walk then
 * begins there. */
static int is_further(sse_slice_t after, sse_slice_t prefix)
{
    apr_size_t len = after.len < prefix.len ? after.len : prefix.len;
    int order = len ? memcmp(after.ptr, prefix.ptr, len) : 0;

    return order > 0 || (!order && after.len >= prefix.len);
}

apr_status_t sse_lmdb_channels(sse_store_t *base, sse_slice_t prefix,
                               sse_slice_t after, int max,
                               sse_store_channel_fn *fn, void *baton, int *more)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    some_t some = {prefix, max, 0, fn, baton};
    sse_lmdb_walk_t walk = {prefix, 0, BUDGET};
    apr_status_t stopped;
    int rc = sse_lmdb_presence_open(store, SSE_LMDB_READER);

    if (after.len && is_further(after, prefix)) {
        walk.from = after;
        walk.is_after = 1;
    }
    if (!rc) {
        rc = sse_lmdb_channels_walk(store, &walk, on_channel, &some, &stopped);
    }
    if (rc) {
        return sse_lmdb_status(rc);
    }
    *more = some.more;
    return stopped == APR_EOF ? APR_SUCCESS : stopped;
}

apr_status_t sse_lmdb_channel(sse_store_t *base, sse_slice_t key,
                              sse_store_channel_t *out)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    MDB_val name = {key.len, (void *)key.ptr}, val;
    reading_t reading;
    int rc = sse_lmdb_presence_open(store, SSE_LMDB_READER);

    if (rc || (rc = begin(&reading, store, BUDGET))) {
        return sse_lmdb_status(rc);
    }
    rc = mdb_get(reading.txn, store->db[SSE_DB_CHANNELS], &name, &val);
    if (!rc) {
        rc = record_take(&reading, &val, out);
    }
    if ((!rc || rc == MDB_NOTFOUND) && store->db[SSE_DB_PRESENCE]) {
        rc = mdb_get(reading.txn, store->db[SSE_DB_PRESENCE], &name, &val);
        rc = rc ? rc : presence_take(&val, out);
    }
    sse_lmdb_read_end(store, reading.txn);
    return sse_lmdb_status(rc == MDB_NOTFOUND ? 0 : rc);
}

apr_status_t sse_lmdb_sizes(sse_store_t *base, sse_store_sizes_t *sizes)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    sse_lmdb_state_t state;
    MDB_stat channels, index;
    MDB_envinfo info;
    MDB_txn *txn;
    int rc = sse_lmdb_read_begin(store, &txn, &state);

    if (rc) {
        return sse_lmdb_status(rc);
    }
    if (!(rc = sse_lmdb_pages_used(store, txn, &sizes->bytes)) &&
        !(rc = mdb_stat(txn, store->db[SSE_DB_CHANNELS], &channels)) &&
        !(rc = mdb_stat(txn, store->db[SSE_DB_INDEX], &index)) &&
        !(rc = mdb_env_info(store->env, &info))) {
        sizes->bytes *= store->psize;
        sizes->limit = store->soft * store->psize;
        sizes->size = info.me_mapsize;
        sizes->channels = channels.ms_entries;
        sizes->events = index.ms_entries;
    }
    sse_lmdb_read_end(store, txn);
    return sse_lmdb_status(rc);
}
