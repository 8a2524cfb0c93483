/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What removed channels have lost.  A channel without history is removed after
 * a while, with its record of the events that it had.  A client that comes back
 * to it later must be told of a gap if something after its id was lost.  One
 * number for each key that ever was would be too many; one number for all would
 * tell every client of a gap whenever a channel goes.  So a few keys share a
 * bucket.  A false gap is told once, as it moves the client's id on.
 *
 * A bucket has an entry once a channel of it was removed. */

#include <apr_siphash.h>

#include "store/lmdb/sse_lmdb.h"

/* One bucket for so many bytes of the map: an entry is some 40 bytes, so that
 * all of them take a quarter of a percent. */
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

/* SipHash with the store's secret: publishers choose the keys, and must not be
 * able to find two that share a bucket. */
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
