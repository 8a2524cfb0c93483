/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Whether the store's files are still the ones that the children have open.
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

static const char *const names[] = {"data.mdb", "lock.mdb"};

int sse_lmdb_path(const sse_lmdb_conf_t *conf, const char *name,
                  char path[SSE_LMDB_PATH_MAX])
{
    int len = snprintf(path, SSE_LMDB_PATH_MAX, "%s/%s", conf->dir, name);

    return len < SSE_LMDB_PATH_MAX ? 0 : ENAMETOOLONG;
}

/* Which files are there: FNV-1a over what the kernel knows them by, whatever
 * their names; never 0.
 * @param data out: data.mdb. @return 0, or an errno: one is missing */
static int find(const sse_lmdb_conf_t *conf, apr_uint64_t *digest,
                struct stat *data)
{
    char path[SSE_LMDB_PATH_MAX];
    struct stat st;
    int i, rc;

    *digest = APR_UINT64_C(0xcbf29ce484222325);
    for (i = (int)(sizeof(names) / sizeof(names[0])) - 1; i >= 0; --i) {
        if ((rc = sse_lmdb_path(conf, names[i], path)) ||
            (rc = stat(path, &st) ? errno : 0)) {
            return rc;
        }
        *digest = (*digest ^ st.st_dev) * APR_UINT64_C(0x100000001b3);
        *digest = (*digest ^ st.st_ino) * APR_UINT64_C(0x100000001b3);
    }
    *data = st;
    *digest |= !*digest;
    return 0;
}

void sse_lmdb_files_set(const sse_lmdb_conf_t *conf)
{
    apr_uint64_t found;
    struct stat data;

    if (!find(conf, &found, &data)) {
        __atomic_store_n(conf->files, found, __ATOMIC_RELAXED);
    }
}

int sse_lmdb_files_compare(const sse_lmdb_t *store)
{
    apr_uint64_t known = __atomic_load_n(store->conf->files, __ATOMIC_RELAXED);
    apr_uint64_t found;
    struct stat data;
    int rc = known ? find(store->conf, &found, &data) : 0;

    return known && !rc && found != known ? ESTALE : rc;
}

int sse_lmdb_files_note(const sse_lmdb_t *store)
{
    apr_uint64_t found, known = 0;
    struct stat data, opened;
    int fd, rc = find(store->conf, &found, &data);

    if (rc || (rc = mdb_env_get_fd(store->env, &fd)) ||
        (rc = fstat(fd, &opened) ? errno : 0)) {
        return rc;
    }
    /* They may have been replaced while they were opened. */
    if (opened.st_dev != data.st_dev || opened.st_ino != data.st_ino) {
        return ESTALE;
    }
    return __atomic_compare_exchange_n(store->conf->files, &known, found, 0,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED) ||
                   known == found
               ? 0
               : ESTALE;
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
