/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What goes: records that lingered long enough, forgotten channels, and, when
 * room runs out, the oldest of all. */

#include <stdlib.h>

#include "store/sse_lmdb.h"

static int expire_doomed(sse_lmdb_write_t *w, int *max)
{
    MDB_cursor *cursor;
    MDB_val key, val;
    sse_id_t id;
    apr_time_t since;
    int rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_DOOMED], &cursor);

    if (rc) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &key, &val, MDB_FIRST);
    while (!rc && *max) {
        if (!sse_lmdb_id_get(&key, &id) || val.mv_size != sizeof(since)) {
            rc = MDB_CORRUPTED;
            break;
        }
        memcpy(&since, val.mv_data, sizeof(since));
        if (since + SSE_STORE_LINGER > w->now) {
            break;
        }
        --*max;
        if ((rc = mdb_cursor_del(cursor, 0)) ||
            (rc = sse_lmdb_del(w, SSE_DB_EVENTS, &id, sizeof(id)))) {
            break;
        }
        rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Take away what is left in the index of a number nobody has any more. */
static int empty_grave(sse_lmdb_write_t *w, apr_uint64_t grave, int *max)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    sse_lmdb_entry_t entry;
    apr_uint64_t number, id;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_INDEX], &cursor);

    if (rc) {
        return rc;
    }
    sse_lmdb_pair_set(buf, grave, 0);
    rc = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
    while (!rc && *max) {
        if (!sse_lmdb_pair_get(&key, &number, &id) ||
            !sse_lmdb_entry_get(&val, &entry)) {
            rc = MDB_CORRUPTED;
            break;
        }
        if (number != grave) {
            rc = MDB_NOTFOUND;
            break;
        }
        --*max;
        if ((rc = mdb_cursor_del(cursor, 0)) ||
            (rc = sse_lmdb_event_leave(w, grave, id, &entry))) {
            break;
        }
        rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (rc == MDB_NOTFOUND) {
        rc = sse_lmdb_del(w, SSE_DB_GRAVES, &grave, sizeof(grave));
    }
    return rc;
}

static int empty_graves(sse_lmdb_write_t *w, int *max)
{
    MDB_cursor *cursor;
    MDB_val key, val;
    apr_uint64_t number;
    int rc;

    while (*max) {
        rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_GRAVES], &cursor);
        if (rc) {
            return rc;
        }
        rc = mdb_cursor_get(cursor, &key, &val, MDB_FIRST);
        if (!rc && !sse_lmdb_id_get(&key, &number)) {
            rc = MDB_CORRUPTED;
        }
        mdb_cursor_close(cursor);
        if (rc) {
            return rc == MDB_NOTFOUND ? 0 : rc;
        }
        if ((rc = empty_grave(w, number, max))) {
            return rc;
        }
    }
    return 0;
}

int sse_lmdb_expire(sse_lmdb_write_t *w, int max, int *left)
{
    int rc;

    /* Half for each, so that neither waits for ever behind the other. */
    int half = max / 2;

    if ((rc = expire_doomed(w, &half))) {
        return rc;
    }
    max = max - max / 2 + half;
    rc = empty_graves(w, &max);
    *left = !max || !half;
    return rc;
}

/* The first that is left of the history of the channel at hand. */
static int find_first(sse_lmdb_write_t *w, sse_id_t from)
{
    sse_lmdb_channel_t *channel = &w->channel;
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    sse_lmdb_entry_t entry;
    apr_uint64_t number;
    MDB_cursor *cursor;
    int rc;

    rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_INDEX], &cursor);
    if (rc) {
        return rc;
    }
    sse_lmdb_pair_set(buf, channel->number, from);
    rc = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
    if (!rc && sse_lmdb_pair_get(&key, &number, &channel->first) &&
        number == channel->number && sse_lmdb_entry_get(&val, &entry)) {
        channel->first_time = entry.time;
    }
    else if (!rc || rc == MDB_NOTFOUND) {
        rc = MDB_CORRUPTED;
    }
    mdb_cursor_close(cursor);
    return rc;
}

/* The channel of an event that is given up loses it. */
static int evict_entry(sse_lmdb_write_t *w, const sse_lmdb_event_t *event)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    sse_lmdb_channel_t *channel = &w->channel;
    MDB_dbi index = w->store->db[SSE_DB_INDEX];
    sse_id_t id = event->record.id;
    sse_lmdb_entry_t entry;
    int rc;

    sse_lmdb_pair_set(buf, event->number, id);
    if ((rc = mdb_get(w->txn, index, &key, &val))) {
        return rc == MDB_NOTFOUND
                   ? sse_lmdb_del(w, SSE_DB_DOOMED, &id, sizeof(id))
                   : rc;
    }
    if (!sse_lmdb_entry_get(&val, &entry)) {
        return MDB_CORRUPTED;
    }
    if (event->pubkey.ptr &&
        (rc = sse_lmdb_key_del(w, event->number, event->pubkey, id))) {
        return rc;
    }
    if ((rc = mdb_del(w->txn, index, &key, NULL))) {
        return rc;
    }
    rc = sse_lmdb_channel_use(w, event->record.channel, 0);
    if (rc || channel->number != event->number) {
        return rc == MDB_NOTFOUND ? 0 : rc; /* its grave */
    }
    channel->count--;
    channel->bytes -= entry.bytes;
    channel->evicted = id;
    channel->first = 0;
    if (!channel->count) {
        return 0;
    }
    return find_first(w, id + 1);
}

