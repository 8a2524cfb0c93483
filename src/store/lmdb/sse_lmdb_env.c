/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The environment of a child, and its transactions. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <unistd.h>

#include "store/lmdb/sse_lmdb.h"

#define OPENING_STEP apr_time_from_msec(5)
/* How long a store that is closed waits for its writer. */
#define CLOSE_WAIT apr_time_from_msec(500)

apr_status_t sse_lmdb_status(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return APR_SUCCESS;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return SSE_STORE_ESIZE;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return APR_ENOSPC;
    case ESTALE:
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case EPERM:
        return SSE_STORE_EGONE;
    case MDB_READERS_FULL:
        return APR_EAGAIN;
    case EAGAIN:
    case EBUSY:
        return SSE_STORE_EBUSY;
    default:
        return rc > 0 ? rc : SSE_STORE_EDAMAGED;
    }
}

/* One process at a time opens.  LMDB's first one makes the lock file anew, the
 * number of the last transaction coming last.  If it were killed on the way,
 * one that waits for it inside of LMDB would go on with the number 0, and the
 * transactions of all who come after would be taken for ancient ones.  Waiting
 * out here it becomes the first itself. */
int sse_lmdb_opening_lock(const char *dir, apr_interval_time_t patience,
                          int *fd)
{
    apr_interval_time_t waited = 0;
    int rc;

    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) {
        return errno;
    }
    while ((rc = flock(*fd, LOCK_EX | LOCK_NB) ? errno : 0) == EINTR ||
           (rc == EWOULDBLOCK && waited < patience)) {
        apr_sleep(OPENING_STEP);
        waited += OPENING_STEP;
    }
    if (rc) {
        close(*fd);
    }
    return rc;
}

static int open_locked(MDB_env *env, const sse_lmdb_conf_t *conf,
                       apr_interval_time_t patience, const apr_uint32_t **words)
{
    unsigned int flags = MDB_NOTLS | (conf->sync ? 0 : MDB_NOSYNC);
    int lock, fd, rc;

    if ((rc = sse_lmdb_opening_lock(conf->dir, patience, &lock))) {
        return rc;
    }
    rc = sse_lmdb_place_reserve(conf, words);
    if (!rc) {
        rc = mdb_env_open(env, conf->dir, flags, 0600);
    }
    close(lock);
    if (!rc && !mdb_env_get_fd(env, &fd)) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return rc;
}

int sse_lmdb_env_open(MDB_env **out, const sse_lmdb_conf_t *conf,
                      apr_interval_time_t patience, const apr_uint32_t **lock)
{
    MDB_env *env;
    int rc;

    *out = NULL;
    *lock = NULL;
    if ((rc = mdb_env_create(&env))) {
        return rc;
    }
    if (!(rc = mdb_env_set_maxdbs(env, SSE_DB_COUNT)) &&
        !(rc = mdb_env_set_maxreaders(env, SSE_LMDB_READERS)) &&
        !(rc = mdb_env_set_mapsize(env, (size_t)conf->size))) {
        rc = open_locked(env, conf, patience, lock);
    }
    if (rc) {
        /* Also what has to be done when mdb_env_open() failed. */
        mdb_env_close(env);
        sse_lmdb_lock_unmap(*lock);
        *lock = NULL;
        return rc;
    }
    *out = env;
    return 0;
}

static int state_get(sse_lmdb_t *store, MDB_txn *txn, sse_lmdb_state_t *state)
{
    MDB_val key = {5, (void *)"state"}, val;
    int rc = mdb_get(txn, store->db[SSE_DB_META], &key, &val);

    if (rc || val.mv_size != sizeof(*state)) {
        return rc && rc != MDB_NOTFOUND ? rc : MDB_CORRUPTED;
    }
    memcpy(state, val.mv_data, sizeof(*state));
    return state->version == SSE_LMDB_VERSION ? 0 : MDB_VERSION_MISMATCH;
}

/* A child with a larger configured size has made the file grow. */
static int remap(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    if (store->beginning) {
        return EAGAIN; /* it may get in at any moment */
    }
    return store->env ? mdb_env_set_mapsize(store->env, 0) : 0;
}

