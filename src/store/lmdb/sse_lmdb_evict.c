/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What is evicted when room runs out.  Lingering records are there for children
 * that have not read them yet; a child that misses them reads the histories.
 * So those beyond a part of the room go first, then the largest owner's. */

#include <stdlib.h>

#include "store/lmdb/sse_lmdb.h"

/* Records to evict before measuring again; fewer if that is room enough. */
#define SOME   8
#define ENOUGH 2 /**< pages: less is not worth a round */

/* Evict the oldest of the largest channel of this, or of the largest owner. */
static int give_up(sse_lmdb_write_t *w, const sse_slice_t *owner, int is_urgent,
                   apr_uint64_t room, int *n)
{
    int rc = sse_lmdb_weight_find(w, owner);

    *n = 1;
    if (rc) {
        return rc;
    }
    /* Small ones go several at a time, as finding the channel has its cost. */
    if (room < ENOUGH * w->store->psize) {
        room = ENOUGH * w->store->psize;
    }
    return w->channel.count ? sse_lmdb_channel_cut(w, is_urgent, SOME, room, n)
                            : sse_lmdb_channel_remove(w);
}

/* @param room that is wanted
 * @param n out: records evicted; 0: there are none left */
static int evict_next(sse_lmdb_write_t *w, apr_uint64_t room,
                      apr_uint64_t lingering, int *n)
{
    int rc = sse_lmdb_expire_some(w, w->state.lingering > lingering, SOME, n);

    if (!rc && !*n) {
        rc = give_up(w, NULL, 1, room, n);
    }
    if (rc == MDB_NOTFOUND) {
        rc = sse_lmdb_expire_some(w, 1, SOME, n);
    }
    return rc;
}

int sse_lmdb_evict(sse_lmdb_write_t *w, apr_uint64_t pages,
                   apr_uint64_t lingering, int *count)
{
    apr_uint64_t used;
    int rc, n, max = *count;

    for (*count = 0; *count < max; *count += n) {
        if ((rc = sse_lmdb_pages_used(w->store, w->txn, &used)) ||
            used <= pages ||
            (rc = evict_next(w, (used - pages) * w->store->psize, lingering,
                             &n)) ||
            !n) {
            return rc;
        }
    }
    return 0;
}

int sse_lmdb_bound(sse_lmdb_write_t *w)
{
    char copy[SSE_STORE_KEY_MAX];
    sse_slice_t owner = {copy, w->owner_len};
    apr_uint64_t limit = w->store->soft * w->store->psize / 100 *
                         (apr_uint64_t)w->store->conf->share;
    int rc = 0, n, rounds = 0;

    if (w->store->conf->share >= 100 || !w->has_owner ||
        w->owner.room <= limit) {
        return 0;
    }
    memcpy(copy, w->owner_key, w->owner_len);
    while (!rc && w->has_owner && w->owner.room > limit &&
           rounds++ < SSE_LMDB_EVICT_MAX / SOME) {
        rc = give_up(w, &owner, 0, w->owner.room - limit, &n);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* @param count in: records at most; out: records evicted */
static int evict_some(sse_lmdb_t *store, apr_uint64_t pages, int *count)
{
    sse_lmdb_write_t w;
    int rc = sse_lmdb_write_begin(&w, store);

    return rc ? rc
              : sse_lmdb_write_end(&w, sse_lmdb_evict(&w, pages, 0, count));
}

/* A page is used again two transactions after the one that freed it. */
static void turn_over(sse_lmdb_t *store)
{
    int i, none = 0, rc = 0;

    for (i = 0; i < 3 && !rc; ++i) {
        rc = evict_some(store, 0, &none);
    }
}

static void evict_down_to(sse_lmdb_t *store, apr_uint64_t pages)
{
    int rc, count, max = SSE_LMDB_EVICT_MAX;

    do {
        count = max;
        rc = evict_some(store, pages, &count);
        if (rc == MDB_MAP_FULL) {
            /* Smaller steps need fewer pages for their copies. */
            max /= 8;
            count = max;
            rc = 0;
        }
    } while (!rc && count && count >= max);
}

/* LMDB lists its readers as lines that end in the snapshot's number, or "-". */
static int on_reader(const char *line, void *baton)
{
    apr_uint64_t *oldest = baton, txn;
    const char *word = strrchr(line, ' ');
    char *end;

    txn = word ? strtoull(word, &end, 10) : 0;
    if (txn && *end == '\n' && txn < *oldest) {
        *oldest = txn;
    }
    return 0;
}

/* Whether a reader's snapshot keeps freed pages from being used again. */
static int is_held(sse_lmdb_t *store)
{
    apr_uint64_t oldest = ~(apr_uint64_t)0;
    MDB_envinfo info;
    int held;

    sse_lmdb_gate_enter(store, SSE_LMDB_WRITER, NULL);
    held = store->env && mdb_reader_list(store->env, on_reader, &oldest) >= 0 &&
           !mdb_env_info(store->env, &info) && oldest < info.me_last_txnid;
    sse_lmdb_gate_leave(store, NULL);
    return held;
}

/* Evict a quarter of what is kept, and half of what is needed. */
static void evict_quarter(sse_lmdb_t *store, apr_uint64_t need)
{
    sse_lmdb_state_t state;
    apr_uint64_t used;
    MDB_txn *txn;
    int rc = sse_lmdb_read_begin(store, &txn, &state);

    if (rc) {
        return;
    }
    rc = sse_lmdb_pages_used(store, txn, &used);
    sse_lmdb_read_end(store, txn);
    if (!rc) {
        used -= used / 4;
        evict_down_to(store, used > need / 2 ? used - need / 2 : 0);
    }
}

void sse_lmdb_make_room(sse_lmdb_t *store, apr_uint64_t need, int round)
{
    int was_held = store->room_held;

    sse_lmdb_readers_clear(store);
    store->room_held = is_held(store);
    if (store->room_held && round <= SSE_LMDB_WAITS) {
        apr_sleep(1000 << (round < 5 ? round : 5));
    }
    else if (was_held) {
        /* The pages that readers held are free now: try with these first. */
        store->room_held = 0;
    }
    else if (round > 1) {
        evict_quarter(store, need);
    }
    turn_over(store);
}
