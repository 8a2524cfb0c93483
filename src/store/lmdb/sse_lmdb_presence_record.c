/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Members and their marks, to bytes and back. */

#include <apr_siphash.h>

#include "store/lmdb/sse_lmdb_presence.h"

/** Before the bytes of a member's parts. */
typedef struct {
    apr_time_t since;
    apr_time_t due;
    apr_int64_t retry;
    apr_int64_t max_age;
    apr_uint64_t max_bytes;
    apr_uint32_t max_count;
    apr_uint32_t has_event;
    apr_uint32_t len[SSE_PART_COUNT];
    apr_uint32_t unused;
} header_t;

/* Bytes of each part, at most; 0: no limit but the value's. */
static const apr_size_t limits[SSE_PART_COUNT] = {
    SSE_STORE_KEY_MAX,    SSE_STORE_STREAM_MAX,     SSE_STORE_STREAM_MAX,
    SSE_STORE_PERSON_MAX, SSE_STORE_PERSON_MAX,     SSE_STORE_OWNER_MAX,
    SSE_STORE_TEXT_MAX,   SSE_STORE_KEY_MAX,        SSE_STORE_TEXT_MAX,
    SSE_STORE_TEXT_MAX,   SSE_STORE_IDEMPOTENCY_MAX};

int sse_lmdb_presence_get(sse_lmdb_t *store, MDB_txn *txn, sse_slice_t channel,
                          sse_lmdb_presence_t *presence)
{
    MDB_val key = {channel.len, (void *)channel.ptr};

    return sse_lmdb_get(txn, store->db[SSE_DB_PRESENCE], &key, presence,
                        sizeof(*presence));
}

/* @return whether the parts are what they can be */
static int are_parts(const sse_lmdb_member_t *member)
{
    const sse_slice_t *parts = member->parts;
    int i;

    for (i = 0; i < SSE_PART_COUNT; ++i) {
        if (parts[i].len > limits[i]) {
            return 0;
        }
    }
    return parts[SSE_PART_CHANNEL].len && parts[SSE_PART_NAME].len &&
           parts[SSE_PART_STREAM].len && parts[SSE_PART_OWNER].len &&
           (member->due || !parts[SSE_PART_TO].len);
}

int sse_lmdb_member_parse(const MDB_val *key, const MDB_val *val,
                          sse_lmdb_member_t *member)
{
    const char *p = val->mv_data;
    apr_uint64_t left = val->mv_size;
    header_t head;
    int i;

    if (val->mv_size < sizeof(head) ||
        !sse_lmdb_pair_get(key, &member->channel, &member->number)) {
        return 0;
    }
    memcpy(&head, p, sizeof(head));
    p += sizeof(head);
    left -= sizeof(head);
    for (i = 0; i < SSE_PART_COUNT; ++i) {
        if (head.len[i] > left) {
            return 0;
        }
        member->parts[i] = (sse_slice_t){p, head.len[i]};
        p += head.len[i];
        left -= head.len[i];
    }
    member->since = head.since;
    member->due = head.due;
    member->has_event = (int)head.has_event;
    member->retry = head.retry;
    member->history.count = head.max_count;
    member->history.age = head.max_age;
    member->history.bytes = head.max_bytes;
    return !left && are_parts(member);
}

int sse_lmdb_member_get(sse_lmdb_t *store, MDB_txn *txn, apr_uint64_t channel,
                        apr_uint64_t number, sse_lmdb_member_t *member,
                        MDB_val *val)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, own;
    int rc;

    val = val ? val : &own;
    sse_lmdb_pair_set(buf, channel, number);
    rc = mdb_get(txn, store->db[SSE_DB_MEMBERS], &key, val);
    return rc                                         ? rc
           : sse_lmdb_member_parse(&key, val, member) ? 0
                                                      : MDB_CORRUPTED;
}

