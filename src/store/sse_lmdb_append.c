/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Publishing.  Publishers of one process queue up; the first writes for all
 * who have come by the time its transaction begins, so that they share one
 * commit (and, with sync=on, one wait for the disk). */

#include <sys/types.h>
#include <limits.h>

#include "store/sse_lmdb.h"

#define GROUP_ITEMS  4096
#define ROOM_ROUNDS  8  /**< transactions that only evict, before one append */
#define EXPIRE_EVERY 32 /**< small transactions leave old records to one */
#define FULL_ROUNDS  24 /**< times that MDB_MAP_FULL is fought */

typedef enum { WAITING, LEADING, DONE } turn_e;

typedef struct sse_lmdb_request_t request_t;

/** Lives on its publisher's stack until it is DONE. */
struct sse_lmdb_request_t {
    sse_append_t *items; /**< NULL: forget channel */
    int n;
    sse_slice_t channel;
    sse_id_t id;
    apr_uint64_t pages; /**< it needs, about */
    int rc;
    turn_e turn;     /**< under queue */
    request_t *next; /**< under queue */
    pthread_cond_t moved;
};

static int add_record(sse_lmdb_write_t *w, const sse_lmdb_event_t *event)
{
    sse_id_t id = event->record.id;
    MDB_val key = {sizeof(id), &id}, val = {sizeof(w->now), &w->now};
    int rc = sse_lmdb_event_put(w, event);

    /* Of no history: it only lingers. */
    if (!rc &&
        (event->record.kind == SSE_RECORD_FORGET || !w->channel.max_count)) {
        rc = mdb_put(w->txn, w->store->db[SSE_DB_DOOMED], &key, &val, 0);
    }
    return rc;
}

static int add_entry(sse_lmdb_write_t *w, const sse_lmdb_event_t *event)
{
    sse_lmdb_channel_t *channel = &w->channel;
    const sse_record_t *record = &event->record;
    sse_lmdb_entry_t entry;
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val = {sizeof(entry), &entry};
    int rc;

    entry.time = record->time;
    entry.bytes =
        (apr_uint32_t)(record->fields.data.len + record->fields.event.len);
    entry.keyed = event->pubkey.ptr != NULL;
    sse_lmdb_pair_set(buf, channel->number, record->id);
    rc = mdb_put(w->txn, w->store->db[SSE_DB_INDEX], &key, &val, 0);
    if (!rc && entry.keyed) {
        rc = sse_lmdb_key_put(w, channel->number, event->pubkey, record->id);
    }
    if (!channel->count++) {
        channel->first = record->id;
        channel->first_time = record->time;
    }
    channel->bytes += entry.bytes;
    return rc;
}

/* @return 0: the history remembers the key, and item says so */
static int find_duplicate(sse_lmdb_write_t *w, sse_append_t *item)
{
    sse_lmdb_channel_t *channel = &w->channel;
    sse_lmdb_entry_t entry;
    unsigned char buf[16];
    MDB_val key = {sizeof(buf), buf}, val;
    sse_id_t id;
    int rc = sse_lmdb_key_get(w, channel->number, item->pubkey, &id);

    if (rc) {
        return rc;
    }
    sse_lmdb_pair_set(buf, channel->number, id);
    rc = mdb_get(w->txn, w->store->db[SSE_DB_INDEX], &key, &val);
    if (rc || !sse_lmdb_entry_get(&val, &entry)) {
        return rc && rc != MDB_NOTFOUND ? rc : MDB_CORRUPTED;
    }
    if (channel->max_age && entry.time <= w->now - channel->max_age) {
        return MDB_NOTFOUND;
    }
    item->id = id;
    item->duplicate = 1;
    return 0;
}

static int put_item(sse_lmdb_write_t *w, sse_append_t *item)
{
    sse_lmdb_channel_t *channel = &w->channel;
    sse_lmdb_event_t event;
    int rc = sse_lmdb_channel_use(w, item->channel, 1);

    item->duplicate = 0;
    if (rc) {
        return rc;
    }
    channel->max_count = item->history->count;
    channel->max_age = item->history->age;
    channel->max_bytes = item->history->bytes;
    if (!channel->max_count && channel->count &&
        (rc = sse_lmdb_channel_bury(w))) {
        return rc;
    }
    memset(&event, 0, sizeof(event));
    if (item->pubkey.ptr && item->pubkey.len && channel->max_count) {
        rc = find_duplicate(w, item);
        if (rc != MDB_NOTFOUND) {
            return rc;
        }
        event.pubkey = item->pubkey;
    }
    item->id = ++w->state.last;
    event.number = channel->number;
    event.record.id = item->id;
    event.record.time = w->now;
    event.record.kind = SSE_RECORD_EVENT;
    event.record.channel = item->channel;
    event.record.fields = item->fields;
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
    static const sse_fields_t none = SSE_FIELDS_NONE;
    sse_lmdb_event_t event;
    int left, rc = sse_lmdb_channel_use(w, request->channel, 0);

    if (!rc) {
        rc = sse_lmdb_channel_bury(w);
    }
    if (rc && rc != MDB_NOTFOUND) {
        return rc;
    }
    memset(&event, 0, sizeof(event));
    request->id = ++w->state.last;
    event.record.id = request->id;
    event.record.time = w->now;
    event.record.kind = SSE_RECORD_FORGET;
    event.record.channel = request->channel;
    event.record.fields = none;
    rc = add_record(w, &event);
    return rc ? rc : sse_lmdb_expire(w, SSE_LMDB_EVICT_MAX, &left);
}

