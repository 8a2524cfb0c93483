/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Publishing: what requests write in their transaction (sse_lmdb_queue.c). */

#include <sys/types.h>
#include <limits.h>

#include "store/lmdb/sse_lmdb.h"

#define EXPIRE_EVERY 32 /**< small transactions leave old records to one */

typedef sse_lmdb_request_t request_t;

static int add_record(sse_lmdb_write_t *w, const sse_lmdb_event_t *event)
{
    int rc = sse_lmdb_event_put(w, event);

    /* It is in no history: it lingers. */
    if (!rc &&
        (event->record.kind == SSE_RECORD_FORGET || !w->channel.max_count)) {
        w->state.lingering +=
            sse_lmdb_room(w->store, sse_lmdb_event_size(event));
        rc = sse_lmdb_doom(w, event->record.id, w->now);
    }
    return rc;
}

static int add_entry(sse_lmdb_write_t *w, const sse_lmdb_event_t *event)
{
    sse_lmdb_channel_t *channel = &w->channel;
    const sse_record_t *record = &event->record;
    sse_lmdb_entry_t entry;
    unsigned char buf[16];
    int rc;

    entry.time = record->time;
    entry.bytes =
        (apr_uint32_t)(record->fields.data.len + record->fields.event.len);
    entry.keyed = (apr_uint32_t)event->idempotency.len;
    sse_lmdb_pair_set(buf, channel->number, record->id);
    rc = sse_lmdb_set(w, SSE_DB_INDEX, buf, sizeof(buf), &entry, sizeof(entry));
    if (!rc && entry.keyed) {
        rc = sse_lmdb_key_put(w, channel->number, event->idempotency,
                              record->id);
    }
    if (!channel->count++) {
        channel->first = record->id;
        channel->first_time = record->time;
    }
    channel->bytes += entry.bytes;
    sse_lmdb_owner_grow(w, sse_lmdb_room(w->store, sse_lmdb_event_size(event)));
    return rc;
}

/* @return 0: the history has the key: *item is completed */
static int find_duplicate(sse_lmdb_write_t *w, sse_append_t *item)
{
    sse_lmdb_channel_t *channel = &w->channel;
    sse_lmdb_entry_t entry;
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf};
    sse_id_t id;
    int rc = sse_lmdb_key_get(w, channel->number, item->idempotency, &id);

    if (rc) {
        return rc;
    }
    sse_lmdb_pair_set(buf, channel->number, id);
    rc = sse_lmdb_get(w->txn, w->store->db[SSE_DB_INDEX], &key, &entry,
                      sizeof(entry));
    if (rc) {
        return rc != MDB_NOTFOUND ? rc : MDB_CORRUPTED;
    }
    if (channel->max_age && entry.time <= w->now - channel->max_age) {
        return MDB_NOTFOUND;
    }
    item->id = id;
    item->duplicate = 1;
    return 0;
}

int sse_lmdb_put_item(sse_lmdb_write_t *w, sse_append_t *item)
{
    sse_lmdb_channel_t *channel = &w->channel;
    sse_lmdb_event_t event = {.record = {.kind = SSE_RECORD_EVENT,
                                         .time = w->now,
                                         .channel = item->channel,
                                         .fields = item->fields}};
    int rc = sse_lmdb_bound(w);

    item->duplicate = 0;
    if (rc || (rc = sse_lmdb_channel_use(w, item->channel, 1))) {
        return rc;
    }
    channel->max_count = item->history->count;
    channel->max_age = item->history->age;
    channel->max_bytes = item->history->bytes;
    if (!channel->max_count && channel->count &&
        (rc = sse_lmdb_channel_bury(w))) {
        return rc;
    }
    if (item->idempotency.ptr && item->idempotency.len && channel->max_count) {
        rc = find_duplicate(w, item);
        if (rc != MDB_NOTFOUND) {
            return rc;
        }
        event.idempotency = item->idempotency;
    }
    item->id = ++w->state.last;
    event.number = channel->number;
    event.record.id = item->id;
    if ((rc = add_record(w, &event))) {
        return rc;
    }
    channel->last = item->id;
    channel->last_time = w->now;
    if (channel->max_count) {
        return add_entry(w, &event);
    }
    channel->evicted = item->id;
    return 0;
}

static int put_forget(sse_lmdb_write_t *w, request_t *request)
{
    sse_lmdb_event_t event = {.record = {.kind = SSE_RECORD_FORGET,
                                         .time = w->now,
                                         .channel = request->channel,
                                         .fields = SSE_FIELDS_NONE}};
    int left, rc = sse_lmdb_channel_use(w, request->channel, 0);

    if (!rc) {
        rc = sse_lmdb_channel_bury(w);
    }
    if (rc && rc != MDB_NOTFOUND) {
        return rc;
    }
    request->id = event.record.id = ++w->state.last;
    rc = add_record(w, &event);
    return rc ? rc : sse_lmdb_expire(w, SSE_LMDB_EVICT_MAX, &left);
}

