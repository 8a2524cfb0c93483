/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Merges the histories of several channels: a heap with a cursor for each
 * channel, the one with the next event on top. */

#include <errno.h>
#include <stdlib.h>

#include "store/lmdb/sse_lmdb.h"

typedef struct {
    apr_uint64_t number;
    sse_id_t first; /**< the first kept; 0: none */
    MDB_cursor *cursor;
    sse_id_t id; /**< where the cursor stands */
} way_t;

typedef struct {
    sse_lmdb_t *store;
    MDB_txn *txn;
    way_t *ways;
    int count;    /**< in the heap */
    int all;      /**< with a cursor */
    int backward; /**< newest first */
} merge_t;

/** The events that are wanted. */
typedef struct {
    sse_id_t after;
    sse_id_t upto;
    const sse_lmdb_state_t *state;
} range_t;

static int before(const merge_t *m, int a, int b)
{
    return m->backward ? m->ways[a].id > m->ways[b].id
                       : m->ways[a].id < m->ways[b].id;
}

static void swap(merge_t *m, int a, int b)
{
    way_t way = m->ways[a];

    m->ways[a] = m->ways[b];
    m->ways[b] = way;
}

static void sift(merge_t *m, int at)
{
    for (;;) {
        int child = 2 * at + 1;

        if (child >= m->count) {
            return;
        }
        if (child + 1 < m->count && before(m, child + 1, child)) {
            ++child;
        }
        if (!before(m, child, at)) {
            return;
        }
        swap(m, at, child);
        at = child;
    }
}

/* Get the id that the cursor is at.  @return MDB_NOTFOUND: at the end */
static int stand(const merge_t *m, way_t *way, const MDB_val *key)
{
    apr_uint64_t number;

    if (!sse_lmdb_pair_get(key, &number, &way->id)) {
        return MDB_CORRUPTED;
    }
    return number != way->number || way->id < way->first ? MDB_NOTFOUND : 0;
}

/* Move to the next event; a history that ends leaves the heap. */
static int merge_next(merge_t *m)
{
    way_t *way = &m->ways[0];
    MDB_val key, val;
    int rc = mdb_cursor_get(way->cursor, &key, &val,
                            m->backward ? MDB_PREV : MDB_NEXT);

    if (!rc) {
        rc = stand(m, way, &key);
    }
    if (rc == MDB_NOTFOUND) {
        swap(m, 0, --m->count);
        rc = 0;
    }
    sift(m, 0);
    return rc;
}

