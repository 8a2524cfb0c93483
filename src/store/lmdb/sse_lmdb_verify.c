/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Checks all of a store, in pieces of a moment each so that publishers go on.
 * What sse_lmdb.h says of the databases is true in every snapshot: each entry
 * is checked against the others in the snapshot that it was found in. */

#include <stdio.h>

#include "store/lmdb/sse_lmdb.h"
#include "store/lmdb/sse_lmdb_inspect.h"
#include "store/lmdb/sse_lmdb_verify.h"

#define LOOK_AT_CLOCK 256 /**< entries between two looks */
/** Snapshots with an error until it counts: one can be torn (read_begin()). */
#define TRIES 3

typedef sse_lmdb_verify_t verify_t;

#define wrong sse_lmdb_verify_wrong
#define has   sse_lmdb_verify_has

static const char *const names[SSE_DB_COUNT] = {
    "meta",   "events", "channels", "index",   "keys",     "doomed",  "due",
    "graves", "floors", "owners",   "weights", "presence", "members", "marks"};

int sse_lmdb_verify_wrong(verify_t *v, const char *why)
{
    v->why = why;
    return MDB_CORRUPTED;
}

int sse_lmdb_verify_has(verify_t *v, int db, void *data, size_t len,
                        MDB_val *val)
{
    MDB_val key = {len, data};

    return mdb_get(v->txn, v->store->db[db], &key, val);
}

static int has_entry(verify_t *v, apr_uint64_t number, sse_id_t id)
{
    unsigned char buf[16];
    MDB_val val;

    sse_lmdb_pair_set(buf, number, id);
    return has(v, SSE_DB_INDEX, buf, sizeof(buf), &val);
}

static int event_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    sse_lmdb_event_t event;
    MDB_val since;
    sse_id_t id;
    int rc;

    if (!sse_lmdb_id_get(key, &id) || id <= v->state.origin ||
        id > v->state.last) {
        return wrong(v, "an id that was never given");
    }
    if (sse_lmdb_event_parse(id, val, &event)) {
        return wrong(v, "a record whose lengths do not add up");
    }
    rc = event.record.kind == SSE_RECORD_EVENT ? has_entry(v, event.number, id)
                                               : MDB_NOTFOUND;
    if (rc == MDB_NOTFOUND) {
        rc = has(v, SSE_DB_DOOMED, &id, sizeof(id), &since);
    }
    return rc == MDB_NOTFOUND
               ? wrong(v, "a record of no history that is not on its way out")
               : rc;
}

static int entry_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    sse_lmdb_event_t event;
    sse_lmdb_entry_t entry;
    apr_uint64_t number;
    sse_id_t id;
    int rc;

    if (!sse_lmdb_pair_get(key, &number, &id) ||
        !sse_lmdb_entry_get(val, &entry) || !number ||
        number >= v->state.next_number) {
        return wrong(v, "an entry that is none");
    }
    rc = sse_lmdb_event_get(v->store, v->txn, id, &event);
    if (rc == MDB_NOTFOUND) {
        return wrong(v, "an entry without its event");
    }
    if (!rc && (event.number != number || event.record.time != entry.time ||
                event.record.fields.data.len + event.record.fields.event.len !=
                    entry.bytes ||
                event.idempotency.len != entry.keyed)) {
        return wrong(v, "an entry that says other things than its event");
    }
    return rc;
}

/* The channel's part of the index is what the channel says it is. */
static int history_verify(verify_t *v, const sse_lmdb_channel_t *channel,
                          apr_size_t key_len)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    MDB_cursor_op op = MDB_SET_RANGE;
    apr_uint64_t number, count = 0, bytes = 0, room = 0;
    sse_lmdb_entry_t entry;
    sse_id_t id, first = 0;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(v->txn, v->store->db[SSE_DB_INDEX], &cursor);

    if (rc) {
        return rc;
    }
    sse_lmdb_pair_set(buf, channel->number, 0);
    for (; !(rc = mdb_cursor_get(cursor, &key, &val, op)); op = MDB_NEXT) {
        if (!sse_lmdb_pair_get(&key, &number, &id) ||
            !sse_lmdb_entry_get(&val, &entry) || number != channel->number) {
            break; /* a bad one is found by the walk of the index */
        }
        first = first ? first : id;
        bytes += entry.bytes;
        room += sse_lmdb_room(v->store, sse_lmdb_entry_size(&entry, key_len));
        if (++count > channel->count) {
            break;
        }
    }
    mdb_cursor_close(cursor);
    if (rc && rc != MDB_NOTFOUND) {
        return rc;
    }
    return count == channel->count && bytes == channel->bytes &&
                   room == channel->room && first == channel->first
               ? 0
               : wrong(v, "a channel whose history is not what it says");
}