static int put_request(sse_lmdb_write_t *w, request_t *request)
{
    int i, rc = 0;

    if (request->also) {
        return request->also(w, request->baton);
    }
    if (!request->items) {
        return put_forget(w, request);
    }
    for (i = 0; i < request->n && !rc; ++i) {
        rc = sse_lmdb_put_item(w, &request->items[i]);
    }
    return rc ? rc : sse_lmdb_bound(w);
}

/* Mostly a few records make the room, in the same transaction. */
int sse_lmdb_keep_room(sse_lmdb_write_t *w, apr_uint64_t need, int *again)
{
    apr_uint64_t soft = w->store->soft, goal = soft > need ? soft - need : 0;
    apr_uint64_t used;
    apr_uint64_t lingering = soft * w->store->psize / SSE_LMDB_LINGER_PART;
    int rc, count = SSE_LMDB_EVICT_MAX;

    rc = sse_lmdb_evict(w, goal, lingering, &count);
    if (!rc) {
        rc = sse_lmdb_pages_used(w->store, w->txn, &used);
    }
    /* Or there is room, but the evicted pages cannot be used yet. */
    *again = !rc && count && (used + need > soft + soft / 8 || need > soft / 8);
    return rc;
}

int sse_lmdb_put(sse_lmdb_write_t *w, const sse_lmdb_writer_jobs_t *jobs,
                 int items)
{
    sse_lmdb_writer_job_t *job;
    int left, rc = 0;

    TAILQ_FOREACH(job, jobs, next)
    {
        if ((rc = put_request(w, (request_t *)job))) {
            break;
        }
    }
    if (rc || (items < EXPIRE_EVERY && mdb_txn_id(w->txn) % EXPIRE_EVERY)) {
        return rc;
    }
    /* More than are added, so that their number falls. */
    return sse_lmdb_expire(w, EXPIRE_EVERY * (16 + 4 * items), &left);
}

/* Bytes of the map that an event takes, about. */
static apr_uint64_t item_room(const sse_lmdb_t *store, const sse_append_t *item,
                              const sse_append_t *before)
{
    apr_size_t bytes = sizeof(sse_lmdb_header_t) + item->channel.len +
                       item->idempotency.len + item->fields.event.len +
                       item->fields.data.len;
    apr_uint64_t size =
        sse_lmdb_room(store, bytes) + 64 + 2 * item->idempotency.len;

    if (!before || before->channel.len != item->channel.len ||
        memcmp(before->channel.ptr, item->channel.ptr, item->channel.len)) {
        size += 256 + 4 * item->channel.len;
    }
    return size;
}

apr_status_t sse_lmdb_measure(const sse_lmdb_t *store,
                              const sse_append_t *items, int n,
                              apr_uint64_t *room)
{
    int i;

    for (i = 0; i < n; ++i) {
        const sse_append_t *item = &items[i];

        if (item->fields.data.len > INT_MAX ||
            item->fields.event.len > INT_MAX) {
            return SSE_STORE_ESIZE;
        }
        *room += item_room(store, item, i ? item - 1 : NULL);
    }
    return APR_SUCCESS;
}

apr_status_t sse_lmdb_pages_of(const sse_lmdb_t *store, apr_uint64_t room,
                               apr_uint64_t *pages)
{
    *pages = room / store->psize + 1;
    return *pages > store->soft / 2 ? SSE_STORE_ESIZE : APR_SUCCESS;
}

apr_status_t sse_lmdb_append(sse_store_t *base, sse_append_t *items, int n)
{
    sse_lmdb_t *store = (sse_lmdb_t *)base;
    request_t request = {.items = items, .n = n};
    apr_uint64_t room = 0;
    apr_status_t rv = sse_lmdb_measure(store, items, n, &room);

    rv = rv ? rv : sse_lmdb_pages_of(store, room, &request.pages);
    return rv ? rv
              : sse_lmdb_status(
                    sse_lmdb_submit(store, &request, SSE_LMDB_PUBLISHER));
}

apr_status_t sse_lmdb_forget(sse_store_t *base, sse_slice_t channel,
                             sse_id_t *id)
{
    request_t request = {.channel = channel, .n = 1, .pages = 1};
    int rc = sse_lmdb_submit((sse_lmdb_t *)base, &request, SSE_LMDB_PUBLISHER);

    *id = request.id;
    return sse_lmdb_status(rc);
}
