/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Keys and values.  LMDB aligns neither, so they are copied in and out.  Sizes
 * are checked before anything from the file is used. */

#include "store/lmdb/sse_lmdb.h"

static void number_set(unsigned char *p, apr_uint64_t n)
{
    int i;

    for (i = 7; i >= 0; --i, n >>= 8) {
        p[i] = (unsigned char)n;
    }
}

static apr_uint64_t number_get(const unsigned char *p)
{
    apr_uint64_t n = 0;
    int i;

    for (i = 0; i < 8; ++i) {
        n = n << 8 | p[i];
    }
    return n;
}

void sse_lmdb_pair_set(unsigned char key[16], apr_uint64_t a, apr_uint64_t b)
{
    number_set(key, a);
    number_set(key + 8, b);
}

int sse_lmdb_pair_get(const MDB_val *key, apr_uint64_t *a, apr_uint64_t *b)
{
    if (key->mv_size != 16) {
        return 0;
    }
    *a = number_get(key->mv_data);
    *b = number_get((const unsigned char *)key->mv_data + 8);
    return 1;
}

static int copy(const MDB_val *val, void *to, apr_size_t size)
{
    if (val->mv_size != size) {
        return 0;
    }
    memcpy(to, val->mv_data, size);
    return 1;
}

int sse_lmdb_id_get(const MDB_val *val, apr_uint64_t *id)
{
    return copy(val, id, sizeof(*id));
}

int sse_lmdb_entry_get(const MDB_val *val, sse_lmdb_entry_t *entry)
{
    return copy(val, entry, sizeof(*entry));
}

int sse_lmdb_get(MDB_txn *txn, MDB_dbi db, MDB_val *key, void *to,
                 apr_size_t size)
{
    MDB_val val;
    int rc = mdb_get(txn, db, key, &val);

    return rc ? rc : copy(&val, to, size) ? 0 : MDB_CORRUPTED;
}

int sse_lmdb_seek(MDB_txn *txn, MDB_dbi db, MDB_cursor_op op, MDB_val *key,
                  MDB_val *val)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, db, &cursor);

    if (!rc) {
        rc = mdb_cursor_get(cursor, key, val, op);
        mdb_cursor_close(cursor);
    }
    return rc;
}

int sse_lmdb_after(MDB_cursor *cursor, const void *name, apr_size_t len,
                   MDB_val *key, MDB_val *val)
{
    int rc;

    key->mv_data = (void *)name;
    key->mv_size = len;
    rc = mdb_cursor_get(cursor, key, val, len ? MDB_SET_RANGE : MDB_FIRST);
    if (!rc && key->mv_size == len && !memcmp(key->mv_data, name, len)) {
        rc = mdb_cursor_get(cursor, key, val, MDB_NEXT);
    }
    return rc;
}

int sse_lmdb_entry_seek(MDB_cursor *cursor, MDB_cursor_op op,
                        apr_uint64_t channel, sse_id_t *id,
                        sse_lmdb_entry_t *entry)
{
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    apr_uint64_t number;
    int rc;

    sse_lmdb_pair_set(buf, channel, *id);
    if ((rc = mdb_cursor_get(cursor, &key, &val, op))) {
        return rc;
    }
    if (!sse_lmdb_pair_get(&key, &number, id) ||
        !sse_lmdb_entry_get(&val, entry)) {
        return MDB_CORRUPTED;
    }
    return number == channel ? 0 : MDB_NOTFOUND;
}

int sse_lmdb_event_parse(sse_id_t id, const MDB_val *val,
                         sse_lmdb_event_t *event)
{
    sse_lmdb_header_t head;
    const char *p = val->mv_data;
    sse_record_t *record = &event->record;

    if (val->mv_size < sizeof(head)) {
        return MDB_CORRUPTED;
    }
    memcpy(&head, p, sizeof(head));
    if (val->mv_size != sizeof(head) + (size_t)head.channel_len +
                            head.event_len + head.idempotency_len +
                            head.data_len ||
        !head.channel_len || head.channel_len > SSE_STORE_KEY_MAX ||
        head.idempotency_len > SSE_STORE_IDEMPOTENCY_MAX ||
        head.kind > SSE_RECORD_FORGET) {
        return MDB_CORRUPTED;
    }
    p += sizeof(head);
    record->id = id;
    record->time = head.time;
    record->kind = (sse_record_e)head.kind;
    record->channel = (sse_slice_t){p, head.channel_len};
    p += head.channel_len;
    record->fields = (sse_fields_t){.retry = head.retry};
    if (head.has_event) {
        record->fields.event = (sse_slice_t){p, head.event_len};
    }
    p += head.event_len;
    event->idempotency.ptr = head.idempotency_len ? p : NULL;
    event->idempotency.len = head.idempotency_len;
    p += head.idempotency_len;
    if (record->kind == SSE_RECORD_EVENT) {
        record->fields.data = (sse_slice_t){p, head.data_len};
    }
    event->number = head.number;
    return 0;
}

int sse_lmdb_event_get(sse_lmdb_t *store, MDB_txn *txn, sse_id_t id,
                       sse_lmdb_event_t *event)
{
    MDB_val key = {sizeof(id), &id}, val;
    int rc = mdb_get(txn, store->db[SSE_DB_EVENTS], &key, &val);

    return rc ? rc : sse_lmdb_event_parse(id, &val, event);
}

