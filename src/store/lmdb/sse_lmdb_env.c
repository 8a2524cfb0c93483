/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The environment of a child, and its transactions. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <unistd.h>

#include "store/lmdb/sse_lmdb.h"

#define OPENING_STEP apr_time_from_msec(5)
/* How long closing the store waits for its writer. */
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

/* One process at a time opens the environment.  The first one initializes
 * LMDB's lock file, the number of the last transaction at the end.  If it were
 * killed before that, a process that waits for it inside of LMDB would go on
 * with the number 0, and later transactions would be taken for old ones.  A
 * process that waits here initializes the lock file itself. */
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
    rc = sse_lmdb_lock_reserve(conf, words);
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
        /* LMDB wants this also if mdb_env_open() has failed. */
        mdb_env_close(env);
        sse_lmdb_lock_unmap(*lock);
        *lock = NULL;
        return rc;
    }
    *out = env;
    return 0;
}

/* Exclusive access: a child with a larger size= has made the file grow. */
static int remap(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    return store->env ? mdb_env_set_mapsize(store->env, 0) : 0;
}

static int is_usable(MDB_env *env)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

    if (!rc) {
        mdb_txn_abort(txn);
    }
    return rc != MDB_PANIC;
}

int sse_lmdb_txn_end(MDB_txn *txn, int rc)
{
    if (!rc) {
        return mdb_txn_commit(txn);
    }
    mdb_txn_abort(txn);
    return rc;
}

/* Open the databases without LMDB's writer lock, which another process may hold
 * for ever.  @return ENOENT: there are none yet */
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
    return sse_lmdb_txn_end(txn, rc);
}

/* With exclusive access, which must not be held for long: so LMDB's lock, which
 * has no time-out, is taken only when it looks free. */
static int make_dbs(sse_lmdb_t *store, const apr_uint32_t *lock)
{
    MDB_txn *txn;
    int rc = sse_lmdb_lock_wait(lock, SSE_LMDB_PATIENCE)
                 ? mdb_txn_begin(store->env, NULL, 0, &txn)
                 : EAGAIN;

    if (rc) {
        return rc;
    }
    return sse_lmdb_txn_end(txn, sse_lmdb_dbs_open(txn, store->db, 0));
}

static int open_dbs(sse_lmdb_t *store, sse_lmdb_who_e who,
                    const apr_uint32_t *lock)
{
    int rc = open_dbs_there(store);

    /* There are none, or those of an earlier version. */
    return (rc == ENOENT || rc == MDB_NOTFOUND) && who == SSE_LMDB_WRITER
               ? make_dbs(store, lock)
               : rc;
}

apr_uint64_t sse_lmdb_soft(apr_uint64_t pages)
{
    /* A transaction copies a larger part of a small map. */
    return pages < 1024 ? pages / 2 : pages / 8 * 5;
}

/* An existing file may have another size of page than this machine. */
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

static int start(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    const apr_uint32_t *lock;
    int dead, rc;

    if ((rc = sse_lmdb_files_compare(store)) ||
        (rc = sse_lmdb_env_open(&store->env, store->conf,
                                who == SSE_LMDB_READER ? 0 : SSE_LMDB_PATIENCE,
                                &lock))) {
        return rc;
    }
    mdb_reader_check(store->env, &dead);
    if ((rc = open_dbs(store, who, lock)) || (rc = measure_env(store)) ||
        (rc = sse_lmdb_files_note(store))) {
        mdb_env_close(store->env);
        store->env = NULL;
    }
    if (!rc && !store->lock) {
        __atomic_store_n(&store->lock, lock, __ATOMIC_RELEASE);
    }
    else {
        sse_lmdb_lock_unmap(lock); /* it is the same file's */
    }
    return rc;
}

void sse_lmdb_stop(sse_lmdb_t *store)
{
    while (store->idle_count) {
        mdb_txn_abort(store->idle[--store->idle_count]);
    }
    if (store->env) {
        mdb_env_close(store->env);
        store->env = NULL;
    }
}