/* @return ESTALE: the files were replaced, so move over and come again */
static int snapshot_begin(sse_lmdb_t *store, MDB_txn **out)
{
    MDB_txn *txn;
    int found, rc = sse_lmdb_gate_enter(store, SSE_LMDB_READER, &txn);

    if (rc) {
        return rc;
    }
    found = sse_lmdb_place_look(store);

    /* What others have made must be read.  While there is nothing, what is
     * open can be. */
    if ((found == ESTALE || !store->env) &&
        sse_lmdb_place_may_move(store, SSE_LMDB_READER)) {
        sse_lmdb_gate_leave(store, txn);
        return ESTALE;
    }
    if (txn) {
        rc = mdb_txn_renew(txn);
        if (rc) {
            mdb_txn_abort(txn);
        }
    }
    else if (store->env) {
        rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    }
    else {
        rc = store->why;
    }
    if (rc) {
        sse_lmdb_gate_leave(store, NULL);
    }
    *out = txn;
    return rc;
}

int sse_lmdb_read_begin(sse_lmdb_t *store, MDB_txn **txn,
                        sse_lmdb_state_t *state)
{
    int rc, tries = 0, moved = 0;

    do {
        rc = snapshot_begin(store, txn);
        if (rc == ESTALE && !moved) {
            moved = 1;
            rc = sse_lmdb_place_move(store, SSE_LMDB_READER);
            continue;
        }
        if (rc == MDB_READERS_FULL) {
            sse_lmdb_readers_clear(store);
            continue;
        }
        if (rc == MDB_BAD_RSLOT) {
            /* Somebody took an idle one's slot from us: take another. */
            continue;
        }
        if (rc == MDB_MAP_RESIZED &&
            !(rc = sse_lmdb_alone(store, SSE_LMDB_READER, remap))) {
            continue;
        }
        if (rc) {
            return rc;
        }
        rc = state_get(store, *txn, state);
        if (!rc && state->txn <= mdb_txn_id(*txn)) {
            sse_lmdb_place_saw(store, state->last);
            return 0;
        }
        /* LMDB takes the snapshot's number first and its roots a moment later.
         * If two transactions end in that moment it has the roots of one that
         * may not be on the disk yet, or some of each; the next snapshot could
         * then be an older one.  Take another. */
        sse_lmdb_read_end(store, *txn);
        rc = rc ? rc : MDB_CORRUPTED;
    } while (++tries < 100);
    return rc;
}

void sse_lmdb_read_end(sse_lmdb_t *store, MDB_txn *txn)
{
    mdb_txn_reset(txn);
    sse_lmdb_gate_leave(store, txn);
}

/* Do what may let a transaction begin that did not. @return 0: try again */
static int begin_failed(sse_lmdb_t *store, int rc)
{
    switch (rc) {
    case MDB_MAP_RESIZED:
        return sse_lmdb_alone(store, SSE_LMDB_WRITER, remap);
    case MDB_PANIC:
        __atomic_store_n(&store->is_broken, 1, __ATOMIC_RELEASE);
        return sse_lmdb_place_move(store, SSE_LMDB_WRITER);
    case ESTALE:
    case ENOENT:
        return sse_lmdb_place_move(store, SSE_LMDB_WRITER);
    default:
        return rc;
    }
}

/* LMDB's lock may be waited for as long as another process likes.  Meanwhile
 * this counts as nobody's use of the environment, so that another one can be
 * opened; then this one is left to this thread.
 * @return 0, active; ECANCELED: this thread is not the writer any more */
static int lock_env(sse_lmdb_t *store, MDB_txn **txn)
{
    MDB_env *env = sse_lmdb_gate_wait_begin(store);
    int rc = mdb_txn_begin(env, NULL, 0, txn);

    if (sse_lmdb_gate_wait_end(store, env)) {
        return rc;
    }
    if (!rc) {
        mdb_txn_abort(*txn);
    }
    mdb_env_close(env);
    return ECANCELED;
}

