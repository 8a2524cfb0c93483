/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The room that owners and their channels take, and which takes most.
 *
 * Each owner has a sum.  Each owner and each channel has an entry in weights
 * by its class of size, four classes to the doubling: the last entry of a
 * parent is its largest, or nearly.  An entry moves up at once and down only
 * when it is two classes off, so that a history of about the same size writes
 * nothing there. */

#include "store/lmdb/sse_lmdb.h"

#define KEY_SIZE SSE_LMDB_WEIGHT_KEY
#define UNFILED  0x1000u /**< a class of no entry */

sse_slice_t sse_lmdb_owner_of(sse_slice_t key)
{
    const char *nul = memchr(key.ptr, '\0', key.len);

    return nul ? (sse_slice_t){key.ptr, (apr_size_t)(nul - key.ptr) + 1}
               : (sse_slice_t){"", 1};
}

unsigned int sse_lmdb_weight_class(apr_uint64_t room)
{
    unsigned int bits = 0, class;

    if (!room) {
        return 0;
    }
    while (room >> bits > 1) {
        ++bits;
    }
    class = 1 + 4 * bits + (bits < 2 ? 0 : (unsigned)(room >> (bits - 2)) & 3);
    return class < 255 ? class : 255;
}

/* -- Keys of weights ------------------------------------------------------- */

void sse_lmdb_weight_set(unsigned char buf[KEY_SIZE], apr_uint64_t parent,
                         apr_uint64_t class, apr_uint64_t number)
{
    unsigned char pair[16];

    sse_lmdb_pair_set(pair, parent, number);
    memcpy(buf, pair, 8);
    buf[8] = (unsigned char)class;
    memcpy(buf + 9, pair + 8, 8);
}

int sse_lmdb_weight_get(const MDB_val *key, apr_uint64_t *parent,
                        apr_uint64_t *class, apr_uint64_t *number)
{
    const unsigned char *p = key->mv_data;
    unsigned char buf[16];
    MDB_val pair = {sizeof(buf), buf};

    if (key->mv_size != KEY_SIZE) {
        return 0;
    }
    memcpy(buf, p, 8);
    memcpy(buf + 8, p + 9, 8);
    *class = p[8];
    return sse_lmdb_pair_get(&pair, parent, number);
}

/** What is filed: an owner, or a channel. */
typedef struct {
    apr_uint64_t parent, number, room;
    sse_slice_t key;
} filed_t;

static int unfile(sse_lmdb_write_t *w, const filed_t *what, apr_uint64_t *class)
{
    unsigned char buf[KEY_SIZE];

    if (*class == UNFILED) {
        return 0;
    }
    sse_lmdb_weight_set(buf, what->parent, *class, what->number);
    *class = UNFILED;
    return sse_lmdb_del(w, SSE_DB_WEIGHTS, buf, sizeof(buf));
}

static int file(sse_lmdb_write_t *w, const filed_t *what, apr_uint64_t *class)
{
    apr_uint64_t wanted = sse_lmdb_weight_class(what->room);
    unsigned char buf[KEY_SIZE];
    int rc;

    if (*class == wanted || (*class != UNFILED && *class == wanted + 1)) {
        return 0;
    }
    if ((rc = unfile(w, what, class))) {
        return rc;
    }
    *class = wanted;
    sse_lmdb_weight_set(buf, what->parent, wanted, what->number);
    return sse_lmdb_set(w, SSE_DB_WEIGHTS, buf, sizeof(buf), what->key.ptr,
                        what->key.len);
}

/* -- The owner at hand ----------------------------------------------------- */

static filed_t owner_filed(const sse_lmdb_write_t *w)
{
    return (filed_t){
        0, w->owner.number, w->owner.room, {w->owner_key, w->owner_len}};
}

static int owner_get(sse_lmdb_write_t *w, sse_slice_t owner)
{
    MDB_val key = {owner.len, (void *)owner.ptr};

    return sse_lmdb_get(w->txn, w->store->db[SSE_DB_OWNERS], &key, &w->owner,
                        sizeof(w->owner));
}

int sse_lmdb_owner_use(sse_lmdb_write_t *w, sse_slice_t key)
{
    sse_slice_t owner = sse_lmdb_owner_of(key);
    int rc;

    if (w->has_owner && w->owner_len == owner.len &&
        !memcmp(w->owner_key, owner.ptr, owner.len)) {
        return 0;
    }
    if ((rc = sse_lmdb_owner_done(w))) {
        return rc;
    }
    rc = owner_get(w, owner);
    if (rc == MDB_NOTFOUND) {
        memset(&w->owner, 0, sizeof(w->owner));
        w->owner.number = w->state.next_number++;
        w->owner.weight = UNFILED;
        rc = 0;
    }
    if (!rc) {
        memcpy(w->owner_key, owner.ptr, owner.len);
        w->owner_len = owner.len;
        w->has_owner = 1;
    }
    return rc;
}

