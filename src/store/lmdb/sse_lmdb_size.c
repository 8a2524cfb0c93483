/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The size of a store without size=.  By default its directory is below
 * DefaultRuntimeDir, often a file system in memory that others need as well, so
 * it takes no more than a part of what is free there.  A store that holds more
 * keeps that: its file does not shrink, so less would only cost history. */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <apr_strings.h>

#include "store/lmdb/sse_lmdb.h"

#define PART  4
#define ROUND APR_UINT64_C(65535) /**< sizes are multiples of this and one */

/* The file system that the directory is on, or will be. */
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

/** The beginning of LMDB's file: its first page, where that has 64 bits. */
typedef struct {
    char page[16];
    apr_uint32_t magic, version;
    apr_uint64_t address;
    apr_uint64_t size; /**< the largest that the file was ever opened with */
} head_t;

/* What the store itself takes of the disk.
 * @param size out: the size that it was opened with; 0: not known */
static apr_uint64_t taken(const char *dir, apr_pool_t *pool, apr_uint64_t *size)
{
    int fd = open(apr_pstrcat(pool, dir, "/data.mdb", NULL),
                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    head_t head;
    struct stat st;
    apr_uint64_t bytes = 0;

    *size = 0;
    if (fd < 0) {
        return 0;
    }
    if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
        bytes = (apr_uint64_t)st.st_blocks * 512;
        if (sizeof(void *) == 8 &&
            pread(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
            head.magic == 0xBEEFC0DE) {
            *size = head.size;
        }
    }
    close(fd);
    return bytes;
}

/* The size with which nothing of a file of so many bytes is evicted, all being
 * below sse_lmdb_soft(); but not above its last, or each start adds some. */
static apr_uint64_t keeping(apr_uint64_t bytes, apr_uint64_t size)
{
    apr_uint64_t need = bytes < 4 << 20 ? 2 * bytes : bytes / 5 * 8;

    need = (need + 2 * ROUND) & ~ROUND;
    return need < size ? need : size;
}

void sse_lmdb_size_default(sse_lmdb_conf_t *conf, apr_pool_t *pool)
{
    struct statvfs vfs;
    apr_uint64_t part, least, bytes, size;

    if (!find_free(conf->dir, pool, &vfs)) {
        return;
    }
    bytes = taken(conf->dir, pool, &size);
    conf->room = (apr_uint64_t)vfs.f_bavail * vfs.f_frsize + bytes;
    part = conf->room / PART & ~ROUND;
    least = keeping(bytes, size);
    if (!conf->is_sized && part < least) {
        conf->size = least < conf->size ? least : conf->size;
        conf->is_kept = 1;
    }
    else if (!conf->is_sized && part < conf->size) {
        conf->size = part > SSE_LMDB_SIZE_MIN ? part : SSE_LMDB_SIZE_MIN;
        conf->is_cut = 1;
    }
}

static const char *megabytes(apr_pool_t *pool, apr_uint64_t bytes)
{
    return apr_psprintf(pool, "%" APR_UINT64_T_FMT "m", bytes >> 20);
}

const char *sse_lmdb_remark(const sse_store_conf_t *base, apr_pool_t *pool)
{
    const sse_lmdb_conf_t *conf = (const sse_lmdb_conf_t *)base;
    const char *before, *after;

    if (conf->is_cut) {
        before = "a quarter of the ";
        after = ", and not the default of 1g; set size= for another, and dir= "
                "for a directory with more room";
    }
    else if (conf->is_kept) {
        before = "so that it keeps what it has, which is more than a quarter "
                 "of the ";
        after = "; set size= for another, make room, or move it to a "
                "directory with more";
    }
    else if (conf->room && conf->size > conf->room) {
        before = "as size= says, and not only the ";
        after = ": publishers will be refused when the disk is full; lower "
                "size=, or make room";
    }
    else {
        return NULL;
    }
    return apr_pstrcat(pool, "the store in ", conf->dir, " may take ",
                       megabytes(pool, conf->size), ", ", before,
                       megabytes(pool, conf->room), " that are free there",
                       after, NULL);
}
