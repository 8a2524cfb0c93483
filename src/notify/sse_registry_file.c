/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_registry_file.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lmdb/sse_lmdb.h"

#define MAP_SIZE (64u << 20)
/* Of the lock file, that are there before LMDB makes it as long as it wants. */
#define LOCK_BYTES 4096

static const char *lock_of(const char *path, char *buf, apr_size_t size)
{
    apr_snprintf(buf, size, "%s-lock", path);
    return buf;
}

/* To look at the lock, before LMDB opens it.  Its words are there whatever
 * becomes of the name: reading a map beyond its file would kill the process. */
static void map_lock(sse_registry_file_t *file, const char *path)
{
    char lock[4096];
    struct stat st;
    int fd = open(lock_of(path, lock, sizeof(lock)),
                  O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    file->words = NULL;
    file->lock_dev = 0;
    file->lock_ino = 0;
    if (fd < 0) {
        return;
    }
    posix_fallocate(fd, 0, LOCK_BYTES);
    if (!fstat(fd, &st) && st.st_size >= LOCK_BYTES) {
        file->lock_dev = st.st_dev;
        file->lock_ino = st.st_ino;
        file->words = sse_lmdb_lock_map(fd);
    }
    close(fd);
}

int sse_registry_file_is_lock(const sse_registry_file_t *file, const char *path)
{
    char lock[4096];
    struct stat st;

    return !stat(lock_of(path, lock, sizeof(lock)), &st) &&
           st.st_dev == file->lock_dev && st.st_ino == file->lock_ino;
}

void sse_registry_file_close(sse_registry_file_t *file)
{
    mdb_env_close(file->env);
    sse_lmdb_lock_unmap(file->words);
}

static int open_env(sse_registry_file_t *file, const char *path)
{
    int rc = mdb_env_create(&file->env), dead;

    if (rc) {
        return rc;
    }
    map_lock(file, path);
    mdb_env_set_mapsize(file->env, MAP_SIZE);
    rc = mdb_env_open(file->env, path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS,
                      0600);
    if (!rc) {
        rc = mdb_reader_check(file->env, &dead);
    }
    if (rc) {
        sse_registry_file_close(file);
    }
    return rc;
}

/* Another process may have removed it before LMDB opened it. */
static void check_lock(sse_registry_file_t *file, const char *path)
{
    char lock[4096];
    struct stat st;

    if (sse_registry_file_is_lock(file, path)) {
        return;
    }
    sse_lmdb_lock_unmap(file->words);
    file->words = NULL;
    if (!stat(lock_of(path, lock, sizeof(lock)), &st)) {
        file->lock_dev = st.st_dev;
        file->lock_ino = st.st_ino;
    }
}

/* The file's one database is always there: that takes no writer's lock. */
static int open_db(sse_registry_file_t *file)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &txn);

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

static int identify(sse_registry_file_t *file)
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

int sse_registry_file_open(sse_registry_file_t *file, const char *path)
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
    check_lock(file, path);
    if ((rc = open_db(file)) || (rc = identify(file))) {
        sse_registry_file_close(file);
    }
    return rc;
}