static int evict_oldest(sse_lmdb_write_t *w)
{
    sse_lmdb_event_t event;
    char copy[SSE_STORE_KEY_MAX + SSE_STORE_PUBKEY_MAX];
    MDB_cursor *cursor;
    MDB_val key, val;
    sse_id_t id = 0;
    int rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_EVENTS], &cursor);

    if (rc) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &key, &val, MDB_FIRST);
    mdb_cursor_close(cursor);
    if (rc) {
        return rc;
    }
    if (!sse_lmdb_id_get(&key, &id) || sse_lmdb_event_parse(id, &val, &event)) {
        return MDB_CORRUPTED;
    }
    /* Slices into the map do not survive the writing that follows. */
    memcpy(copy, event.record.channel.ptr, event.record.channel.len);
    event.record.channel.ptr = copy;
    if (event.pubkey.ptr) {
        memcpy(copy + SSE_STORE_KEY_MAX, event.pubkey.ptr, event.pubkey.len);
        event.pubkey.ptr = copy + SSE_STORE_KEY_MAX;
    }
    rc = evict_entry(w, &event);
    return rc ? rc : sse_lmdb_del(w, SSE_DB_EVENTS, &id, sizeof(id));
}

int sse_lmdb_evict(sse_lmdb_write_t *w, apr_uint64_t pages, int *count)
{
    apr_uint64_t used;
    int rc, max = *count;

    for (*count = 0; *count < max; ++*count) {
        if ((rc = sse_lmdb_pages_used(w->store, w->txn, &used)) ||
            used <= pages || (rc = evict_oldest(w))) {
            return rc == MDB_NOTFOUND ? 0 : rc;
        }
    }
    return 0;
}

/* @param count in: how many at most; out: how many went */
static int evict_some(sse_store_t *store, apr_uint64_t pages, int *count)
{
    sse_lmdb_write_t w;
    int rc = sse_lmdb_write_begin(&w, store);

    if (rc) {
        return rc;
    }
    rc = sse_lmdb_evict(&w, pages, count);
    if (rc) {
        sse_lmdb_write_abort(&w);
        return rc;
    }
    return sse_lmdb_write_commit(&w);
}

/* Pages which a transaction freed are to be had again two later. */
static void turn_over(sse_store_t *store)
{
    int i, none = 0, rc = 0;

    for (i = 0; i < 3 && !rc; ++i) {
        rc = evict_some(store, 0, &none);
    }
}

static void evict_down_to(sse_store_t *store, apr_uint64_t pages)
{
    int rc, count, max = SSE_LMDB_EVICT_MAX;

    do {
        count = max;
        rc = evict_some(store, pages, &count);
        if (rc == MDB_MAP_FULL) {
            /* Smaller steps need fewer pages for their copies. */
            max /= 8;
            count = max;
            rc = 0;
        }
    } while (!rc && count && count == max);
}

/* LMDB tells its readers as lines of text, the last word of which is the number
 * of the snapshot that one holds, or "-". */
static int on_reader(const char *line, void *baton)
{
    apr_uint64_t *oldest = baton, txn;
    const char *word = strrchr(line, ' ');
    char *end;

    txn = word ? strtoull(word, &end, 10) : 0;
    if (txn && *end == '\n' && txn < *oldest) {
        *oldest = txn;
    }
    return 0;
}

/* Whether a reader keeps what was freed from being given out again. */
static int is_held(sse_store_t *store)
{
    apr_uint64_t oldest = ~(apr_uint64_t)0;
    MDB_envinfo info;
    int held;

    sse_lmdb_enter(store);
    held = store->env && mdb_reader_list(store->env, on_reader, &oldest) >= 0 &&
           !mdb_env_info(store->env, &info) && oldest < info.me_last_txnid;
    sse_lmdb_leave(store);
    return held;
}

void sse_lmdb_make_room(sse_store_t *store, apr_uint64_t need, int round)
{
    sse_lmdb_state_t state;
    apr_uint64_t used;
    MDB_txn *txn;
    int rc;

    sse_lmdb_readers_clear(store);
    if (round <= SSE_LMDB_WAITS && is_held(store)) {
        apr_sleep(1000 << (round < 5 ? round : 5));
    }
    else if (round > 1 && !sse_lmdb_read_begin(store, &txn, &state)) {
        rc = sse_lmdb_pages_used(store, txn, &used);
        sse_lmdb_read_end(store, txn);
        if (!rc) {
            used -= used / 4;
            evict_down_to(store, used > need / 2 ? used - need / 2 : 0);
        }
    }
    turn_over(store);
}