int sse_lmdb_member_put(sse_lmdb_write_t *w, const sse_lmdb_member_t *member)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val = {sizeof(header_t), NULL};
    header_t head = {.since = member->since,
                     .due = member->due,
                     .retry = member->retry,
                     .max_age = member->history.age,
                     .max_bytes = member->history.bytes,
                     .max_count = member->history.count,
                     .has_event = (apr_uint32_t)member->has_event};
    char *p;
    int i, rc;

    for (i = 0; i < SSE_PART_COUNT; ++i) {
        head.len[i] = (apr_uint32_t)member->parts[i].len;
        val.mv_size += member->parts[i].len;
    }
    sse_lmdb_pair_set(buf, member->channel, member->number);
    rc = mdb_put(w->txn, w->store->db[SSE_DB_MEMBERS], &key, &val, MDB_RESERVE);
    if (rc) {
        return rc;
    }
    p = val.mv_data;
    memcpy(p, &head, sizeof(head));
    p += sizeof(head);
    for (i = 0; i < SSE_PART_COUNT; ++i) {
        if (head.len[i]) {
            memcpy(p, member->parts[i].ptr, head.len[i]);
            p += head.len[i];
        }
    }
    return 0;
}

/* -- Marks ----------------------------------------------------------------- */

static void word_set(unsigned char *to, apr_uint64_t n)
{
    unsigned char pair[16];

    sse_lmdb_pair_set(pair, n, 0);
    memcpy(to, pair, 8);
}

static apr_uint64_t word_get(const unsigned char *from)
{
    unsigned char pair[16] = {0};
    MDB_val val = {sizeof(pair), pair};
    apr_uint64_t n = 0, zero;

    memcpy(pair, from, 8);
    sse_lmdb_pair_get(&val, &n, &zero);
    return n;
}

apr_size_t sse_lmdb_mark_set(unsigned char buf[SSE_LMDB_MARK_KEY],
                             const sse_lmdb_mark_t *mark)
{
    unsigned char *p = buf;
    int is_first = mark->kind != SSE_MARK_DUE && mark->kind != SSE_MARK_OWNER;

    *p++ = (unsigned char)mark->kind;
    if (mark->kind == SSE_MARK_OWNER) {
        *p++ = (unsigned char)mark->owner.len;
        memcpy(p, mark->owner.ptr, mark->owner.len);
        p += mark->owner.len;
    }
    if (is_first) {
        word_set(p, mark->channel);
        p += 8;
    }
    if (mark->kind != SSE_MARK_OWNER) {
        word_set(p, mark->value);
        p += 8;
    }
    if (!is_first) {
        word_set(p, mark->channel);
        p += 8;
    }
    word_set(p, mark->member);
    return (apr_size_t)(p + 8 - buf);
}

int sse_lmdb_mark_get(const MDB_val *key, sse_lmdb_mark_t *mark)
{
    const unsigned char *p = key->mv_data;
    apr_size_t len = key->mv_size;

    if (len < 2) {
        return 0;
    }
    memset(mark, 0, sizeof(*mark));
    mark->kind = (sse_lmdb_mark_e)p[0];
    switch (mark->kind) {
    case SSE_MARK_OWNER:
        mark->owner = (sse_slice_t){(const char *)p + 2, p[1]};
        if (!p[1] || p[1] > SSE_STORE_OWNER_MAX || len != 2 + p[1] + 16u) {
            return 0;
        }
        mark->channel = word_get(p + len - 16);
        break;
    case SSE_MARK_DUE:
    case SSE_MARK_PERSON:
    case SSE_MARK_STREAM:
    case SSE_MARK_USER:
        if (len != 25) {
            return 0;
        }
        mark->channel = word_get(p + (mark->kind == SSE_MARK_DUE ? 9 : 1));
        mark->value = word_get(p + (mark->kind == SSE_MARK_DUE ? 1 : 9));
        break;
    default:
        return 0;
    }
    mark->member = word_get(p + len - 8);
    return 1;
}

int sse_lmdb_mark_is(const sse_lmdb_mark_t *a, const sse_lmdb_mark_t *b)
{
    return a->kind == b->kind && a->value == b->value &&
           a->channel == b->channel && a->member == b->member &&
           a->owner.len == b->owner.len &&
           (!a->owner.len || !memcmp(a->owner.ptr, b->owner.ptr, a->owner.len));
}

static apr_uint64_t hash(const sse_lmdb_state_t *state, sse_slice_t what,
                         apr_uint64_t seed)
{
    unsigned char secret[sizeof(state->secret)];
    apr_size_t i;

    memcpy(secret, state->secret, sizeof(secret));
    for (i = 0; i < sizeof(seed); ++i, seed >>= 8) {
        secret[i] ^= (unsigned char)seed;
    }
    return apr_siphash24(what.len ? what.ptr : "", what.len, secret);
}