static int owner_get(verify_t *v, sse_slice_t key, sse_lmdb_owner_t *owner)
{
    sse_slice_t slice = sse_lmdb_owner_of(key);
    MDB_val name = {slice.len, (void *)slice.ptr};
    int rc = sse_lmdb_get(v->txn, v->store->db[SSE_DB_OWNERS], &name, owner,
                          sizeof(*owner));

    return rc == MDB_NOTFOUND || rc == MDB_CORRUPTED
               ? wrong(v, "a channel of an owner that is not known")
               : rc;
}

/* There is an entry in weights, in about the right class. */
static int weight_verify(verify_t *v, apr_uint64_t parent, apr_uint64_t number,
                         apr_uint64_t class, apr_uint64_t room)
{
    unsigned int wanted = sse_lmdb_weight_class(room);
    unsigned char buf[SSE_LMDB_WEIGHT_KEY];
    MDB_val val;
    int rc;

    sse_lmdb_weight_set(buf, parent, class, number);
    rc = has(v, SSE_DB_WEIGHTS, buf, sizeof(buf), &val);
    return rc == MDB_NOTFOUND || class < wanted || class > wanted + 1
               ? wrong(v, "a part whose size is filed wrongly")
               : rc;
}

/* An owner's channels come one after the other: when all of them are of one
 * snapshot, their sum is what the owner says. */
static int owner_sum(verify_t *v, const MDB_val *key,
                     const sse_lmdb_channel_t *channel,
                     const sse_lmdb_owner_t *owner)
{
    if (v->owner.number != owner->number) {
        memset(&v->owner, 0, sizeof(v->owner));
        v->owner.number = owner->number;
    }
    v->owner.channels++;
    v->owner.room += channel->room + sse_lmdb_channel_room(key->mv_size);
    return v->snapshot == mdb_txn_id(v->txn) &&
                   (v->owner.channels > owner->channels ||
                    (v->owner.channels == owner->channels &&
                     v->owner.room != owner->room))
               ? wrong(v, "channels that are not what their owner says")
               : 0;
}

static int channel_owner_verify(verify_t *v, const MDB_val *key,
                                const sse_lmdb_channel_t *channel)
{
    sse_slice_t name = {key->mv_data, key->mv_size};
    sse_lmdb_owner_t owner;
    int rc = owner_get(v, name, &owner);

    if (rc || (rc = weight_verify(v, owner.number, channel->number,
                                  channel->weight, channel->room))) {
        return rc;
    }
    return owner_sum(v, key, channel, &owner);
}

static int channel_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    sse_lmdb_channel_t channel;
    unsigned char due[16];
    MDB_val name;
    int rc;

    if (val->mv_size != sizeof(channel)) {
        return wrong(v, "a channel that is none");
    }
    memcpy(&channel, val->mv_data, sizeof(channel));
    if (!channel.number || channel.number >= v->state.next_number ||
        channel.last > v->state.last) {
        return wrong(v, "a channel with numbers that were never given");
    }
    if (channel.due) {
        sse_lmdb_pair_set(due, (apr_uint64_t)channel.due, channel.number);
        rc = has(v, SSE_DB_DUE, due, sizeof(due), &name);
        if (rc == MDB_NOTFOUND ||
            (!rc && (name.mv_size != key->mv_size ||
                     memcmp(name.mv_data, key->mv_data, key->mv_size)))) {
            return wrong(v, "a channel that tidying will not find");
        }
        if (rc) {
            return rc;
        }
    }
    rc = history_verify(v, &channel, key->mv_size);
    return rc ? rc : channel_owner_verify(v, key, &channel);
}

