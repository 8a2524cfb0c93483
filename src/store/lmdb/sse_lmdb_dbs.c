/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The databases, which are made with the first transaction. */

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
};

static int open_all(MDB_txn *txn, MDB_dbi *db, unsigned int create)
{
    int i, rc = 0;

    for (i = 0; i < SSE_DB_COUNT && !rc; ++i) {
        rc = mdb_dbi_open(txn, databases[i].name, databases[i].flags | create,
                          &db[i]);
    }
    return rc;
}

int sse_lmdb_dbs_find(MDB_txn *txn, MDB_dbi *db)
{
    return open_all(txn, db, 0);
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

/* There is a store; it may be one of an earlier version. */
static int open_there(MDB_txn *txn, MDB_dbi *db)
{
    MDB_val key = {5, (void *)"state"}, val;
    sse_lmdb_state_t state;
    int rc = open_all(txn, db, 0);

    if (rc != MDB_NOTFOUND) {
        return rc;
    }
    if ((rc = mdb_dbi_open(txn, databases[SSE_DB_META].name, 0,
                           &db[SSE_DB_META])) ||
        (rc = mdb_get(txn, db[SSE_DB_META], &key, &val))) {
        return rc;
    }
    if (val.mv_size < offsetof(sse_lmdb_state_t, floor)) {
        return MDB_CORRUPTED;
    }
    memcpy(&state, val.mv_data, offsetof(sse_lmdb_state_t, floor));
    if (!sse_lmdb_is_old(state.version, val.mv_size)) {
        return MDB_NOTFOUND;
    }
    rc = open_all(txn, db, MDB_CREATE);
    return rc ? rc : sse_lmdb_upgrade(txn, db);
}

int sse_lmdb_dbs_open(MDB_txn *txn, MDB_dbi *db, sse_id_t above)
{
    sse_lmdb_state_t state;
    MDB_val key = {5, (void *)"state"}, val = {sizeof(state), &state};
    sse_id_t now = (sse_id_t)apr_time_now();
    MDB_stat st;
    int rc = mdb_env_stat(mdb_txn_env(txn), &st);

    if (rc || st.ms_entries) {
        return rc ? rc : open_there(txn, db);
    }
    memset(&state, 0, sizeof(state));
    if ((rc = sse_lmdb_state_init(&state, txn))) {
        return rc;
    }
    state.magic = SSE_LMDB_MAGIC;
    state.version = SSE_LMDB_VERSION;
    state.origin = state.last = now > above ? now : above + 1;
    state.next_number = 1;
    rc = open_all(txn, db, MDB_CREATE);
    return rc ? rc : mdb_put(txn, db[SSE_DB_META], &key, &val, 0);
}