int sse_lmdb_write_begin(sse_lmdb_write_t *w, sse_lmdb_t *store)
{
    int rc, tries = 0;

    w->store = store;
    w->used = w->has_owner = 0;
    if (sse_lmdb_writer_has_lost(store->writer)) {
        return ECANCELED; /* given up in an earlier transaction */
    }
    for (;;) {
        sse_lmdb_enter(store);
        rc = sse_lmdb_place_look(store);
        if (!rc) {
            rc = lock_env(store, &w->txn);
        }
        if (!rc) {
            break;
        }
        if (rc == ECANCELED) {
            return rc;
        }
        sse_lmdb_gate_leave(store, NULL);
        if (++tries > 4 || (rc = begin_failed(store, rc))) {
            return rc;
        }
    }
    rc = state_get(store, w->txn, &w->state);
    if (!rc && w->state.txn >= mdb_txn_id(w->txn)) {
        /* The lock file is not the data file's: write nothing. */
        rc = MDB_CORRUPTED;
    }
    if (rc) {
        sse_lmdb_write_abort(w);
        return rc;
    }
    w->now = sse_lmdb_clock_set(store, &w->state);
    return 0;
}

void sse_lmdb_write_abort(sse_lmdb_write_t *w)
{
    mdb_txn_abort(w->txn);
    sse_lmdb_gate_leave(w->store, NULL);
}

/* LMDB calls a short write EIO; mostly it is the disk, the quota or the limit
 * that is full.  Find out by writing as much ourselves. */
static int why_eio(sse_lmdb_t *store)
{
    static const char zeros[65536];
    struct rlimit limit;
    struct stat st;
    char path[4096];
    int fd, rc = EIO;
    apr_size_t done = 0;

    if (!mdb_env_get_fd(store->env, &fd) && !fstat(fd, &st) &&
        !getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY &&
        (rlim_t)st.st_size + sizeof(zeros) >= limit.rlim_cur) {
        return EFBIG;
    }
    if (snprintf(path, sizeof(path), "%s/probe.XXXXXX", store->conf->dir) >=
            (int)sizeof(path) ||
        (fd = mkstemp(path)) < 0) {
        return errno == ENOSPC || errno == EDQUOT ? errno : EIO;
    }
    unlink(path);
    while (done < sizeof(zeros)) {
        ssize_t n = write(fd, zeros + done, sizeof(zeros) - done);

        if (n < 0 && errno != EINTR) {
            rc = errno;
            break;
        }
        done += n > 0 ? (apr_size_t)n : 0;
    }
    close(fd);
    return rc;
}

int sse_lmdb_write_commit(sse_lmdb_write_t *w)
{
    MDB_val key = {5, (void *)"state"}, val = {sizeof(w->state), &w->state};
    int rc = sse_lmdb_flush(w);

    w->state.txn = mdb_txn_id(w->txn);
    if (!rc) {
        rc = mdb_put(w->txn, w->store->db[SSE_DB_META], &key, &val, 0);
    }
    if (rc) {
        sse_lmdb_write_abort(w);
        return rc;
    }
    rc = mdb_txn_commit(w->txn);
    if (!rc) {
        sse_lmdb_place_saw(w->store, w->state.last);
    }
    if (rc == EIO) {
        rc = why_eio(w->store);
    }
    sse_lmdb_gate_leave(w->store, NULL);
    return rc;
}

int sse_lmdb_pages_used(sse_lmdb_t *store, MDB_txn *txn, apr_uint64_t *pages)
{
    MDB_stat st;
    int i, rc;

    *pages = 0;
    for (i = 0; i < SSE_DB_COUNT; ++i) {
        if ((rc = mdb_stat(txn, store->db[i], &st))) {
            return rc;
        }
        *pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
    }
    return 0;
}

static apr_status_t sse_lmdb_close(void *data)
{
    sse_lmdb_t *store = data;

    if (!sse_lmdb_writer_destroy(store->writer, CLOSE_WAIT)) {
        return APR_SUCCESS; /* it hangs: the process ends without it */
    }
    sse_lmdb_env_stop(store);
    pthread_cond_destroy(&store->gate_moved);
    pthread_mutex_destroy(&store->gate);
    pthread_mutex_destroy(&store->peek);
    free(store);
    return APR_SUCCESS;
}

/* Without LMDB's writer lock, which another process may hold for ever.
 * @return ENOENT: there are none yet */
static int open_dbs_there(sse_lmdb_t *store)
{
    MDB_stat st;
    MDB_txn *txn;
    MDB_dbi all;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);

    if (rc) {
        return rc;
    }
    if (!(rc = mdb_dbi_open(txn, NULL, 0, &all)) &&
        !(rc = mdb_stat(txn, all, &st))) {
        rc = st.ms_entries ? sse_lmdb_dbs_find(txn, store->db) : ENOENT;
    }
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    /* The handles outlive the transaction only if it is committed. */
    return mdb_txn_commit(txn);
}

