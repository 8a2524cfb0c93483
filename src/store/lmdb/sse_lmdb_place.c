/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Whether the store is still where it is named, and moving over when it is not.
 *
 * Somebody may remove the directory, or put another in its place, while the
 * server runs.  A child would go on in files that no name leads to: what it
 * answers with an id would be gone with the last child, and others that open
 * the store by its name would not see it.  So before a write the names are
 * looked at, though not more often than every 20 ms, as that takes some 5 us:
 * who removes the files loses what came in the moment before as well as all
 * else that was in them.  While nothing is there, writing
 * fails, and what was read so far can still be read; as soon as there is a
 * directory that can be used, it is.
 *
 * The same way out of an environment that LMDB has given up (MDB_PANIC). */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lmdb/sse_lmdb.h"

#define PATH_MAX_LEN 4096
#define LOOK_EVERY   apr_time_from_msec(20)
/* How often opening is tried. */
#define TRY_EVERY apr_time_from_msec(200)
/* Not more than LMDB's lock file has: a process that has it open knows its size
 * of then. */
#define LOCK_BYTES (SSE_LMDB_READERS * 64)

static const char *const names[SSE_LMDB_FILES] = {"data.mdb", "lock.mdb"};

static int path_of(const sse_lmdb_conf_t *conf, const char *name, char *path)
{
    int len = snprintf(path, PATH_MAX_LEN, "%s/%s", conf->dir, name);

    return len < PATH_MAX_LEN ? 0 : ENAMETOOLONG;
}