static int put_request(sse_lmdb_write_t *w, request_t *request)
{
    int i, rc = 0;

    if (!request->items) {
        return put_forget(w, request);
    }
    for (i = 0; i < request->n && !rc; ++i) {
        rc = put_item(w, &request->items[i]);
    }
    return rc;
}

/* Keep below the soft limit.  Most of the time a few records make the room, in
 * the very transaction that needs it.  *again: so many have to go that they
 * should go first, in one of their own. */
static int keep_room(sse_lmdb_write_t *w, apr_uint64_t need, int *again)
{
    apr_uint64_t soft = w->store->soft, goal = soft > need ? soft - need : 0;
    apr_uint64_t used;
    int rc, count = SSE_LMDB_EVICT_MAX;

    *again = 0;
    rc = sse_lmdb_evict(w, goal, &count);
    if (!rc) {
        rc = sse_lmdb_pages_used(w->store, w->txn, &used);
    }
    if (!rc && count && used + need > soft + soft / 8) {
        *again = 1;
    }
    else if (!rc && count && need > soft / 8) {
        /* There is room, but what was evicted is not to be had yet. */
        *again = 1;
    }
    return rc;
}

static int put_group(sse_lmdb_write_t *w, request_t *first, request_t *last,
                     int items)
{
    request_t *request = first;
    int left, rc = put_request(w, request);

    while (!rc && request != last) {
        request = request->next;
        rc = put_request(w, request);
    }
    if (rc || (items < EXPIRE_EVERY && mdb_txn_id(w->txn) % EXPIRE_EVERY)) {
        return rc;
    }
    /* More than come in, so that there is an end to it. */
    return sse_lmdb_expire(w, EXPIRE_EVERY * (16 + 4 * items), &left);
}

/* Who is written for: from the leader to *last, as many as one transaction
 * should hold.  The list up to last changes no more; last->next may. */
static void gather(sse_store_t *store, request_t *leader, int alone,
                   request_t **last, apr_uint64_t *need, int *items)
{
    request_t *request = leader;

    *need = leader->pages;
    *items = leader->n;
    pthread_mutex_lock(&store->queue);
    while (!alone && request->next &&
           *items + request->next->n <= GROUP_ITEMS &&
           *need + request->next->pages <= store->soft / 16) {
        request = request->next;
        *need += request->pages;
        *items += request->n;
    }
    pthread_mutex_unlock(&store->queue);
    *last = request;
}

/* One transaction for the leader and, unless alone, for who waits. */
static int write_once(sse_store_t *store, request_t *leader, int alone,
                      request_t **last)
{
    sse_lmdb_write_t w;
    apr_uint64_t need;
    int rc, items, again, round = 0;

    *last = leader;
    for (;;) {
        if ((rc = sse_lmdb_write_begin(&w, store))) {
            return rc;
        }
        gather(store, leader, alone, last, &need, &items);
        if ((rc = keep_room(&w, need, &again))) {
            break;
        }
        if (!again || round++ == ROOM_ROUNDS) {
            rc = put_group(&w, leader, *last, items);
            break;
        }
        if ((rc = sse_lmdb_write_commit(&w))) {
            return rc;
        }
    }
    if (rc) {
        sse_lmdb_write_abort(&w);
        return rc;
    }
    return sse_lmdb_write_commit(&w);
}

/* For one request, with all that can be done to make room. */
static int write_alone(sse_store_t *store, request_t *request)
{
    request_t *last;
    int rc = MDB_MAP_FULL, round;

    for (round = 0; round < FULL_ROUNDS && rc == MDB_MAP_FULL; ++round) {
        if (round) {
            sse_lmdb_make_room(store, request->pages, round);
        }
        rc = write_once(store, request, 1, &last);
    }
    return rc;
}