/* How often readers try to open a store that cannot be opened. */
#define TRY_EVERY apr_time_from_msec(100)

/* Exclusive access: open the environment if it is not open yet, or if LMDB has
 * given it up after a failure of the disk. */
static int reopen(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    apr_time_t now = apr_time_now();
    int rc;

    if (store->env && is_usable(store->env)) {
        return 0; /* another thread has done it */
    }
    if (who == SSE_LMDB_READER && store->why && now >= store->tried &&
        now - store->tried < TRY_EVERY) {
        return store->why;
    }
    sse_lmdb_stop(store);
    rc = start(store, who);
    store->tried = now;
    /* EAGAIN: another process is at it.  ENOENT: one may make it soon. */
    store->why = rc == EAGAIN || rc == ENOENT ? 0 : rc;
    return rc;
}

/* Remove what kept a transaction from beginning.  @return 0: try again */
static int recover(sse_lmdb_t *store, sse_lmdb_who_e who, int rc)
{
    switch (rc) {
    case MDB_PANIC:
        return sse_lmdb_alone(store, who, reopen);
    case MDB_MAP_RESIZED:
        return sse_lmdb_alone(store, who, remap);
    case MDB_READERS_FULL:
        sse_lmdb_readers_clear(store);
        return 0;
    case MDB_BAD_RSLOT:
        return 0; /* another process took an idle one's slot: take a new one */
    default:
        return rc;
    }
}

