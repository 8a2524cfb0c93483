/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Shows who is on a channel, in pieces. */

#include <errno.h>
#include <stdlib.h>

#include "store/lmdb/sse_lmdb_inspect.h"
#include "store/lmdb/sse_lmdb_presence.h"

#define MEMBERS_AT_ONCE 128

/** A member copied from a snapshot. */
typedef struct {
    sse_inspect_member_t member;
    char name[SSE_STORE_STREAM_MAX], stream[SSE_STORE_STREAM_MAX];
    char user[SSE_STORE_PERSON_MAX], owner[SSE_STORE_OWNER_MAX];
} item_t;

typedef struct {
    apr_uint64_t channel; /**< presence number; 0: not known yet */
    apr_uint64_t after;   /**< the number of the last member */
    int count, more;
    item_t items[MEMBERS_AT_ONCE];
} members_t;

static sse_slice_t copied(sse_slice_t from, char *to)
{
    if (from.len) {
        memcpy(to, from.ptr, from.len);
    }
    return (sse_slice_t){to, from.len};
}

/* @param off the machine's clock less the store's */
static void member_take(const sse_lmdb_member_t *member,
                        apr_interval_time_t off, item_t *to)
{
    sse_inspect_member_t *out = &to->member;

    out->name = copied(member->parts[SSE_PART_NAME], to->name);
    out->stream = copied(member->parts[SSE_PART_STREAM], to->stream);
    out->user = copied(member->parts[SSE_PART_USER], to->user);
    out->owner = copied(member->parts[SSE_PART_OWNER], to->owner);
    out->since = member->since;
    out->due = member->due && member->due < APR_INT64_MAX ? member->due + off
                                                          : member->due;
}

static int members_take(MDB_cursor *cursor, apr_interval_time_t off,
                        members_t *to)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    MDB_cursor_op op = MDB_SET_RANGE;
    sse_lmdb_member_t member;
    int rc;

    sse_lmdb_pair_set(buf, to->channel, to->after + 1);
    for (; !(rc = mdb_cursor_get(cursor, &key, &val, op)); op = MDB_NEXT) {
        if (!sse_lmdb_member_parse(&key, &val, &member)) {
            return MDB_CORRUPTED;
        }
        if (member.channel != to->channel) {
            return 0;
        }
        if (to->count == MEMBERS_AT_ONCE) {
            to->more = 1;
            return 0;
        }
        member_take(&member, off, &to->items[to->count++]);
        to->after = member.number;
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* In one snapshot: those after the last one. */
static int members_read(sse_lmdb_t *store, sse_slice_t key, members_t *to)
{
    sse_lmdb_presence_t on;
    sse_lmdb_state_t state;
    MDB_cursor *cursor;
    MDB_txn *txn;
    int rc = sse_lmdb_read_begin(store, &txn, &state);

    to->count = to->more = 0;
    if (rc) {
        return rc;
    }
    rc = store->db[SSE_DB_MARKS] ? sse_lmdb_presence_get(store, txn, key, &on)
                                 : MDB_NOTFOUND;
    /* Another number: all have gone meanwhile, and others have come. */
    if (!rc && (!to->channel || to->channel == on.number) &&
        !(rc = mdb_cursor_open(txn, store->db[SSE_DB_MEMBERS], &cursor))) {
        to->channel = on.number;
        rc = members_take(cursor, apr_time_now() - sse_lmdb_now(store, &state),
                          to);
        mdb_cursor_close(cursor);
    }
    sse_lmdb_read_end(store, txn);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

sse_inspect_e sse_inspect_members(sse_inspect_t *in, sse_slice_t key,
                                  sse_inspect_member_fn *fn, void *baton)
{
    members_t *some = calloc(1, sizeof(*some));
    int i, rc, stop = 0;

    if (!some) {
        return sse_inspect_fail(in, ENOMEM, "members");
    }
    do {
        rc = members_read(in->store, key, some);
        for (i = 0; i < some->count && !rc && !stop; ++i) {
            stop = fn(baton, &some->items[i].member);
        }
    } while (!rc && !stop && some->more);
    free(some);
    return rc ? sse_inspect_fail(in, rc, "members") : SSE_INSPECT_OK;
}