/* All others are kept out meanwhile: LMDB's lock, for which there is no
 * time-out, is taken only when it looks free. */
static int make_dbs(sse_lmdb_t *store, const apr_uint32_t *lock, sse_id_t above)
{
    MDB_txn *txn;
    int rc = sse_lmdb_lock_wait(lock, SSE_LMDB_PATIENCE)
                 ? mdb_txn_begin(store->env, NULL, 0, &txn)
                 : EAGAIN;

    if (rc) {
        return rc;
    }
    rc = sse_lmdb_dbs_open(txn, store->db, above);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int open_dbs(sse_lmdb_t *store, sse_lmdb_who_e who,
                    const apr_uint32_t *lock, sse_id_t above)
{
    int rc = open_dbs_there(store);

    /* None, or those of an earlier version. */
    return (rc == ENOENT || rc == MDB_NOTFOUND) && who == SSE_LMDB_WRITER
               ? make_dbs(store, lock, above)
               : rc;
}

apr_uint64_t sse_lmdb_soft(apr_uint64_t pages)
{
    /* What one transaction copies weighs more in a small map. */
    return pages < 1024 ? pages / 2 : pages / 8 * 5;
}

/* A file that has been there may have other pages than this machine's. */
static int measure_env(sse_lmdb_t *store)
{
    MDB_stat st;
    int rc = mdb_env_stat(store->env, &st);

    if (!rc && store->psize != st.ms_psize) {
        store->psize = st.ms_psize;
        store->soft = sse_lmdb_soft(store->conf->size / st.ms_psize);
    }
    return rc;
}

int sse_lmdb_env_start(sse_lmdb_t *store, sse_lmdb_who_e who, sse_id_t above)
{
    const apr_uint32_t *lock;
    int dead, rc;

    rc = sse_lmdb_env_open(&store->env, store->conf,
                           who == SSE_LMDB_READER ? 0 : SSE_LMDB_PATIENCE,
                           &lock);
    if (rc) {
        return rc;
    }
    mdb_reader_check(store->env, &dead);
    if ((rc = open_dbs(store, who, lock, above)) || (rc = measure_env(store)) ||
        (rc = sse_lmdb_place_note(store))) {
        mdb_env_close(store->env);
        store->env = NULL;
        sse_lmdb_lock_unmap(lock);
        return rc;
    }
    sse_lmdb_lock_use(store, lock);
    return 0;
}

void sse_lmdb_env_stop(sse_lmdb_t *store)
{
    sse_lmdb_lock_use(store, NULL);
    while (store->idle_count) {
        mdb_txn_abort(store->idle[--store->idle_count]);
    }
    if (store->env && store->beginning) {
        sse_lmdb_writer_abandon(store->writer); /* which closes it, some time */
        store->beginning = 0;
        store->env = NULL;
    }
    if (store->env) {
        mdb_env_close(store->env);
        store->env = NULL;
    }
}

apr_status_t sse_lmdb_open(sse_lmdb_t **out, const sse_lmdb_conf_t *conf,
                           apr_pool_t *pool)
{
    sse_lmdb_t *store = calloc(1, sizeof(*store));

    *out = NULL;
    if (!store || !(store->writer = sse_lmdb_writer_create(
                        sse_lmdb_serve, sse_lmdb_is_free, store))) {
        free(store);
        return APR_ENOMEM;
    }
    store->conf = conf;
    store->has_place = 1;
    store->boot = sse_lmdb_boot();
    store->psize = (unsigned int)sysconf(_SC_PAGESIZE);
    store->soft = sse_lmdb_soft(conf->size / store->psize);
    pthread_mutex_init(&store->gate, NULL);
    pthread_mutex_init(&store->peek, NULL);
    sse_lmdb_cond_init(&store->gate_moved);
    store->why = sse_lmdb_env_start(store, SSE_LMDB_OPENER, 0);
    if (store->why) {
        store->news = SSE_LMDB_NEWS_CLOSED;
    }
    apr_pool_cleanup_register(pool, store, sse_lmdb_close,
                              apr_pool_cleanup_null);
    *out = store;
    return APR_SUCCESS;
}