static int snapshot_begin(sse_lmdb_t *store, MDB_txn **out)
{
    MDB_txn *txn;
    int rc = sse_lmdb_gate_enter(store, SSE_LMDB_READER, &txn);

    if (rc) {
        return rc;
    }
    if (txn) {
        if ((rc = mdb_txn_renew(txn))) {
            mdb_txn_abort(txn);
        }
    }
    else {
        rc = store->env ? mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn)
                        : MDB_PANIC;
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
    int rc, failed, tries = 0;

    do {
        rc = snapshot_begin(store, txn);
        if (rc) {
            if ((failed = recover(store, SSE_LMDB_READER, rc))) {
                return failed;
            }
            continue;
        }
        rc = sse_lmdb_state_get(*txn, store->db[SSE_DB_META], state);
        if (!rc && state->txn <= mdb_txn_id(*txn)) {
            return 0;
        }
        /* A torn snapshot: LMDB reads its number first and its roots a moment
         * later.  If two transactions are committed between these, it may have
         * roots of both.  Take another. */
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

int sse_lmdb_env_check(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    int rc = sse_lmdb_gate_enter(store, who, NULL);

    if (!rc) {
        rc = store->env ? sse_lmdb_files_look(store) : MDB_PANIC;
        sse_lmdb_gate_leave(store, NULL);
    }
    return rc ? recover(store, SSE_LMDB_WRITER, rc) : 0;
}

/* Waits for LMDB's lock, which has no time-out. */
static int lock_env(sse_lmdb_t *store, MDB_txn **txn)
{
    int rc;

    sse_lmdb_gate_enter(store, SSE_LMDB_WRITER, NULL);
    rc = store->env ? mdb_txn_begin(store->env, NULL, 0, txn) : MDB_PANIC;
    if (rc) {
        sse_lmdb_gate_leave(store, NULL);
    }
    return rc;
}

int sse_lmdb_write_begin(sse_lmdb_write_t *w, sse_lmdb_t *store)
{
    int rc, tries = 0;

    w->store = store;
    w->used = w->has_owner = 0;
    while ((rc = lock_env(store, &w->txn))) {
        if (++tries > 4 || (rc = recover(store, SSE_LMDB_WRITER, rc))) {
            return rc;
        }
    }
    rc = sse_lmdb_files_look(store); /* now: the lock may have taken long */
    if (!rc) {
        rc = sse_lmdb_state_get(w->txn, store->db[SSE_DB_META], &w->state);
    }
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

/* LMDB returns EIO for a short write.  Mostly the disk or the quota is full, or
 * a limit is met: find out by a write of our own. */
static int why_eio(sse_lmdb_t *store)
{
    static const char zeros[65536];
    struct rlimit limit;
    struct stat st;
    char path[SSE_LMDB_PATH_MAX];
    int fd, rc = EIO;
    apr_size_t done = 0;

    if (!mdb_env_get_fd(store->env, &fd) && !fstat(fd, &st) &&
        !getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY &&
        (rlim_t)st.st_size + sizeof(zeros) >= limit.rlim_cur) {
        return EFBIG;
    }
    if (sse_lmdb_path(store->conf, "probe.XXXXXX", path) ||
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

int sse_lmdb_write_end(sse_lmdb_write_t *w, int rc)
{
    if (!rc && !(rc = sse_lmdb_flush(w))) {
        rc = sse_lmdb_state_put(w->txn, w->store->db[SSE_DB_META], &w->state);
    }
    if (rc) {
        sse_lmdb_write_abort(w);
        return rc;
    }
    rc = mdb_txn_commit(w->txn);
    if (rc == EIO) {
        rc = why_eio(w->store);
    }
    sse_lmdb_gate_leave(w->store, NULL);
    return rc;
}

int sse_lmdb_pages_from(sse_lmdb_t *store, MDB_txn *txn, int first,
                        apr_uint64_t *pages)
{
    MDB_stat st;
    int i, rc;

    *pages = 0;
    for (i = first; i < SSE_DB_COUNT && store->db[i]; ++i) {
        if ((rc = mdb_stat(txn, store->db[i], &st))) {
            return rc;
        }
        *pages += st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
    }
    return 0;
}

int sse_lmdb_pages_used(sse_lmdb_t *store, MDB_txn *txn, apr_uint64_t *pages)
{
    return sse_lmdb_pages_from(store, txn, 0, pages);
}

static apr_status_t sse_lmdb_close(void *data)
{
    sse_lmdb_t *store = data;

    if (!sse_lmdb_writer_destroy(store->writer, CLOSE_WAIT)) {
        return APR_SUCCESS; /* it hangs: leave it to the end of the process */
    }
    sse_lmdb_stop(store);
    sse_lmdb_lock_unmap(store->lock);
    pthread_cond_destroy(&store->gate_moved);
    pthread_mutex_destroy(&store->gate);
    free(store);
    return APR_SUCCESS;
}

apr_status_t sse_lmdb_open(sse_store_t **out, const sse_store_t *base,
                           const sse_store_conf_t *conf, apr_pool_t *pool)
{
    sse_lmdb_t *store = calloc(1, sizeof(*store));

    *out = NULL;
    if (!store || !(store->writer = sse_lmdb_writer_create(
                        sse_lmdb_serve, sse_lmdb_is_free, store))) {
        free(store);
        return APR_ENOMEM;
    }
    store->base = *base;
    store->conf = (const sse_lmdb_conf_t *)conf;
    store->boot = sse_lmdb_boot();
    store->psize = (unsigned int)sysconf(_SC_PAGESIZE);
    store->soft = sse_lmdb_soft(store->conf->size / store->psize);
    pthread_mutex_init(&store->gate, NULL);
    sse_lmdb_cond_init(&store->gate_moved);
    if (start(store, SSE_LMDB_OPENER)) {
        store->report =
            "the event store cannot be opened: see that its directory is there "
            "and belongs to the server's user, and that its disk is neither "
            "full nor read-only; it is tried again by itself";
    }
    apr_pool_cleanup_register(pool, store, sse_lmdb_close,
                              apr_pool_cleanup_null);
    *out = &store->base;
    return APR_SUCCESS;
}