/* Write for the leader and those behind it, up to *last. */
static void lead(sse_store_t *store, request_t *leader, request_t **last)
{
    request_t *request = leader;
    int rc = write_once(store, leader, 0, last);
    int alone = rc == MDB_MAP_FULL || (rc && leader != *last);

    for (;;) {
        /* One that asks too much must not fail the others. */
        request->rc = alone ? write_alone(store, request) : rc;
        if (request == *last) {
            break;
        }
        request = request->next;
    }
}

/* Tell those who were written for, and hand the lead on. */
static void hand_on(sse_store_t *store, request_t *leader, request_t *last)
{
    request_t *request = leader, *next;

    pthread_mutex_lock(&store->queue);
    store->head = last->next;
    if (!store->head) {
        store->tail = NULL;
    }
    for (;; request = next) {
        next = request->next;
        request->turn = DONE;
        if (request != leader) {
            pthread_cond_signal(&request->moved);
        }
        if (request == last) {
            break;
        }
    }
    if (store->head) {
        store->head->turn = LEADING;
        pthread_cond_signal(&store->head->moved);
    }
    pthread_mutex_unlock(&store->queue);
}

static int submit(sse_store_t *store, request_t *request)
{
    request_t *last;

    request->next = NULL;
    request->rc = 0;
    request->turn = WAITING;
    pthread_cond_init(&request->moved, NULL);

    pthread_mutex_lock(&store->queue);
    if (store->tail) {
        store->tail->next = request;
    }
    else {
        store->head = request;
        request->turn = LEADING;
    }
    store->tail = request;
    while (request->turn == WAITING) {
        pthread_cond_wait(&request->moved, &store->queue);
    }
    last = request->turn == LEADING ? request : NULL;
    pthread_mutex_unlock(&store->queue);

    if (last) {
        lead(store, request, &last);
        hand_on(store, request, last);
    }
    pthread_cond_destroy(&request->moved);
    return request->rc;
}

/* Bytes of the map that it takes, about. */
static apr_uint64_t item_room(const sse_store_t *store,
                              const sse_append_t *item,
                              const sse_append_t *before)
{
    apr_uint64_t size = sizeof(sse_lmdb_header_t) + item->channel.len +
                        item->pubkey.len + item->fields.event.len +
                        item->fields.data.len;

    if (size > store->psize / 2 - 64) {
        /* LMDB gives it pages of its own. */
        size = (size + 16 + store->psize) / store->psize * store->psize;
    }
    size += 128 + 2 * item->pubkey.len;
    if (!before || before->channel.len != item->channel.len ||
        memcmp(before->channel.ptr, item->channel.ptr, item->channel.len)) {
        size += 256 + 4 * item->channel.len;
    }
    return size;
}

static apr_status_t measure(const sse_store_t *store, const sse_append_t *items,
                            int n, apr_uint64_t *pages)
{
    apr_uint64_t room = 0;
    int i;

    for (i = 0; i < n; ++i) {
        const sse_append_t *item = &items[i];

        if (!sse_lmdb_channels_ok(&item->channel, 1) || !item->history ||
            !item->fields.data.ptr || item->pubkey.len > SSE_STORE_PUBKEY_MAX) {
            return APR_EINVAL;
        }
        if (item->fields.data.len > INT_MAX ||
            item->fields.event.len > INT_MAX) {
            return SSE_STORE_ESIZE;
        }
        room += item_room(store, item, i ? item - 1 : NULL);
    }
    *pages = room / store->psize + 1;
    return *pages > store->soft / 2 ? SSE_STORE_ESIZE : APR_SUCCESS;
}

apr_status_t sse_lmdb_append(sse_store_t *store, sse_append_t *items, int n)
{
    request_t request;
    apr_status_t rv;
    int i;

    memset(&request, 0, sizeof(request));
    request.items = items;
    request.n = n;
    rv = measure(store, items, n, &request.pages);
    if (!rv && n > 0) {
        rv = sse_lmdb_status(submit(store, &request));
    }
    for (i = 0; i < n && rv; ++i) {
        items[i].id = 0;
        items[i].duplicate = 0;
    }
    return rv;
}

apr_status_t sse_lmdb_forget(sse_store_t *store, sse_slice_t channel,
                             sse_id_t *id)
{
    request_t request;
    int rc;

    if (!sse_lmdb_channels_ok(&channel, 1)) {
        return APR_EINVAL;
    }
    memset(&request, 0, sizeof(request));
    request.channel = channel;
    request.n = 1;
    request.pages = 1;
    rc = submit(store, &request);
    *id = rc ? 0 : request.id;
    return sse_lmdb_status(rc);
}