static int key_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    unsigned char pair[16] = {0};
    apr_uint64_t number, zero;
    MDB_val first = {sizeof(pair), pair};
    sse_id_t id;
    int rc;

    if (key->mv_size <= 8 || key->mv_size > 8 + SSE_STORE_IDEMPOTENCY_MAX ||
        !sse_lmdb_id_get(val, &id)) {
        return wrong(v, "a publisher's key that is none");
    }
    memcpy(pair, key->mv_data, 8);
    sse_lmdb_pair_get(&first, &number, &zero);
    rc = has_entry(v, number, id);
    return rc == MDB_NOTFOUND
               ? wrong(v, "a publisher's key of an event in no history")
               : rc;
}

static int doomed_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    apr_uint64_t since;
    sse_id_t id;
    MDB_val event;
    int rc;

    if (!sse_lmdb_id_get(key, &id) || !sse_lmdb_id_get(val, &since)) {
        return wrong(v, "an entry that is none");
    }
    rc = has(v, SSE_DB_EVENTS, &id, sizeof(id), &event);
    v->sum += rc ? 0 : sse_lmdb_room(v->store, event.mv_size);
    return rc == MDB_NOTFOUND ? wrong(v, "an entry without its event") : rc;
}

static int due_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    sse_slice_t name = {val->mv_data, val->mv_size};
    sse_lmdb_channel_t channel;
    apr_uint64_t time, number;
    int rc;

    if (!sse_lmdb_pair_get(key, &time, &number) ||
        !sse_store_are_keys(&name, 1)) {
        return wrong(v, "an entry that is none");
    }
    rc = sse_lmdb_channel_get(v->store, v->txn, name, &channel);
    if (rc == MDB_NOTFOUND || (!rc && (channel.number != number ||
                                       channel.due != (apr_time_t)time))) {
        return wrong(v, "an entry of which its channel does not know");
    }
    return rc;
}

static int grave_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    apr_uint64_t number;

    return sse_lmdb_id_get(key, &number) && number &&
                   number < v->state.next_number
               ? 0
               : wrong(v, "a number that was never given");
}

static int floor_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    apr_uint64_t bucket;
    sse_id_t id;

    return sse_lmdb_id_get(key, &bucket) && sse_lmdb_id_get(val, &id) &&
                   !(bucket >> v->state.floor_bits) && id <= v->state.last
               ? 0
               : wrong(v, "an entry that is none");
}

static int owner_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    sse_lmdb_owner_t owner;

    if (val->mv_size != sizeof(owner)) {
        return wrong(v, "an owner that is none");
    }
    memcpy(&owner, val->mv_data, sizeof(owner));
    if (!owner.number || owner.number >= v->state.next_number ||
        !owner.channels) {
        return wrong(v, "an owner with numbers that cannot be");
    }
    return weight_verify(v, 0, owner.number, owner.weight, owner.room);
}

/* The owner or channel has that entry. */
static int filed_verify(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    apr_uint64_t parent, class, number;
    sse_slice_t name = {val->mv_data, val->mv_size};
    sse_lmdb_channel_t channel;
    sse_lmdb_owner_t owner;
    int rc;

    if (!sse_lmdb_weight_get(key, &parent, &class, &number) ||
        !sse_store_are_keys(&name, 1)) {
        return wrong(v, "an entry that is none");
    }
    if ((rc = owner_get(v, name, &owner))) {
        return rc;
    }
    if (!parent) {
        return owner.number == number && owner.weight == class
                   ? 0
                   : wrong(v, "an entry of which its owner does not know");
    }
    rc = sse_lmdb_channel_get(v->store, v->txn, name, &channel);
    if (rc == MDB_NOTFOUND ||
        (!rc && (owner.number != parent || channel.number != number ||
                 channel.weight != class))) {
        return wrong(v, "an entry of which its channel does not know");
    }
    return rc;
}

typedef int verify_fn(verify_t *v, const MDB_val *key, const MDB_val *val);

/* In the order of the SSE_DB_*; NULL: any entry will do. */
static verify_fn *const verifiers[SSE_DB_COUNT] = {NULL,
                                                   event_verify,
                                                   channel_verify,
                                                   entry_verify,
                                                   key_verify,
                                                   doomed_verify,
                                                   due_verify,
                                                   grave_verify,
                                                   floor_verify,
                                                   owner_verify,
                                                   filed_verify,
                                                   sse_lmdb_presence_verify,
                                                   sse_lmdb_member_verify,
                                                   sse_lmdb_mark_verify};

