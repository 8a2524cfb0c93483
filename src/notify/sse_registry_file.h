/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_registry_file.h
 * The registry's file: LMDB's, with one database, and which file that is.
 *
 * Threads: each file is opened and closed by one.
 */

#ifndef SSE_REGISTRY_FILE_H
#define SSE_REGISTRY_FILE_H

#include <lmdb.h>
#include <sys/types.h>

#include <apr.h>

typedef struct {
    MDB_env *env;
    MDB_dbi db;
    const apr_uint32_t *words; /**< see sse_lmdb_lock_map() */
    dev_t dev;                 /**< which file it is */
    ino_t ino;
    dev_t lock_dev; /**< and its lock file */
    ino_t lock_ino;
} sse_registry_file_t;

/** Open it, and make it where there is none or a damaged one.
 *  @return LMDB's code */
int sse_registry_file_open(sse_registry_file_t *file, const char *path);

void sse_registry_file_close(sse_registry_file_t *file);

/** Whether the lock file at the path is this file's. */
int sse_registry_file_is_lock(const sse_registry_file_t *file,
                              const char *path);

#endif /* SSE_REGISTRY_FILE_H */
