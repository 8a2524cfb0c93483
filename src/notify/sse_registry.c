/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_registry.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sse_atomic.h"
#include "store/lmdb/sse_lmdb.h"
#include "notify/sse_registry_file.h"

/* How often the path is looked at. */
#define CHECK_EVERY apr_time_from_msec(100)
/* How long one waits for another process, how many do while it does not get on,
 * and how long what was posted is waited for at the end. */
#define ADD_WAIT    apr_time_from_sec(1)
#define CLAIM_WAIT  apr_time_from_sec(5)
#define WAITERS_MAX 4
#define CLOSE_WAIT  apr_time_from_msec(500)

typedef sse_registry_file_t file_t;

struct sse_registry_t {
    char *path;                /* const */
    sse_slice_t owner;         /* const: "owner/" */
    sse_lmdb_writer_t *writer; /* const */
    pthread_rwlock_t lock;
    file_t file;        /* writer: changes it, under lock for others */
    apr_time_t checked; /* writer: when the path was looked at */
};

/** What the writer does, in a transaction. */
typedef struct change_t {
    sse_lmdb_writer_job_t job; /* first */
    int (*fn)(const file_t *file, MDB_txn *txn, struct change_t *change);
    sse_slice_t key, value;
    sse_registry_alive_fn *is_alive;
    void *baton;
    apr_array_header_t *taken;
    apr_pool_t *pool;
} change_t;

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
    case EBUSY:
        return SSE_STORE_EBUSY;
    default:
        return rc > 0 ? rc : APR_EGENERAL;
    }
}

/* -- Opening --------------------------------------------------------------- */

static apr_status_t on_pool_gone(void *baton)
{
    sse_registry_t *registry = baton;

    if (sse_lmdb_writer_destroy(registry->writer, CLOSE_WAIT)) {
        sse_registry_file_close(&registry->file);
        pthread_rwlock_destroy(&registry->lock);
        free(registry->path);
        free((void *)registry->owner.ptr);
        free(registry);
    }
    return APR_SUCCESS; /* or the process ends without it */
}

static void serve(void *baton);
static int is_free(void *baton);

