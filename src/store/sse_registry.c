/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "store/sse_registry.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAP_SIZE (64u << 20)

struct sse_registry_t {
    MDB_env *env; /* const */
    MDB_dbi db;   /* const */
};

static apr_status_t status_of(int rc)
{
    switch (rc) {
    case 0:
        return APR_SUCCESS;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
        return APR_ENOSPC;
    default:
        return rc > 0 ? rc : APR_EGENERAL;
    }
}

/* -- Opening --------------------------------------------------------------- */

static int open_env(sse_registry_t *registry, const char *path)
{
    int rc = mdb_env_create(&registry->env), dead;

    if (rc) {
        return rc;
    }
    mdb_env_set_mapsize(registry->env, MAP_SIZE);
    rc = mdb_env_open(registry->env, path,
                      MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS, 0600);
    if (!rc) {
        rc = mdb_reader_check(registry->env, &dead);
    }
    if (rc) {
        mdb_env_close(registry->env);
    }
    return rc;
}

static int open_db(sse_registry_t *registry)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(registry->env, NULL, 0, &txn);

    if (rc) {
        return rc;
    }
    rc = mdb_dbi_open(txn, NULL, 0, &registry->db);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static apr_status_t on_pool_gone(void *baton)
{
    sse_registry_t *registry = baton;

    mdb_env_close(registry->env);
    return APR_SUCCESS;
}

static int is_damage(int rc)
{
    return rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH ||
           rc == MDB_CORRUPTED || rc == MDB_PANIC;
}

apr_status_t sse_registry_open(sse_registry_t **out, const char *dir,
                               apr_pool_t *pool)
{
    sse_registry_t *registry = apr_pcalloc(pool, sizeof(*registry));
    const char *path = apr_pstrcat(pool, dir, "/open.mdb", NULL);
    int rc = open_env(registry, path);

    if (is_damage(rc)) {
        unlink(path);
        unlink(apr_pstrcat(pool, path, "-lock", NULL));
        rc = open_env(registry, path);
    }
    if (rc) {
        return status_of(rc);
    }
    apr_pool_cleanup_register(pool, registry, on_pool_gone,
                              apr_pool_cleanup_null);
    rc = open_db(registry);
    *out = registry;
    return status_of(rc);
}

/* -- Entries --------------------------------------------------------------- */

static MDB_val val_of(sse_slice_t slice)
{
    MDB_val val;

    val.mv_size = slice.len;
    val.mv_data = (void *)slice.ptr;
    return val;
}

/* value NULL: take it away. */
static apr_status_t change(sse_registry_t *registry, sse_slice_t key,
                           const sse_slice_t *value)
{
    MDB_val k = val_of(key), v;
    MDB_txn *txn;
    int rc = mdb_txn_begin(registry->env, NULL, 0, &txn);

    if (rc) {
        return status_of(rc);
    }
    if (value) {
        v = val_of(*value);
        rc = mdb_put(txn, registry->db, &k, &v, 0);
    }
    else {
        rc = mdb_del(txn, registry->db, &k, NULL);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    if (rc) {
        mdb_txn_abort(txn);
        return status_of(rc);
    }
    return status_of(mdb_txn_commit(txn));
}

apr_status_t sse_registry_add(sse_registry_t *registry, sse_slice_t key,
                              sse_slice_t value)
{
    return change(registry, key, &value);
}

apr_status_t sse_registry_remove(sse_registry_t *registry, sse_slice_t key)
{
    return change(registry, key, NULL);
}

/* -- Claiming -------------------------------------------------------------- */

/** An entry that was taken away, copied. */
typedef struct {
    sse_slice_t key, value;
} entry_t;

static sse_slice_t copy(apr_pool_t *pool, const MDB_val *val)
{
    sse_slice_t slice;

    slice.ptr = apr_pmemdup(pool, val->mv_data, val->mv_size);
    slice.len = val->mv_size;
    return slice;
}

static sse_slice_t owner_of(const MDB_val *key)
{
    const char *slash = memchr(key->mv_data, '/', key->mv_size);
    sse_slice_t owner;

    owner.ptr = key->mv_data;
    owner.len = slash ? (apr_size_t)(slash - owner.ptr) : key->mv_size;
    return owner;
}

/* Behind all entries of this owner: '0' comes after '/'. */
static int skip_owner(MDB_cursor *cursor, sse_slice_t owner, MDB_val *key,
                      MDB_val *val, apr_pool_t *pool)
{
    char *end = apr_pstrmemdup(pool, owner.ptr, owner.len + 1);

    end[owner.len] = '0';
    key->mv_data = end;
    key->mv_size = owner.len + 1;
    return mdb_cursor_get(cursor, key, val, MDB_SET_RANGE);
}

static int take_dead(MDB_cursor *cursor, sse_registry_alive_fn *is_alive,
                     void *baton, apr_array_header_t *taken, apr_pool_t *pool)
{
    MDB_val key, val;
    entry_t *entry;
    int rc = mdb_cursor_get(cursor, &key, &val, MDB_FIRST);

    while (!rc) {
        if (is_alive(baton, owner_of(&key))) {
            rc = skip_owner(cursor, owner_of(&key), &key, &val, pool);
            continue;
        }
        entry = apr_array_push(taken);
        entry->key = copy(pool, &key);
        entry->value = copy(pool, &val);
        rc = mdb_cursor_del(cursor, 0);
        if (!rc) { /* after a deletion, the next is where the cursor is */
            rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
        }
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int take(sse_registry_t *registry, sse_registry_alive_fn *is_alive,
                void *baton, apr_array_header_t *taken, apr_pool_t *pool)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc = mdb_txn_begin(registry->env, NULL, 0, &txn);

    if (rc) {
        return rc;
    }
    rc = mdb_cursor_open(txn, registry->db, &cursor);
    if (!rc) {
        rc = take_dead(cursor, is_alive, baton, taken, pool);
        mdb_cursor_close(cursor);
    }
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

apr_status_t sse_registry_claim(sse_registry_t *registry,
                                sse_registry_alive_fn *is_alive,
                                sse_registry_fn *fn, void *baton,
                                apr_pool_t *pool)
{
    apr_array_header_t *taken = apr_array_make(pool, 16, sizeof(entry_t));
    int i, rc = take(registry, is_alive, baton, taken, pool);

    for (i = 0; !rc && i < taken->nelts; ++i) {
        fn(baton, APR_ARRAY_IDX(taken, i, entry_t).key,
           APR_ARRAY_IDX(taken, i, entry_t).value);
    }
    return status_of(rc);
}