apr_size_t sse_lmdb_event_size(const sse_lmdb_event_t *event)
{
    const sse_record_t *record = &event->record;

    return sizeof(sse_lmdb_header_t) + record->channel.len +
           event->idempotency.len + record->fields.event.len +
           record->fields.data.len;
}

apr_size_t sse_lmdb_entry_size(const sse_lmdb_entry_t *entry,
                               apr_size_t key_len)
{
    return sizeof(sse_lmdb_header_t) + key_len + entry->keyed + entry->bytes;
}

apr_uint64_t sse_lmdb_room(const sse_lmdb_t *store, apr_size_t size)
{
    apr_uint64_t room = size;

    if (size > store->psize / 2 - 64) {
        /* LMDB puts it in overflow pages. */
        room = (room + 16 + store->psize - 1) / store->psize * store->psize;
    }
    return room + 64; /* its entries in other databases */
}

static char *add(char *p, sse_slice_t slice)
{
    if (slice.ptr && slice.len) {
        memcpy(p, slice.ptr, slice.len);
    }
    return p + slice.len;
}

int sse_lmdb_event_put(sse_lmdb_write_t *w, const sse_lmdb_event_t *event)
{
    const sse_record_t *record = &event->record;
    sse_id_t id = record->id;
    MDB_val key = {sizeof(id), &id}, val = {sse_lmdb_event_size(event), NULL};
    sse_lmdb_header_t head = {
        .time = record->time,
        .number = event->number,
        .retry = record->fields.retry,
        .data_len = (apr_uint32_t)record->fields.data.len,
        .channel_len = (apr_uint16_t)record->channel.len,
        .idempotency_len = (apr_uint16_t)event->idempotency.len,
        .event_len = (apr_uint32_t)record->fields.event.len,
        .kind = (apr_uint16_t)record->kind,
        .has_event = record->fields.event.ptr != NULL};
    char *p;
    int rc = mdb_put(w->txn, w->store->db[SSE_DB_EVENTS], &key, &val,
                     MDB_APPEND | MDB_RESERVE);

    if (rc) {
        return rc;
    }
    p = val.mv_data;
    memcpy(p, &head, sizeof(head));
    p = add(p + sizeof(head), record->channel);
    p = add(p, record->fields.event);
    p = add(p, event->idempotency);
    add(p, record->fields.data);
    return 0;
}

int sse_lmdb_channel_get(sse_lmdb_t *store, MDB_txn *txn, sse_slice_t slice,
                         sse_lmdb_channel_t *channel)
{
    MDB_val key = {slice.len, (void *)slice.ptr};

    return sse_lmdb_get(txn, store->db[SSE_DB_CHANNELS], &key, channel,
                        sizeof(*channel));
}

static MDB_val idempotency_key(unsigned char *buf, apr_uint64_t number,
                               sse_slice_t idempotency)
{
    MDB_val key = {8 + idempotency.len, buf};

    number_set(buf, number);
    memcpy(buf + 8, idempotency.ptr, idempotency.len);
    return key;
}

int sse_lmdb_key_get(sse_lmdb_write_t *w, apr_uint64_t number,
                     sse_slice_t idempotency, sse_id_t *id)
{
    unsigned char buf[8 + SSE_STORE_IDEMPOTENCY_MAX];
    MDB_val key = idempotency_key(buf, number, idempotency);

    return sse_lmdb_get(w->txn, w->store->db[SSE_DB_KEYS], &key, id,
                        sizeof(*id));
}

int sse_lmdb_key_put(sse_lmdb_write_t *w, apr_uint64_t number,
                     sse_slice_t idempotency, sse_id_t id)
{
    unsigned char buf[8 + SSE_STORE_IDEMPOTENCY_MAX];
    MDB_val key = idempotency_key(buf, number, idempotency);

    return sse_lmdb_set(w, SSE_DB_KEYS, buf, key.mv_size, &id, sizeof(id));
}

int sse_lmdb_key_del(sse_lmdb_write_t *w, apr_uint64_t number,
                     sse_slice_t idempotency, sse_id_t id)
{
    unsigned char buf[8 + SSE_STORE_IDEMPOTENCY_MAX];
    sse_id_t whose;
    int rc = sse_lmdb_key_get(w, number, idempotency, &whose);

    if (rc || whose != id) {
        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    idempotency_key(buf, number, idempotency);
    return sse_lmdb_del(w, SSE_DB_KEYS, buf, 8 + idempotency.len);
}

int sse_lmdb_set(sse_lmdb_write_t *w, int db, const void *name,
                 apr_size_t name_len, const void *data, apr_size_t len)
{
    MDB_val key = {name_len, (void *)name}, val = {len, (void *)data};

    return mdb_put(w->txn, w->store->db[db], &key, &val, 0);
}

int sse_lmdb_del(sse_lmdb_write_t *w, int db, void *data, apr_size_t len)
{
    MDB_val key = {len, data};
    int rc = mdb_del(w->txn, w->store->db[db], &key, NULL);

    return rc == MDB_NOTFOUND ? 0 : rc;
}
