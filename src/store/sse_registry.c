/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "store/sse_registry.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sse_atomic.h"

#define MAP_SIZE (64u << 20)
/* How often the path is looked at. */
#define CHECK_EVERY apr_time_from_msec(100)

/** What opening yields. */
typedef struct {
    MDB_env *env;
    MDB_dbi db;
    dev_t dev; /* which file it is */
    ino_t ino;
} file_t;

struct sse_registry_t {
    const char *path;  /* const */
    sse_slice_t owner; /* const: "owner/" */
    pthread_rwlock_t lock;
    file_t file;        /* under lock: read to use it, write to change it */
    apr_time_t checked; /* atomic: when the path was looked at */
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

static int open_env(file_t *file, const char *path)
{
    int rc = mdb_env_create(&file->env), dead;

    if (rc) {
        return rc;
    }
    mdb_env_set_mapsize(file->env, MAP_SIZE);
    rc = mdb_env_open(file->env, path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS,
                      0600);
    if (!rc) {
        rc = mdb_reader_check(file->env, &dead);
    }
    if (rc) {
        mdb_env_close(file->env);
    }
    return rc;
}

static int open_db(file_t *file)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(file->env, NULL, 0, &txn);

    if (rc) {
        return rc;
    }
    rc = mdb_dbi_open(txn, NULL, 0, &file->db);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int identify(file_t *file)
{
    struct stat st;
    int fd, rc = mdb_env_get_fd(file->env, &fd);

    if (!rc && fstat(fd, &st)) {
        rc = errno;
    }
    if (!rc) {
        file->dev = st.st_dev;
        file->ino = st.st_ino;
    }
    return rc;
}

static int is_damage(int rc)
{
    return rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH ||
           rc == MDB_CORRUPTED || rc == MDB_PANIC;
}

static const char *lock_of(const char *path, char *buf, apr_size_t size)
{
    apr_snprintf(buf, size, "%s-lock", path);
    return buf;
}

static int open_file(file_t *file, const char *path)
{
    char lock[4096];
    int rc = open_env(file, path);

    if (is_damage(rc)) {
        unlink(path);
        unlink(lock_of(path, lock, sizeof(lock)));
        rc = open_env(file, path);
    }
    if (rc) {
        return rc;
    }
    if ((rc = open_db(file)) || (rc = identify(file))) {
        mdb_env_close(file->env);
    }
    return rc;
}

static apr_status_t on_pool_gone(void *baton)
{
    sse_registry_t *registry = baton;

    mdb_env_close(registry->file.env);
    pthread_rwlock_destroy(&registry->lock);
    return APR_SUCCESS;
}

apr_status_t sse_registry_open(sse_registry_t **out, const char *dir,
                               const char *owner, apr_pool_t *pool)
{
    sse_registry_t *registry = apr_pcalloc(pool, sizeof(*registry));
    int rc;

    registry->path = apr_pstrcat(pool, dir, "/open.mdb", NULL);
    registry->owner = sse_slice(apr_pstrcat(pool, owner, "/", NULL));
    if ((rc = open_file(&registry->file, registry->path))) {
        return status_of(rc);
    }
    pthread_rwlock_init(&registry->lock, NULL);
    apr_pool_cleanup_register(pool, registry, on_pool_gone,
                              apr_pool_cleanup_null);
    *out = registry;
    return APR_SUCCESS;
}

/* -- Another file ---------------------------------------------------------- */

static int is_mine(const sse_registry_t *registry, const MDB_val *key)
{
    return key->mv_size >= registry->owner.len &&
           !memcmp(key->mv_data, registry->owner.ptr, registry->owner.len);
}

/* Go through the owner's entries, and put them into to, or, if that is NULL,
 * take them away. */
static int each_mine(const sse_registry_t *registry, MDB_cursor *cursor,
                     MDB_txn *to, MDB_dbi db)
{
    MDB_val key, val;
    int rc;

    key.mv_data = (void *)registry->owner.ptr;
    key.mv_size = registry->owner.len;
    rc = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
    while (!rc && is_mine(registry, &key)) {
        rc = to ? mdb_put(to, db, &key, &val, 0) : mdb_cursor_del(cursor, 0);
        if (!rc) {
            rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
        }
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int empty_mine(const sse_registry_t *registry, const file_t *file,
                      MDB_txn *txn)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, file->db, &cursor);

    if (!rc) {
        rc = each_mine(registry, cursor, NULL, 0);
        mdb_cursor_close(cursor);
    }
    return rc;
}

static int copy_mine(const sse_registry_t *registry, const file_t *file,
                     MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_txn *from;
    int rc = mdb_txn_begin(registry->file.env, NULL, MDB_RDONLY, &from);

    if (rc) {
        return rc;
    }
    rc = mdb_cursor_open(from, registry->file.db, &cursor);
    if (!rc) {
        rc = each_mine(registry, cursor, txn, file->db);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(from);
    return rc;
}

/* The owner's entries, and no others of his, into that file. */
static int move_to(const sse_registry_t *registry, const file_t *file)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(file->env, NULL, 0, &txn);

    if (rc) {
        return rc;
    }
    if ((rc = empty_mine(registry, file, txn)) ||
        (rc = copy_mine(registry, file, txn))) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int is_moved(const sse_registry_t *registry)
{
    struct stat st;

    return stat(registry->path, &st) || st.st_dev != registry->file.dev ||
           st.st_ino != registry->file.ino;
}

/* With the lock for writing. */
static void take_up(sse_registry_t *registry)
{
    file_t file;

    if (!is_moved(registry) || open_file(&file, registry->path)) {
        return;
    }
    if (move_to(registry, &file)) {
        mdb_env_close(file.env);
        return;
    }
    mdb_env_close(registry->file.env);
    registry->file = file;
}

/* Begin to use the file, which is the one at the path wherever there is one. */
static void enter(sse_registry_t *registry)
{
    apr_time_t now = apr_time_now();
    apr_time_t checked = sse_atomic_load(&registry->checked);

    pthread_rwlock_rdlock(&registry->lock);
    if ((now - checked < CHECK_EVERY && now >= checked) ||
        !sse_atomic_cas(&registry->checked, checked, now) ||
        !is_moved(registry)) {
        return;
    }
    pthread_rwlock_unlock(&registry->lock);
    pthread_rwlock_wrlock(&registry->lock);
    take_up(registry);
    pthread_rwlock_unlock(&registry->lock);
    pthread_rwlock_rdlock(&registry->lock);
}

static void leave(sse_registry_t *registry)
{
    pthread_rwlock_unlock(&registry->lock);
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
static int change_in(const file_t *file, sse_slice_t key,
                     const sse_slice_t *value)
{
    MDB_val k = val_of(key), v;
    MDB_txn *txn;
    int rc = mdb_txn_begin(file->env, NULL, 0, &txn);

    if (rc) {
        return rc;
    }
    if (value) {
        v = val_of(*value);
        rc = mdb_put(txn, file->db, &k, &v, 0);
    }
    else {
        rc = mdb_del(txn, file->db, &k, NULL);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static apr_status_t change(sse_registry_t *registry, sse_slice_t key,
                           const sse_slice_t *value)
{
    int rc;

    enter(registry);
    rc = change_in(&registry->file, key, value);
    leave(registry);
    return status_of(rc);
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

/* @return 0: there is an entry whose owner is dead; MDB_NOTFOUND: none */
static int find_dead(MDB_cursor *cursor, sse_registry_alive_fn *is_alive,
                     void *baton, apr_pool_t *pool)
{
    MDB_val key, val;
    int rc = mdb_cursor_get(cursor, &key, &val, MDB_FIRST);

    while (!rc && is_alive(baton, owner_of(&key))) {
        rc = skip_owner(cursor, owner_of(&key), &key, &val, pool);
    }
    return rc;
}

/* All children look at each child's end, and mostly there is nothing to take,
 * or one took it: so without the lock that each needs for its own streams. */
static int look(const file_t *file, sse_registry_alive_fn *is_alive,
                void *baton, apr_pool_t *pool)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn);

    if (rc) {
        return rc;
    }
    rc = mdb_cursor_open(txn, file->db, &cursor);
    if (!rc) {
        rc = find_dead(cursor, is_alive, baton, pool);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc;
}

static int take(const file_t *file, sse_registry_alive_fn *is_alive,
                void *baton, apr_array_header_t *taken, apr_pool_t *pool)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc = look(file, is_alive, baton, pool);

    if (rc == MDB_NOTFOUND) {
        return 0;
    }
    /* If it could not look, the lock is worth it. */
    rc = mdb_txn_begin(file->env, NULL, 0, &txn);
    if (rc) {
        return rc;
    }
    rc = mdb_cursor_open(txn, file->db, &cursor);
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
    int i, rc;

    enter(registry);
    rc = take(&registry->file, is_alive, baton, taken, pool);
    leave(registry);
    for (i = 0; !rc && i < taken->nelts; ++i) {
        fn(baton, APR_ARRAY_IDX(taken, i, entry_t).key,
           APR_ARRAY_IDX(taken, i, entry_t).value);
    }
    return status_of(rc);
}
