/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What channels that are gone have lost.  A channel without history is removed
 * after a while, and with it what it knew of the events it had.  Who comes back
 * to it later is to be told of a gap if something was lost after his id.  To
 * know that of each key that ever was is no option, one number for all would
 * tell everybody of gaps whenever any channel goes, so keys share buckets:
 * many, so that few share one.  A gap too many is told once, as the client's id
 * moves on with it.
 *
 * A bucket has an entry when something of it has gone. */

#include <apr_siphash.h>

#include "store/lmdb/sse_lmdb.h"

/* An entry is some 40 bytes; for each of these of the map there is a bucket, so
 * that all of them take a quarter of a percent. */
#define MAP_BYTES 16384
#define BITS_MIN  6
#define BITS_MAX  18

unsigned int sse_lmdb_floor_bits(apr_uint64_t map_size)
{
    unsigned int bits = BITS_MIN;

    while (bits < BITS_MAX &&
           (APR_UINT64_C(2) << bits) * MAP_BYTES <= map_size) {
        ++bits;
    }
    return bits;
}

/* SipHash with the store's own secret: publishers choose names, and nobody is
 * to find two that share a bucket. */
static apr_uint64_t bucket_of(const sse_lmdb_state_t *state, sse_slice_t key)
{
    return apr_siphash24(key.ptr, key.len, state->secret) &
           ((APR_UINT64_C(1) << state->floor_bits) - 1);
}

int sse_lmdb_floor_get(sse_lmdb_t *store, MDB_txn *txn,
                       const sse_lmdb_state_t *state, sse_slice_t key,
                       sse_id_t *floor)
{
    apr_uint64_t bucket = bucket_of(state, key);
    MDB_val name = {sizeof(bucket), &bucket};
    int rc = sse_lmdb_get(txn, store->db[SSE_DB_FLOORS], &name, floor,
                          sizeof(*floor));

    if (rc == MDB_NOTFOUND || (!rc && *floor < state->floor)) {
        *floor = state->floor;
        rc = 0;
    }
    return rc;
}

int sse_lmdb_floor_raise(sse_lmdb_write_t *w, sse_slice_t key, sse_id_t id)
{
    apr_uint64_t bucket = bucket_of(&w->state, key);
    sse_id_t floor;
    int rc = sse_lmdb_floor_get(w->store, w->txn, &w->state, key, &floor);

    return rc || id <= floor ? rc
                             : sse_lmdb_set(w, SSE_DB_FLOORS, &bucket,
                                            sizeof(bucket), &id, sizeof(id));
}