int sse_lmdb_place_reserve(const sse_lmdb_conf_t *conf,
                           const apr_uint32_t **lock)
{
    char path[PATH_MAX_LEN];
    int fd, rc = path_of(conf, "lock.mdb", path);

    if (rc) {
        return rc;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    rc = posix_fallocate(fd, 0, LOCK_BYTES);
    if (rc == EOPNOTSUPP || rc == EINVAL) {
        rc = 0;
    }
    else if (!rc) {
        *lock = sse_lmdb_lock_map(fd);
    }
    close(fd);
    return rc;
}

static int identify(const sse_lmdb_conf_t *conf, const char *name,
                    sse_lmdb_file_t *file)
{
    char path[PATH_MAX_LEN];
    struct stat st;
    int rc = path_of(conf, name, path);

    if (rc || stat(path, &st)) {
        return rc ? rc : errno;
    }
    file->dev = st.st_dev;
    file->ino = st.st_ino;
    return 0;
}

int sse_lmdb_place_note(sse_lmdb_t *store)
{
    struct stat st;
    int i, fd, rc = 0;

    for (i = 0; i < SSE_LMDB_FILES && !rc; ++i) {
        rc = identify(store->conf, names[i], &store->files[i]);
    }
    if (rc || (rc = mdb_env_get_fd(store->env, &fd))) {
        return rc;
    }
    if (fstat(fd, &st)) {
        return errno;
    }
    /* They may have been replaced since they were opened. */
    return st.st_dev == store->files[0].dev && st.st_ino == store->files[0].ino
               ? 0
               : ESTALE;
}

/* @return 0; ESTALE: others are there; ENOENT and so on: none */
static int compare(const sse_lmdb_t *store)
{
    sse_lmdb_file_t file = {0};
    int i, rc = 0;

    for (i = 0; i < SSE_LMDB_FILES && !rc; ++i) {
        rc = identify(store->conf, names[i], &file);
        if (!rc && (file.dev != store->files[i].dev ||
                    file.ino != store->files[i].ino)) {
            rc = ESTALE;
        }
    }
    return rc;
}

int sse_lmdb_place_look(sse_lmdb_t *store)
{
    apr_time_t now = apr_time_now();
    apr_time_t looked = __atomic_load_n(&store->looked, __ATOMIC_RELAXED);
    int rc;

    if (!store->env) {
        return ENOENT;
    }
    if (__atomic_load_n(&store->is_broken, __ATOMIC_ACQUIRE)) {
        return ESTALE;
    }
    if (!store->has_place || (now >= looked && now - looked < LOOK_EVERY)) {
        return 0;
    }
    rc = compare(store);
    if (!rc) {
        __atomic_store_n(&store->looked, now, __ATOMIC_RELAXED);
    }
    return rc;
}

/* The directory, which the user may be allowed to make again. */
static int is_usable(const sse_lmdb_conf_t *conf)
{
    if (mkdir(conf->dir, 0700) && errno != EEXIST) {
        return 0;
    }
    return !access(conf->dir, R_OK | W_OK | X_OK);
}

void sse_lmdb_place_saw(sse_lmdb_t *store, sse_id_t id)
{
    sse_id_t highest = __atomic_load_n(&store->highest, __ATOMIC_RELAXED);

    while (id > highest &&
           !__atomic_compare_exchange_n(&store->highest, &highest, id, 0,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

/* The newest id of what is still open: others may have written last. */
static void see_last(sse_lmdb_t *store)
{
    sse_lmdb_state_t state = {0};
    MDB_val key = {5, (void *)"state"}, val;
    MDB_txn *txn;

    if (store->env && !mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn)) {
        if (!mdb_get(txn, store->db[SSE_DB_META], &key, &val) &&
            val.mv_size == sizeof(state)) {
            memcpy(&state, val.mv_data, sizeof(state));
        }
        mdb_txn_abort(txn);
    }
    sse_lmdb_place_saw(store, state.last);
}

int sse_lmdb_place_may_move(const sse_lmdb_t *store, sse_lmdb_who_e who)
{
    apr_time_t now = apr_time_now();
    apr_time_t failed = __atomic_load_n(&store->failed[who == SSE_LMDB_WRITER],
                                        __ATOMIC_RELAXED);

    return now < failed || now - failed >= TRY_EVERY;
}

static int start_again(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    int rc;

    see_last(store);
    sse_lmdb_env_stop(store);
    rc = sse_lmdb_env_start(store, who,
                            __atomic_load_n(&store->highest, __ATOMIC_RELAXED));
    if (!rc) {
        __atomic_store_n(&store->is_broken, 0, __ATOMIC_RELEASE);
        __atomic_store_n(
            &store->news,
            "the event store's files were removed or replaced, or could not be "
            "used: what is in its directory now is used from here on",
            __ATOMIC_RELEASE);
    }
    return rc;
}

/* A process must not have a lock file open twice: LMDB closes it for both. */
static int is_locked_here(const sse_lmdb_t *store)
{
    sse_lmdb_file_t file = {0};

    return store->beginning && !identify(store->conf, names[1], &file) &&
           file.dev == store->files[1].dev && file.ino == store->files[1].ino;
}

/* Nobody is active. */
static int move(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    int found = sse_lmdb_place_look(store);

    if (!found) {
        return 0; /* somebody else has done it */
    }
    if (is_locked_here(store)) {
        return EAGAIN;
    }
    if (!sse_lmdb_place_may_move(store, who)) {
        return store->why ? store->why : found;
    }
    store->why = is_usable(store->conf) ? start_again(store, who) : ENOENT;
    /* While there is nothing, each writer looks: what comes is used at once. */
    if (store->why && (found == ESTALE || !store->env)) {
        __atomic_store_n(&store->failed[who == SSE_LMDB_WRITER], apr_time_now(),
                         __ATOMIC_RELAXED);
    }
    return store->why;
}

int sse_lmdb_place_move(sse_lmdb_t *store, sse_lmdb_who_e who)
{
    int rc = sse_lmdb_alone(store, who, move);

    /* Somebody is active for long: readers go on with what is open, and do not
     * wait for that one each time. */
    if (rc == EAGAIN && who == SSE_LMDB_READER) {
        __atomic_store_n(&store->failed[0], apr_time_now(), __ATOMIC_RELAXED);
    }
    return rc;
}
