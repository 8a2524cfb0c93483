/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The databases, which the first transaction makes, and the state record. */

#include <stddef.h>

#include <apr_general.h>

#include "store/lmdb/sse_lmdb.h"

static const struct {
    const char *name;
    unsigned int flags;
} databases[SSE_DB_COUNT] = {
    {"meta", 0},
    {"events", MDB_INTEGERKEY},
    {"channels", 0},
    {"index", 0},
    {"keys", 0},
    {"doomed", MDB_INTEGERKEY},
    {"due", 0},
    {"graves", MDB_INTEGERKEY},
    {"floors", MDB_INTEGERKEY},
    {"owners", 0},
    {"weights", 0},
    {"presence", 0},
    {"members", 0},
    {"marks", 0},
};

static int open_some(MDB_txn *txn, MDB_dbi *db, int from, int upto,
                     unsigned int create)
{
    int i, rc = 0;

    for (i = from; i < upto && !rc; ++i) {
        rc = mdb_dbi_open(txn, databases[i].name, databases[i].flags | create,
                          &db[i]);
    }
    return rc;
}

/* Those that every store of this version has. */
static int open_common(MDB_txn *txn, MDB_dbi *db, unsigned int create)
{
    return open_some(txn, db, 0, SSE_DB_PRESENCE, create);
}

/* Those that an earlier module of this version did not make. */
static int open_late(MDB_txn *txn, MDB_dbi *db, unsigned int create)
{
    int rc = open_some(txn, db, SSE_DB_PRESENCE, SSE_DB_COUNT, create);

    if (rc) {
        memset(db + SSE_DB_PRESENCE, 0,
               sizeof(*db) * (SSE_DB_COUNT - SSE_DB_PRESENCE));
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int sse_lmdb_dbs_find(MDB_txn *txn, MDB_dbi *db)
{
    int rc = open_common(txn, db, 0);

    return rc ? rc : open_late(txn, db, 0);
}

int sse_lmdb_state_init(sse_lmdb_state_t *state, MDB_txn *txn)
{
    MDB_envinfo info;
    int rc = mdb_env_info(mdb_txn_env(txn), &info);

    if (rc || (rc = apr_generate_random_bytes(state->secret,
                                              sizeof(state->secret)))) {
        return rc;
    }
    state->floor_bits = sse_lmdb_floor_bits(info.me_mapsize);
    return 0;
}

/* Bytes of the record. */
static size_t size_of(apr_uint32_t version)
{
    return version == 1 ? offsetof(sse_lmdb_state_t, time)
                        : sizeof(sse_lmdb_state_t);
}

int sse_lmdb_state_read(MDB_txn *txn, MDB_dbi meta, sse_lmdb_state_t *state)
{
    MDB_val key = {5, (void *)"state"}, val;
    int rc = mdb_get(txn, meta, &key, &val);

    if (rc || val.mv_size < offsetof(sse_lmdb_state_t, floor)) {
        return rc && rc != MDB_NOTFOUND ? rc : MDB_CORRUPTED;
    }
    memset(state, 0, sizeof(*state));
    memcpy(state, val.mv_data,
           val.mv_size < sizeof(*state) ? val.mv_size : sizeof(*state));
    return state->magic != SSE_LMDB_MAGIC ||
                   (state->version <= SSE_LMDB_VERSION &&
                    val.mv_size != size_of(state->version))
               ? MDB_CORRUPTED
               : 0;
}

int sse_lmdb_state_get(MDB_txn *txn, MDB_dbi meta, sse_lmdb_state_t *state)
{
    int rc = sse_lmdb_state_read(txn, meta, state);

    return !rc && state->version != SSE_LMDB_VERSION ? MDB_VERSION_MISMATCH
                                                     : rc;
}

int sse_lmdb_state_put(MDB_txn *txn, MDB_dbi meta, sse_lmdb_state_t *state)
{
    MDB_val key = {5, (void *)"state"}, val = {sizeof(*state), state};

    state->txn = mdb_txn_id(txn);
    return mdb_put(txn, meta, &key, &val, 0);
}

/* There is a store, maybe one of an earlier version. */
static int open_there(MDB_txn *txn, MDB_dbi *db)
{
    sse_lmdb_state_t state;
    int rc = open_common(txn, db, 0);

    if (rc != MDB_NOTFOUND) {
        return rc;
    }
    if ((rc = mdb_dbi_open(txn, databases[SSE_DB_META].name, 0,
                           &db[SSE_DB_META])) ||
        (rc = sse_lmdb_state_read(txn, db[SSE_DB_META], &state))) {
        return rc;
    }
    if (!SSE_LMDB_IS_OLD(state.version)) {
        return MDB_NOTFOUND;
    }
    rc = open_common(txn, db, MDB_CREATE);
    return rc ? rc : sse_lmdb_upgrade(txn, db, &state);
}

int sse_lmdb_dbs_open(MDB_txn *txn, MDB_dbi *db, sse_id_t above)
{
    sse_lmdb_state_t state = {0};
    sse_id_t now = (sse_id_t)apr_time_now();
    MDB_stat st;
    int rc = mdb_env_stat(mdb_txn_env(txn), &st);

    if (rc || st.ms_entries) {
        rc = rc ? rc : open_there(txn, db);
        return rc ? rc : open_late(txn, db, MDB_CREATE);
    }
    if ((rc = sse_lmdb_state_init(&state, txn)) ||
        (rc = open_common(txn, db, MDB_CREATE)) ||
        (rc = open_late(txn, db, MDB_CREATE))) {
        return rc;
    }
    state.magic = SSE_LMDB_MAGIC;
    state.version = SSE_LMDB_VERSION;
    state.origin = state.last = now > above ? now : above + 1;
    state.next_number = 1;
    return sse_lmdb_state_put(txn, db[SSE_DB_META], &state);
}
