/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Whether the store's files are still the ones that this child has open.
 *
 * The directory may be removed or replaced while the server runs.  Events
 * written to files that no name leads to are lost with the last child, and a
 * child that starts later does not see them.  So nothing is written then.
 * Reading goes on: subscribers have what there was.
 *
 * Deleted files are noticed before the next write, by one fstat(); files that
 * were moved or replaced within LOOK_EVERY, as that takes two stat(), and what
 * is written meanwhile is in the files that were moved.  A write is possible
 * again when the same files are back.  Other files are left alone: children
 * that have different stores open would serve different histories.  They are
 * used from the next restart on, which all children take part in. */

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "store/lmdb/sse_lmdb.h"

#define LOOK_EVERY apr_time_from_sec(1)

static const char *const names[SSE_LMDB_FILES] = {"data.mdb", "lock.mdb"};

int sse_lmdb_path(const sse_lmdb_conf_t *conf, const char *name,
                  char path[SSE_LMDB_PATH_MAX])
{
    int len = snprintf(path, SSE_LMDB_PATH_MAX, "%s/%s", conf->dir, name);

    return len < SSE_LMDB_PATH_MAX ? 0 : ENAMETOOLONG;
}

int sse_lmdb_files_find(const sse_lmdb_conf_t *conf, sse_lmdb_file_t *files)
{
    char path[SSE_LMDB_PATH_MAX];
    struct stat st;
    int i, rc;

    for (i = 0; i < SSE_LMDB_FILES; ++i) {
        if ((rc = sse_lmdb_path(conf, names[i], path)) ||
            (rc = stat(path, &st) ? errno : 0)) {
            return rc;
        }
        files[i].dev = st.st_dev;
        files[i].ino = st.st_ino;
    }
    return 0;
}

static int is_same(const sse_lmdb_file_t *a, const sse_lmdb_file_t *b)
{
    return a->dev == b->dev && a->ino == b->ino;
}

int sse_lmdb_files_compare(const sse_lmdb_t *store)
{
    sse_lmdb_file_t found[SSE_LMDB_FILES];
    int rc;

    if (!store->files[0].ino) {
        return 0; /* not known yet: any will do */
    }
    rc = sse_lmdb_files_find(store->conf, found);
    return rc ? rc
           : is_same(&store->files[0], &found[0]) &&
                   is_same(&store->files[1], &found[1])
               ? 0
               : ESTALE;
}

int sse_lmdb_files_note(sse_lmdb_t *store)
{
    sse_lmdb_file_t opened;
    struct stat st;
    int fd, rc = 0;

    if (!store->files[0].ino) {
        rc = sse_lmdb_files_find(store->conf, store->files);
    }
    if (rc || (rc = mdb_env_get_fd(store->env, &fd)) ||
        (rc = fstat(fd, &st) ? errno : 0)) {
        return rc;
    }
    opened.dev = st.st_dev;
    opened.ino = st.st_ino;
    /* They may have been replaced while they were opened. */
    return is_same(&opened, &store->files[0]) ? 0 : ESTALE;
}

static int is_deleted(const sse_lmdb_t *store)
{
    struct stat st;
    int fd;

    return !mdb_env_get_fd(store->env, &fd) && !fstat(fd, &st) && !st.st_nlink;
}

static void tell(sse_lmdb_t *store, int is_replaced)
{
    int was_replaced =
        __atomic_exchange_n(&store->is_replaced, is_replaced, __ATOMIC_ACQ_REL);

    if (is_replaced && !was_replaced) {
        __atomic_store_n(
            &store->report,
            "the event store's files were replaced: publishers are refused, "
            "and subscribers have what was in the old files; restart the "
            "server gracefully to use the new ones, or put the old ones back",
            __ATOMIC_RELEASE);
    }
}

int sse_lmdb_files_look(sse_lmdb_t *store)
{
    apr_time_t now = apr_time_now();
    apr_time_t looked = __atomic_load_n(&store->looked, __ATOMIC_RELAXED);
    int rc;

    if (now >= looked && now - looked < LOOK_EVERY) {
        return is_deleted(store) ? ENOENT : 0;
    }
    rc = sse_lmdb_files_compare(store);
    if (!rc) {
        __atomic_store_n(&store->looked, now, __ATOMIC_RELAXED);
    }
    tell(store, rc == ESTALE);
    return rc;
}
