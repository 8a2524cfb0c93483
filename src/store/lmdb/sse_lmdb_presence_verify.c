/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Checks who is on a channel: each member has its marks, each mark its member,
 * and the counts are right. */

#include "store/lmdb/sse_lmdb_presence.h"
#include "store/lmdb/sse_lmdb_verify.h"

typedef sse_lmdb_verify_t verify_t;

#define wrong sse_lmdb_verify_wrong

static int is_slice(sse_slice_t a, sse_slice_t b)
{
    return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

/* The channel's members in their order are as many as it says. */
static int streams_verify(verify_t *v, sse_slice_t channel,
                          const sse_lmdb_presence_t *on)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    MDB_cursor_op op = MDB_SET_RANGE;
    sse_lmdb_member_t member;
    apr_uint64_t n = 0;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(v->txn, v->store->db[SSE_DB_MEMBERS], &cursor);

    if (rc) {
        return rc;
    }
    sse_lmdb_pair_set(buf, on->number, 0);
    for (; !(rc = mdb_cursor_get(cursor, &key, &val, op)); op = MDB_NEXT) {
        if (!sse_lmdb_member_parse(&key, &val, &member) ||
            member.channel != on->number ||
            !is_slice(member.parts[SSE_PART_CHANNEL], channel)) {
            break; /* a bad one is found by the walk of the members */
        }
        if (++n > on->streams) {
            break;
        }
    }
    mdb_cursor_close(cursor);
    if (rc && rc != MDB_NOTFOUND) {
        return rc;
    }
    return n == on->streams
               ? 0
               : wrong(v, "a channel that has not as many members as it says");
}

/* Members whose user has the same hash come one after the other.
 * @param number out: of the member, whose user is in *user
 * @return MDB_NOTFOUND: it is another channel's, or none */
static int next_user(verify_t *v, MDB_cursor *cursor, MDB_cursor_op op,
                     MDB_val *key, apr_uint64_t channel, sse_lmdb_mark_t *mark,
                     sse_slice_t *user)
{
    sse_lmdb_member_t member;
    MDB_val nothing;
    int rc = mdb_cursor_get(cursor, key, &nothing, op);

    if (rc) {
        return rc;
    }
    if (!sse_lmdb_mark_get(key, mark) || mark->kind != SSE_MARK_USER ||
        mark->channel != channel) {
        return MDB_NOTFOUND;
    }
    rc = sse_lmdb_member_get(v->store, v->txn, channel, mark->member, &member,
                             NULL);
    if (rc) {
        return rc == MDB_NOTFOUND ? wrong(v, "a member that is not there") : rc;
    }
    *user = member.parts[SSE_PART_USER];
    return 0;
}

/* Whether the member of that mark is the first one of its user. */
static int is_first(verify_t *v, const sse_lmdb_mark_t *mark, sse_slice_t user,
                    int *first)
{
    sse_lmdb_member_t like = {.channel = mark->channel}, found;
    int rc;

    like.parts[SSE_PART_USER] = user;
    rc = sse_lmdb_member_like(v->store, v->txn, &v->state, SSE_MARK_USER, &like,
                              &found, NULL);
    *first = !rc && found.number == mark->member;
    return rc == MDB_NOTFOUND ? wrong(v, "a user with another mark") : rc;
}

static int users_verify(verify_t *v, const sse_lmdb_presence_t *on)
{
    sse_lmdb_mark_t mark = {.kind = SSE_MARK_USER, .channel = on->number};
    unsigned char buf[SSE_LMDB_MARK_KEY];
    MDB_val key = {sse_lmdb_mark_set(buf, &mark), buf};
    MDB_cursor_op op = MDB_SET_RANGE;
    apr_uint64_t n = 0;
    sse_slice_t user = {NULL, 0};
    MDB_cursor *cursor;
    int first,
        rc = mdb_cursor_open(v->txn, v->store->db[SSE_DB_MARKS], &cursor);

    if (rc) {
        return rc;
    }
    while (!(rc = next_user(v, cursor, op, &key, on->number, &mark, &user)) &&
           !(rc = is_first(v, &mark, user, &first))) {
        n += (apr_uint64_t)first;
        op = MDB_NEXT;
    }
    mdb_cursor_close(cursor);
    if (rc != MDB_NOTFOUND) {
        return rc;
    }
    return n == on->users
               ? 0
               : wrong(v, "a channel that has not as many users as it says");
}

int sse_lmdb_presence_verify(verify_t *v, const MDB_val *key,
                             const MDB_val *val)
{
    sse_slice_t channel = {key->mv_data, key->mv_size};
    sse_lmdb_presence_t on;
    int rc;

    if (val->mv_size != sizeof(on) || !sse_store_are_keys(&channel, 1)) {
        return wrong(v, "a channel that is none");
    }
    memcpy(&on, val->mv_data, sizeof(on));
    if (!on.number || on.number >= v->state.next_number) {
        return wrong(v, "a number that was never given");
    }
    if (!on.streams || on.users > on.streams) {
        return wrong(v, "a channel with counts that cannot be");
    }
    rc = streams_verify(v, channel, &on);
    return rc ? rc : users_verify(v, &on);
}

/* The member's marks are there. */
static int marks_verify(verify_t *v, const sse_lmdb_member_t *member)
{
    sse_lmdb_mark_t marks[SSE_LMDB_MARKS];
    unsigned char buf[SSE_LMDB_MARK_KEY];
    MDB_val nothing;
    int i, rc = 0, n = sse_lmdb_marks_of(&v->state, member, marks);

    for (i = 0; i < n && !rc; ++i) {
        rc = sse_lmdb_verify_has(v, SSE_DB_MARKS, buf,
                                 sse_lmdb_mark_set(buf, &marks[i]), &nothing);
    }
    return rc == MDB_NOTFOUND ? wrong(v, "a member that lacks a mark") : rc;
}

int sse_lmdb_member_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    sse_lmdb_member_t member;
    sse_lmdb_presence_t on;
    int rc;

    if (!sse_lmdb_member_parse(key, val, &member)) {
        return wrong(v, "a member that is none");
    }
    if (!member.number || member.number >= v->state.next_number) {
        return wrong(v, "a number that was never given");
    }
    rc = sse_lmdb_presence_get(v->store, v->txn, member.parts[SSE_PART_CHANNEL],
                               &on);
    if (rc == MDB_NOTFOUND || (!rc && on.number != member.channel)) {
        return wrong(v, "a member of which its channel does not know");
    }
    return rc ? rc : marks_verify(v, &member);
}

int sse_lmdb_mark_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    sse_lmdb_mark_t marks[SSE_LMDB_MARKS], mark;
    sse_lmdb_member_t member;
    int i, n, rc;

    if (!sse_lmdb_mark_get(key, &mark) || val->mv_size) {
        return wrong(v, "a mark that is none");
    }
    rc = sse_lmdb_member_get(v->store, v->txn, mark.channel, mark.member,
                             &member, NULL);
    if (rc) {
        return rc == MDB_NOTFOUND ? wrong(v, "a mark without its member") : rc;
    }
    n = sse_lmdb_marks_of(&v->state, &member, marks);
    for (i = 0; i < n && !sse_lmdb_mark_is(&mark, &marks[i]); ++i) {
    }
    return i < n ? 0 : wrong(v, "a mark that its member has not");
}