int sse_lmdb_owner_done(sse_lmdb_write_t *w)
{
    filed_t filed = owner_filed(w);
    int rc;

    if (!w->has_owner) {
        return 0;
    }
    w->has_owner = 0;
    if (!w->owner.channels) {
        rc = unfile(w, &filed, &w->owner.weight);
        return rc ? rc
                  : sse_lmdb_del(w, SSE_DB_OWNERS, w->owner_key, w->owner_len);
    }
    rc = file(w, &filed, &w->owner.weight);
    return rc ? rc
              : sse_lmdb_set(w, SSE_DB_OWNERS, w->owner_key, w->owner_len,
                             &w->owner, sizeof(w->owner));
}

/* -- The channel at hand --------------------------------------------------- */

apr_uint64_t sse_lmdb_channel_room(apr_size_t key_len)
{
    /* Its entries in channels, due and weights. */
    return sizeof(sse_lmdb_channel_t) + 3 * key_len + 64;
}

void sse_lmdb_owner_add(sse_lmdb_write_t *w, int channels)
{
    apr_uint64_t room = sse_lmdb_channel_room(w->key_len);

    if (channels > 0) {
        w->channel.weight = UNFILED;
        w->owner.channels++;
        w->owner.room += room;
    }
    else {
        w->owner.channels--;
        w->owner.room -= room;
    }
}

void sse_lmdb_owner_grow(sse_lmdb_write_t *w, apr_uint64_t room)
{
    w->channel.room += room;
    w->owner.room += room;
}

void sse_lmdb_owner_shrink(sse_lmdb_write_t *w, apr_uint64_t room)
{
    w->channel.room -= room;
    w->owner.room -= room;
}

static filed_t channel_filed(const sse_lmdb_write_t *w)
{
    return (filed_t){w->owner.number,
                     w->channel.number,
                     w->channel.room,
                     {w->key, w->key_len}};
}

int sse_lmdb_weight_put(sse_lmdb_write_t *w)
{
    filed_t filed = channel_filed(w);

    return file(w, &filed, &w->channel.weight);
}

int sse_lmdb_weight_del(sse_lmdb_write_t *w)
{
    filed_t filed = channel_filed(w);

    return unfile(w, &filed, &w->channel.weight);
}

/* -- The largest ----------------------------------------------------------- */

/* A parent's last entry; or, with is_empty, its first if that is of class 0.
 * @param copy,len out: the key of the owner or channel */
static int entry_of(sse_lmdb_write_t *w, apr_uint64_t parent, int is_empty,
                    char copy[SSE_STORE_KEY_MAX], apr_size_t *len)
{
    unsigned char buf[KEY_SIZE];
    MDB_val key = {sizeof(buf), buf}, val;
    apr_uint64_t of, class, number;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_WEIGHTS], &cursor);

    if (rc) {
        return rc;
    }
    sse_lmdb_weight_set(buf, is_empty ? parent : parent + 1, 0, 0);
    rc = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
    if (!is_empty) {
        rc = mdb_cursor_get(cursor, &key, &val, rc ? MDB_LAST : MDB_PREV);
    }
    if (!rc && (!sse_lmdb_weight_get(&key, &of, &class, &number) ||
                !val.mv_size || val.mv_size > SSE_STORE_KEY_MAX)) {
        rc = MDB_CORRUPTED;
    }
    if (!rc && (of != parent || (is_empty && class))) {
        rc = MDB_NOTFOUND;
    }
    if (!rc) {
        memcpy(copy, val.mv_data, val.mv_size);
        *len = val.mv_size;
    }
    mdb_cursor_close(cursor);
    return rc;
}

/* Its channels' records take more than their events. */
static int is_many(const sse_lmdb_owner_t *owner)
{
    return owner->channels * sse_lmdb_channel_room(32) > owner->room / 2;
}

static int channel_of(sse_lmdb_write_t *w, apr_uint64_t parent, int is_empty)
{
    char copy[SSE_STORE_KEY_MAX];
    sse_slice_t key = {copy, 0};
    int rc = entry_of(w, parent, is_empty, copy, &key.len);

    if (rc) {
        return rc;
    }
    rc = sse_lmdb_channel_use(w, key, 0);
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

int sse_lmdb_weight_find(sse_lmdb_write_t *w, const sse_slice_t *owner)
{
    char copy[SSE_STORE_KEY_MAX];
    sse_slice_t key = {copy, 0};
    int rc = sse_lmdb_flush(w);

    if (!rc && owner) {
        key = *owner;
    }
    else if (!rc) {
        rc = entry_of(w, 0, 0, copy, &key.len);
    }
    if (rc || (rc = owner_get(w, key))) {
        return rc;
    }
    rc = is_many(&w->owner) ? channel_of(w, w->owner.number, 1) : MDB_NOTFOUND;
    return rc == MDB_NOTFOUND ? channel_of(w, w->owner.number, 0) : rc;
}
