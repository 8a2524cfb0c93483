/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* How large a store may become whose size= nobody has set.  By default it is
 * below DefaultRuntimeDir, often a file system in memory that others need as
 * well, so it takes no more than a part of what is free there. */

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <apr_strings.h>

#include "store/sse_lmdb.h"

#define PART 4

/* Of the file system that the directory is on, or will be. */
static int find_free(const char *dir, apr_pool_t *pool, struct statvfs *vfs)
{
    char *path = apr_pstrdup(pool, dir), *slash;

    while (statvfs(path, vfs)) {
        slash = strrchr(path, '/');
        if (!slash || !path[1]) {
            return 0;
        }
        slash[slash == path] = '\0';
    }
    return 1;
}

/* What the store itself takes is there for it. */
static apr_uint64_t taken(const char *dir, apr_pool_t *pool)
{
    struct stat st;

    return stat(apr_pstrcat(pool, dir, "/data.mdb", NULL), &st)
               ? 0
               : (apr_uint64_t)st.st_blocks * 512;
}

void sse_lmdb_size_default(sse_store_conf_t *conf, apr_pool_t *pool)
{
    struct statvfs vfs;
    apr_uint64_t part;

    if (!find_free(conf->dir, pool, &vfs)) {
        return;
    }
    conf->room =
        (apr_uint64_t)vfs.f_bavail * vfs.f_frsize + taken(conf->dir, pool);
    part = conf->room / PART & ~APR_UINT64_C(65535);
    if (!conf->is_sized && part < conf->size) {
        conf->size = part > SSE_LMDB_SIZE_MIN ? part : SSE_LMDB_SIZE_MIN;
        conf->is_cut = 1;
    }
}

static const char *megabytes(apr_pool_t *pool, apr_uint64_t bytes)
{
    return apr_psprintf(pool, "%" APR_UINT64_T_FMT "m", bytes >> 20);
}

const char *sse_lmdb_remark(const sse_store_conf_t *conf, apr_pool_t *pool)
{
    if (conf->is_cut) {
        return apr_psprintf(
            pool,
            "the store in %s may take %s, a quarter of the %s that are free "
            "there, and not the default of 1g; set size= for another, and dir= "
            "for a directory with more room",
            conf->dir, megabytes(pool, conf->size),
            megabytes(pool, conf->room));
    }
    if (conf->room && conf->size > conf->room) {
        return apr_psprintf(
            pool,
            "the store in %s may take %s, as size= says, but %s are free "
            "there: publishers will be refused when the disk is full; lower "
            "size=, or make room",
            conf->dir, megabytes(pool, conf->size),
            megabytes(pool, conf->room));
    }
    return NULL;
}