apr_status_t sse_registry_open(sse_registry_t **out, const char *dir,
                               const char *owner, apr_pool_t *pool)
{
    /* A thread may use it when the pool is gone. */
    sse_registry_t *registry = calloc(1, sizeof(*registry));
    int rc = ENOMEM;

    if (!registry || !(registry->writer =
                           sse_lmdb_writer_create(serve, is_free, registry))) {
        free(registry);
        return rc;
    }
    sse_lmdb_writer_limit(registry->writer, WAITERS_MAX, NULL);
    registry->path = strdup(apr_pstrcat(pool, dir, "/open.mdb", NULL));
    registry->owner = sse_slice(strdup(apr_pstrcat(pool, owner, "/", NULL)));
    if ((rc = sse_registry_file_open(&registry->file, registry->path))) {
        sse_lmdb_writer_destroy(registry->writer, 0);
        free(registry);
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

/* A process must not have a lock file open twice: LMDB's locks are given up for
 * both as soon as one is closed.  So a file is left only with its lock. */
static int is_moved(const sse_registry_t *registry)
{
    struct stat st;

    return (stat(registry->path, &st) || st.st_dev != registry->file.dev ||
            st.st_ino != registry->file.ino) &&
           !sse_registry_file_is_lock(&registry->file, registry->path);
}

/* By the writer. */
static void take_up(sse_registry_t *registry)
{
    file_t file, old = registry->file;

    if (!is_moved(registry) || sse_registry_file_open(&file, registry->path)) {
        return;
    }
    if (move_to(registry, &file)) {
        sse_registry_file_close(&file);
        return;
    }
    pthread_rwlock_wrlock(&registry->lock);
    registry->file = file;
    pthread_rwlock_unlock(&registry->lock);
    sse_registry_file_close(&old);
}

/* The file is the one at the path, wherever there is one. */
static void find_file(sse_registry_t *registry)
{
    apr_time_t now = apr_time_now();

    if (now - registry->checked >= CHECK_EVERY || now < registry->checked) {
        registry->checked = now;
        take_up(registry);
    }
}

/* -- Writing --------------------------------------------------------------- */

static int is_free(void *baton)
{
    const sse_registry_t *registry = baton;

    return sse_lmdb_lock_looks_free(registry->file.words);
}

static int want_one(void *baton, const sse_lmdb_writer_job_t *job)
{
    int *count = baton;

    return !(*count)++;
}

static int do_change(const file_t *file, MDB_txn *txn, change_t *change)
{
    int rc = change->fn(file, txn, change);

    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

/* While the lock is waited for, nobody's change is in hand. */
static void serve(void *baton)
{
    sse_registry_t *registry = baton;
    sse_lmdb_writer_jobs_t jobs;
    sse_lmdb_writer_job_t *job;
    MDB_txn *txn = NULL;
    int count = 0, word, rc;

    find_file(registry);
    rc = mdb_txn_begin(registry->file.env, NULL, 0, &txn);
    sse_lmdb_writer_take(registry->writer, want_one, &count, &jobs);
    job = TAILQ_FIRST(&jobs);
    if (job && !rc) {
        word = sse_lmdb_lock_find(registry->file.words);
        rc = do_change(&registry->file, txn, (change_t *)job);
        sse_lmdb_lock_found(registry->file.words, word);
    }
    else if (!rc) {
        mdb_txn_abort(txn);
    }
    if (job) {
        job->rc = rc;
        sse_lmdb_writer_finish(registry->writer, &jobs);
    }
}

/* -- Entries --------------------------------------------------------------- */

static MDB_val val_of(sse_slice_t slice)
{
    MDB_val val;

    val.mv_size = slice.len;
    val.mv_data = (void *)slice.ptr;
    return val;
}

static int put(const file_t *file, MDB_txn *txn, change_t *change)
{
    MDB_val key = val_of(change->key), val = val_of(change->value);

    return mdb_put(txn, file->db, &key, &val, 0);
}

static int del(const file_t *file, MDB_txn *txn, change_t *change)
{
    MDB_val key = val_of(change->key);
    int rc = mdb_del(txn, file->db, &key, NULL);

    return rc == MDB_NOTFOUND ? 0 : rc;
}

apr_status_t sse_registry_add(sse_registry_t *registry, sse_slice_t key,
                              sse_slice_t value)
{
    change_t change = {0};
    int rc;

    change.fn = put;
    change.key = key;
    change.value = value;
    rc = sse_lmdb_writer_submit(registry->writer, &change.job, ADD_WAIT);
    return status_of(rc ? rc : change.job.rc);
}

static void on_removed(sse_lmdb_writer_job_t *job) { free(job); }

apr_status_t sse_registry_remove(sse_registry_t *registry, sse_slice_t key)
{
    change_t *change = calloc(1, sizeof(*change) + key.len);

    if (!change) {
        return APR_ENOMEM;
    }
    memcpy(change + 1, key.ptr, key.len);
    change->fn = del;
    change->key.ptr = (const char *)(change + 1);
    change->key.len = key.len;
    change->job.on_done = on_removed;
    sse_lmdb_writer_post(registry->writer, &change->job);
    return APR_SUCCESS;
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

static int take(const file_t *file, MDB_txn *txn, change_t *change)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, file->db, &cursor);

    if (!rc) {
        rc = take_dead(cursor, change->is_alive, change->baton, change->taken,
                       change->pool);
        mdb_cursor_close(cursor);
    }
    return rc;
}

apr_status_t sse_registry_claim(sse_registry_t *registry,
                                sse_registry_alive_fn *is_alive,
                                sse_registry_fn *fn, void *baton,
                                apr_pool_t *pool)
{
    apr_array_header_t *taken = apr_array_make(pool, 16, sizeof(entry_t));
    change_t change = {0};
    int i, rc;

    pthread_rwlock_rdlock(&registry->lock);
    rc = is_moved(registry) ? 0 : look(&registry->file, is_alive, baton, pool);
    pthread_rwlock_unlock(&registry->lock);
    if (rc == MDB_NOTFOUND) {
        return APR_SUCCESS;
    }
    /* If it could not look, the lock is worth it. */
    change.fn = take;
    change.is_alive = is_alive;
    change.baton = baton;
    change.taken = taken;
    change.pool = pool;
    rc = sse_lmdb_writer_submit(registry->writer, &change.job, CLAIM_WAIT);
    rc = rc ? rc : change.job.rc;
    for (i = 0; !rc && i < taken->nelts; ++i) {
        fn(baton, APR_ARRAY_IDX(taken, i, entry_t).key,
           APR_ARRAY_IDX(taken, i, entry_t).value);
    }
    return status_of(rc);
}