/* Add the history of a channel, from that id on (up or down). */
static int merge_add(merge_t *m, apr_uint64_t number, sse_id_t first,
                     sse_id_t from)
{
    way_t *way = &m->ways[m->all];
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    int rc;

    way->number = number;
    way->first = first;
    rc = mdb_cursor_open(m->txn, m->store->db[SSE_DB_INDEX], &way->cursor);
    if (rc) {
        return rc;
    }
    ++m->all;
    sse_lmdb_pair_set(buf, number, from);
    rc = mdb_cursor_get(way->cursor, &key, &val, MDB_SET_RANGE);
    if (!rc) {
        rc = stand(m, way, &key);
    }
    if (!rc) {
        ++m->count;
        return 0;
    }
    /* It has no such event: its place is the next one's. */
    mdb_cursor_close(way->cursor);
    --m->all;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int merge_knows(const merge_t *m, apr_uint64_t number)
{
    int i;

    for (i = 0; i < m->all; ++i) {
        if (m->ways[i].number == number) {
            return 1;
        }
    }
    return 0;
}

static int is_news(sse_id_t lost, sse_id_t upto, sse_id_t *known)
{
    sse_id_t before = known ? *known : 0;

    lost = lost < upto ? lost : upto;
    if (known && lost > before) {
        *known = lost;
    }
    return lost > before;
}

/* Begin with all channels, after "after"; backward: at the newest event.
 * known, gap: as in history(). */
static int merge_open(merge_t *m, const sse_slice_t *channels, int n,
                      const range_t *range, sse_id_t *known, int *gap)
{
    apr_time_t now = sse_lmdb_now(m->store, range->state);
    sse_lmdb_channel_t channel;
    sse_id_t after = range->after, first, from, lost;
    int i, rc = 0;

    m->ways = calloc(n > 0 ? (size_t)n : 1, sizeof(*m->ways));
    if (!m->ways) {
        return ENOMEM;
    }
    for (i = 0; i < n && !rc; ++i) {
        rc = sse_lmdb_channel_get(m->store, m->txn, channels[i], &channel);
        if (rc == MDB_NOTFOUND) {
            rc = sse_lmdb_floor_get(m->store, m->txn, range->state, channels[i],
                                    &lost);
            *gap |= !rc && after < lost &&
                    is_news(lost, range->upto, known ? known + i : NULL);
            continue;
        }
        if (rc || merge_knows(m, channel.number) ||
            (rc = sse_lmdb_first_kept(m->store, m->txn, &channel, now,
                                      &first)) ||
            (rc = sse_lmdb_gap(m->store, m->txn, &channel, first, after,
                               &lost))) {
            continue;
        }
        *gap |= is_news(lost, range->upto, known ? known + i : NULL);
        if (first) {
            from = first > after ? first : after + 1;
            rc = merge_add(m, channel.number, first,
                           m->backward ? channel.last : from);
        }
    }
    for (i = m->count / 2 - 1; i >= 0 && !rc; --i) {
        sift(m, i);
    }
    return rc;
}

static void merge_end(merge_t *m)
{
    int i;

    for (i = 0; i < m->all; ++i) {
        mdb_cursor_close(m->ways[i].cursor);
    }
    free(m->ways);
    sse_lmdb_read_end(m->store, m->txn);
}

/* The id before the oldest of all. */
static sse_id_t oldest(const merge_t *m, sse_id_t otherwise)
{
    sse_id_t id = 0;
    int i;

    for (i = 0; i < m->count; ++i) {
        if (!id || m->ways[i].first < id) {
            id = m->ways[i].first;
        }
    }
    return id ? id - 1 : otherwise;
}

apr_status_t sse_lmdb_tail(sse_store_t *base, const sse_slice_t *channels,
                           int n, apr_int64_t count, sse_id_t *after)
{
    sse_lmdb_state_t state;
    range_t range = {0, 0, &state};
    merge_t m = {.store = (sse_lmdb_t *)base, .backward = 1};
    int gap = 0, rc = sse_lmdb_read_begin(m.store, &m.txn, &state);

    if (rc) {
        return sse_lmdb_status(rc);
    }
    range.after = range.upto = state.last;
    rc = merge_open(&m, channels, n, &range, NULL, &gap);
    *after = state.last;
    if (!rc && count < 0) {
        *after = oldest(&m, state.last);
    }
    while (!rc && m.count && count-- > 0) {
        *after = m.ways[0].id - 1;
        rc = merge_next(&m);
    }
    merge_end(&m);
    return sse_lmdb_status(rc);
}

/* Pass events to fn, up to so many bytes.  next: the last one passed. */
static int give(merge_t *m, sse_id_t upto, apr_size_t bytes, sse_store_fn *fn,
                void *baton, sse_id_t *next, apr_status_t *stopped)
{
    sse_lmdb_event_t event;
    apr_size_t size, given = 0;
    int rc;

    while (m->count && m->ways[0].id <= upto) {
        rc = sse_lmdb_event_get(m->store, m->txn, m->ways[0].id, &event);
        if (rc) {
            return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
        }
        size = event.record.fields.data.len + event.record.fields.event.len;
        if (given && given + size > bytes) {
            return 0;
        }
        if ((*stopped = fn(baton, &event.record))) {
            return 0;
        }
        given += size ? size : 1;
        *next = event.record.id;
        if ((rc = merge_next(m))) {
            return rc;
        }
    }
    /* There are no more up to there. */
    *next = upto > *next ? upto : *next;
    return 0;
}

apr_status_t sse_lmdb_history(sse_store_t *base, const sse_slice_t *channels,
                              int n, sse_id_t after, sse_id_t upto,
                              apr_size_t max_bytes, sse_store_fn *fn,
                              void *baton, sse_id_t *known, sse_id_t *next,
                              int *gap)
{
    apr_status_t stopped = APR_SUCCESS;
    sse_lmdb_state_t state;
    range_t range = {after, upto, &state};
    merge_t m = {.store = (sse_lmdb_t *)base};
    int rc = sse_lmdb_read_begin(m.store, &m.txn, &state);

    if (rc) {
        return sse_lmdb_status(rc);
    }
    *gap = after < state.origin; /* of another store */
    rc = merge_open(&m, channels, n, &range, known, gap);
    if (!rc) {
        upto = upto < state.last ? upto : state.last;
        rc = give(&m, upto, max_bytes, fn, baton, next, &stopped);
    }
    merge_end(&m);
    return rc ? sse_lmdb_status(rc) : stopped;
}
