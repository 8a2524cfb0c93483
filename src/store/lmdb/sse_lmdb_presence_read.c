/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Readers of who is on a channel. */

#include "store/lmdb/sse_lmdb_presence.h"

/** A snapshot that is being read. */
typedef struct {
    sse_lmdb_t *store;
    MDB_txn *txn;
    sse_lmdb_state_t state;
    MDB_cursor *cursor;      /**< or NULL */
    apr_interval_time_t off; /**< the machine's clock less the store's */
    sse_store_member_fn *fn;
    void *baton;
    int max;              /**< members that may still be given */
    apr_status_t stopped; /**< what the callback said */
} reading_t;

/* @return 0; MDB_NOTFOUND: there is no such database: nobody is there */
static int begin(reading_t *reading, sse_store_t *base, int db)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    int rc = sse_lmdb_presence_open(store, SSE_LMDB_READER);

    reading->store = store;
    if (rc ||
        (rc = sse_lmdb_read_begin(store, &reading->txn, &reading->state))) {
        return rc;
    }
    reading->off = apr_time_now() - sse_lmdb_now(store, &reading->state);
    rc = store->db[db]
             ? mdb_cursor_open(reading->txn, store->db[db], &reading->cursor)
             : MDB_NOTFOUND;
    if (rc && rc != MDB_NOTFOUND) {
        sse_lmdb_read_end(store, reading->txn);
    }
    return rc;
}

/* @param rc MDB_NOTFOUND: all was read */
static apr_status_t end(reading_t *reading, int rc)
{
    if (reading->cursor) {
        mdb_cursor_close(reading->cursor);
    }
    sse_lmdb_read_end(reading->store, reading->txn);
    return rc && rc != MDB_NOTFOUND ? sse_lmdb_status(rc) : reading->stopped;
}

/* From the store's time to the machine's clock; "for ever" stays that. */
static apr_time_t clock_of(const reading_t *reading, apr_time_t time)
{
    return reading->off > 0 && time > APR_INT64_MAX - reading->off
               ? APR_INT64_MAX
               : time + reading->off;
}

/* @return whether to go on */
static int give(reading_t *reading, const sse_lmdb_member_t *member)
{
    const sse_slice_t *parts = member->parts;
    sse_presence_member_t out = {.channel = parts[SSE_PART_CHANNEL],
                                 .name = parts[SSE_PART_NAME],
                                 .stream = parts[SSE_PART_STREAM],
                                 .person = parts[SSE_PART_PERSON],
                                 .user = parts[SSE_PART_USER],
                                 .owner = parts[SSE_PART_OWNER],
                                 .text = parts[SSE_PART_TEXT],
                                 .since = member->since};

    if (member->due) {
        out.due = clock_of(reading, member->due);
    }
    reading->max--;
    reading->stopped = reading->fn(reading->baton, &out);
    return reading->max > 0 && !reading->stopped;
}

/* @return 0: that is enough; MDB_NOTFOUND: those are all */
static int list(reading_t *reading, apr_uint64_t number)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    MDB_cursor_op op = MDB_SET_RANGE;
    sse_lmdb_member_t member;
    int rc;

    sse_lmdb_pair_set(buf, number, 0);
    for (;; op = MDB_NEXT) {
        if ((rc = mdb_cursor_get(reading->cursor, &key, &val, op))) {
            return rc;
        }
        if (!sse_lmdb_member_parse(&key, &val, &member)) {
            return MDB_CORRUPTED;
        }
        if (member.channel != number) {
            return MDB_NOTFOUND;
        }
        if (!give(reading, &member)) {
            return 0;
        }
    }
}

apr_status_t sse_lmdb_members(sse_store_t *base, sse_slice_t channel, int max,
                              sse_store_member_fn *fn, void *baton,
                              sse_id_t *last, apr_uint64_t *streams,
                              apr_uint64_t *users)
{
    reading_t reading = {.fn = fn, .baton = baton, .max = max};
    sse_lmdb_presence_t on = {0};
    int rc = begin(&reading, base, SSE_DB_MEMBERS);

    if (rc && rc != MDB_NOTFOUND) {
        return sse_lmdb_status(rc);
    }
    *last = reading.state.last;
    if (!rc && !(rc = sse_lmdb_presence_get(reading.store, reading.txn, channel,
                                            &on))) {
        *streams = on.streams;
        *users = on.users;
        rc = max > 0 ? list(&reading, on.number) : 0;
    }
    return end(&reading, rc);
}