/* One of their entries may stand for a thousand others. */
static int is_long(int db)
{
    return db == SSE_DB_CHANNELS || db == SSE_DB_PRESENCE;
}

/* One entry: its key comes after the last one's, and it is sound. */
static int step(verify_t *v, const MDB_val *key, const MDB_val *val)
{
    MDB_val before = {v->len, v->last.bytes};
    int rc;

    if (!key->mv_size || key->mv_size > sizeof(v->last.bytes)) {
        return wrong(v, "a key of no possible length");
    }
    if (v->len && mdb_cmp(v->txn, v->store->db[v->db], &before, key) >= 0) {
        return wrong(v, "keys out of order");
    }
    rc = verifiers[v->db] ? verifiers[v->db](v, key, val) : 0;
    if (!rc) {
        memcpy(v->last.bytes, key->mv_data, key->mv_size);
        v->len = key->mv_size;
        ++v->n;
    }
    return rc;
}

/* At the end: if no process wrote meanwhile, the number of entries is right. */
static int count_verify(verify_t *v)
{
    MDB_stat st;
    int rc = mdb_stat(v->txn, v->store->db[v->db], &st);

    if (rc || v->snapshot != mdb_txn_id(v->txn)) {
        return rc;
    }
    if (st.ms_entries != v->n) {
        return wrong(v, "not as many entries as it says");
    }
    if (v->db != SSE_DB_DOOMED) {
        return 0;
    }
    /* Graves count, too, until they are empty. */
    rc = mdb_stat(v->txn, v->store->db[SSE_DB_GRAVES], &st);
    if (rc) {
        return rc;
    }
    return v->sum > v->state.lingering ||
                   (!st.ms_entries && v->sum != v->state.lingering)
               ? wrong(v, "records that take more or less than is said")
               : 0;
}

/* @param more out: the walk is not at its end */
static int walk_piece(verify_t *v, int *more)
{
    apr_time_t until = apr_time_now() + SSE_INSPECT_MOMENT;
    MDB_val key, val;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(v->txn, v->store->db[v->db], &cursor);

    *more = 0;
    if (rc) {
        return rc;
    }
    rc = sse_lmdb_after(cursor, v->last.bytes, v->len, &key, &val);
    while (!rc && !(rc = step(v, &key, &val))) {
        if ((is_long(v->db) || !(v->n % LOOK_AT_CLOCK)) &&
            apr_time_now() >= until) {
            *more = 1;
            break;
        }
        rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    /* A missing entry was reported by wrong(). */
    return rc == MDB_NOTFOUND ? count_verify(v) : rc;
}

/* Walk a piece; on an error again, from the last good entry. */
static int piece(verify_t *v, int free_pages, int *more)
{
    int rc, tries = 0;

    *more = 0;
    do {
        v->why = NULL;
        if ((rc = sse_lmdb_read_begin(v->store, &v->txn, &v->state))) {
            return rc;
        }
        if (!v->len) {
            v->sum = 0;
            memset(&v->owner, 0, sizeof(v->owner));
            v->snapshot = mdb_txn_id(v->txn);
        }
        rc = v->state.last < v->state.origin
                 ? wrong(v, "a last id before the first")
             : free_pages ? sse_lmdb_free_check(v->txn, &v->why)
                          : walk_piece(v, more);
        sse_lmdb_read_end(v->store, v->txn);
    } while (rc && ++tries < TRIES);
    return rc;
}

sse_inspect_e sse_inspect_check(sse_inspect_t *in)
{
    verify_t v = {.store = in->store};
    int more, rc = piece(&v, 1, &more);

    while (!rc && v.db < SSE_DB_COUNT && in->store->db[v.db]) {
        rc = piece(&v, 0, &more);
        if (!rc && !more) {
            ++v.db;
            v.n = v.len = 0;
        }
    }
    if (rc == MDB_CORRUPTED && v.why) {
        snprintf(in->words, sizeof(in->words), "damaged: database %s has %s",
                 names[v.db], v.why);
        return SSE_INSPECT_DAMAGED;
    }
    return rc ? sse_inspect_fail(in, rc, names[v.db]) : SSE_INSPECT_OK;
}