static sse_lmdb_mark_t mark_of(const sse_lmdb_state_t *state,
                               sse_lmdb_mark_e kind,
                               const sse_lmdb_member_t *member)
{
    const sse_slice_t *parts = member->parts;
    sse_lmdb_mark_t mark = {
        kind, 0, {NULL, 0}, member->channel, member->number};

    switch (kind) {
    case SSE_MARK_DUE:
        mark.value = (apr_uint64_t)member->due;
        break;
    case SSE_MARK_OWNER:
        mark.owner = parts[SSE_PART_OWNER];
        break;
    case SSE_MARK_PERSON:
        mark.value = hash(state, parts[SSE_PART_PERSON],
                          hash(state, parts[SSE_PART_USER], 0));
        break;
    case SSE_MARK_STREAM:
        mark.value = hash(state, parts[SSE_PART_STREAM], 0);
        break;
    case SSE_MARK_USER:
        mark.value = hash(state, parts[SSE_PART_USER], 0);
        break;
    }
    return mark;
}

int sse_lmdb_marks_of(const sse_lmdb_state_t *state,
                      const sse_lmdb_member_t *member,
                      sse_lmdb_mark_t marks[SSE_LMDB_MARKS])
{
    int n = 0;

    marks[n++] = mark_of(state, SSE_MARK_STREAM, member);
    if (member->parts[SSE_PART_USER].len) {
        marks[n++] = mark_of(state, SSE_MARK_USER, member);
    }
    if (!member->due) {
        marks[n++] = mark_of(state, SSE_MARK_OWNER, member);
        return n;
    }
    marks[n++] = mark_of(state, SSE_MARK_DUE, member);
    if (member->parts[SSE_PART_PERSON].len) {
        marks[n++] = mark_of(state, SSE_MARK_PERSON, member);
    }
    return n;
}

/* -- Search ---------------------------------------------------------------- */

static int is_same(const sse_lmdb_member_t *a, const sse_lmdb_member_t *b,
                   int part)
{
    return a->parts[part].len == b->parts[part].len &&
           (!a->parts[part].len ||
            !memcmp(a->parts[part].ptr, b->parts[part].ptr,
                    a->parts[part].len));
}

static int is_like(sse_lmdb_mark_e kind, const sse_lmdb_member_t *a,
                   const sse_lmdb_member_t *b)
{
    switch (kind) {
    case SSE_MARK_STREAM:
        return is_same(a, b, SSE_PART_STREAM);
    case SSE_MARK_USER:
        return is_same(a, b, SSE_PART_USER);
    default:
        return is_same(a, b, SSE_PART_PERSON) && is_same(a, b, SSE_PART_USER);
    }
}

int sse_lmdb_member_like(sse_lmdb_t *store, MDB_txn *txn,
                         const sse_lmdb_state_t *state, sse_lmdb_mark_e kind,
                         const sse_lmdb_member_t *like,
                         sse_lmdb_member_t *member, MDB_val *val)
{
    sse_lmdb_mark_t mark = mark_of(state, kind, like), at;
    unsigned char buf[SSE_LMDB_MARK_KEY];
    MDB_cursor_op op = MDB_SET_RANGE;
    MDB_val key = {0, buf}, nothing;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, store->db[SSE_DB_MARKS], &cursor);

    if (rc) {
        return rc;
    }
    mark.member = 0;
    key.mv_size = sse_lmdb_mark_set(buf, &mark);
    while (!(rc = mdb_cursor_get(cursor, &key, &nothing, op))) {
        if (!sse_lmdb_mark_get(&key, &at)) {
            rc = MDB_CORRUPTED;
            break;
        }
        mark.member = at.member;
        if (!sse_lmdb_mark_is(&at, &mark)) {
            rc = MDB_NOTFOUND;
            break;
        }
        rc =
            sse_lmdb_member_get(store, txn, at.channel, at.member, member, val);
        if (rc || is_like(kind, like, member)) {
            rc = rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
            break;
        }
        op = MDB_NEXT;
    }
    mdb_cursor_close(cursor);
    return rc;
}