/* The next mark of that kind. @return MDB_NOTFOUND: there is none */
static int next_mark(reading_t *reading, MDB_cursor_op op,
                     unsigned char buf[SSE_LMDB_MARK_KEY], apr_size_t len,
                     sse_lmdb_mark_t *mark)
{
    sse_lmdb_mark_e kind = (sse_lmdb_mark_e)buf[0];
    MDB_val key = {len, buf}, val;
    int rc = mdb_cursor_get(reading->cursor, &key, &val, op);

    if (!rc && !sse_lmdb_mark_get(&key, mark)) {
        return MDB_CORRUPTED;
    }
    return !rc && mark->kind != kind ? MDB_NOTFOUND : rc;
}

/* @return whether to go on is in *more */
static int give_marked(reading_t *reading, const sse_lmdb_mark_t *mark,
                       int *more)
{
    sse_lmdb_member_t member;
    int rc = sse_lmdb_member_get(reading->store, reading->txn, mark->channel,
                                 mark->member, &member, NULL);

    *more = !rc && give(reading, &member);
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

apr_status_t sse_lmdb_owners(sse_store_t *base, sse_store_owner_fn *fn,
                             void *baton)
{
    unsigned char buf[SSE_LMDB_MARK_KEY] = {SSE_MARK_OWNER};
    reading_t reading = {0};
    apr_size_t len = 1;
    sse_lmdb_mark_t mark;
    int rc = begin(&reading, base, SSE_DB_MARKS);

    if (rc && rc != MDB_NOTFOUND) {
        return sse_lmdb_status(rc);
    }
    while (!rc && !(rc = next_mark(&reading, MDB_SET_RANGE, buf, len, &mark)) &&
           !(reading.stopped = fn(baton, mark.owner))) {
        /* From behind the last that this one could have. */
        mark.channel = mark.member = ~(apr_uint64_t)0;
        len = sse_lmdb_mark_set(buf, &mark);
    }
    return end(&reading, rc);
}

/* Whether a mark is none of those that are read. */
typedef int is_over_fn(const reading_t *reading, const sse_lmdb_mark_t *mark,
                       const void *baton);

/* Give the members that have marks, from that one on. */
static apr_status_t give_from(reading_t *reading, sse_store_t *base,
                              sse_lmdb_mark_t mark, is_over_fn *is_over,
                              const void *baton)
{
    unsigned char buf[SSE_LMDB_MARK_KEY];
    apr_size_t len = sse_lmdb_mark_set(buf, &mark);
    MDB_cursor_op op = MDB_SET_RANGE;
    int more = reading->max > 0, rc = begin(reading, base, SSE_DB_MARKS);

    if (rc && rc != MDB_NOTFOUND) {
        return sse_lmdb_status(rc);
    }
    for (; !rc && more; op = MDB_NEXT) {
        rc = next_mark(reading, op, buf, len, &mark);
        if (rc || is_over(reading, &mark, baton)) {
            break;
        }
        rc = give_marked(reading, &mark, &more);
    }
    return end(reading, rc);
}

static int is_other_owner(const reading_t *reading, const sse_lmdb_mark_t *mark,
                          const void *baton)
{
    const sse_slice_t *owner = baton;

    return mark->owner.len != owner->len ||
           memcmp(mark->owner.ptr, owner->ptr, owner->len);
}

apr_status_t sse_lmdb_members_of(sse_store_t *base, sse_slice_t owner, int max,
                                 sse_store_member_fn *fn, void *baton)
{
    reading_t reading = {.fn = fn, .baton = baton, .max = max};
    sse_lmdb_mark_t mark = {.kind = SSE_MARK_OWNER, .owner = owner};

    return give_from(&reading, base, mark, is_other_owner, &owner);
}

static int is_later(const reading_t *reading, const sse_lmdb_mark_t *mark,
                    const void *baton)
{
    return clock_of(reading, (apr_time_t)mark->value) >
           *(const apr_time_t *)baton;
}

apr_status_t sse_lmdb_members_due(sse_store_t *base, apr_time_t now, int max,
                                  sse_store_member_fn *fn, void *baton)
{
    reading_t reading = {.fn = fn, .baton = baton, .max = max};
    sse_lmdb_mark_t mark = {.kind = SSE_MARK_DUE};

    return give_from(&reading, base, mark, is_later, &now);
}
