/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb_prepare.h
 * The parent's part: the directory (sse_lmdb_dir.c), and the store in it
 * (sse_lmdb_prepare.c).
 *
 * The parent, often root, changes nothing that the children's user could have
 * led it to.  It makes a directory, or gives one away, only where no other user
 * than itself and root can change where the path leads; all else is done by a
 * short-lived process under the children's user.
 *
 * Threads: the parent's one.
 */

#ifndef SSE_LMDB_PREPARE_H
#define SSE_LMDB_PREPARE_H

#include "store/lmdb/sse_lmdb.h"

typedef struct {
    const sse_lmdb_conf_t *conf;
    apr_uid_t uid; /**< the children's user; (apr_uid_t)-1: the current one */
    apr_gid_t gid;
    const char **notice;
    apr_pool_t *pool;
    int is_test;       /**< nothing is made or given */
    int is_missing;    /**< out: it is not there, and was not made */
    int is_given;      /**< out: it is, or in a test would be, given away */
    int is_safe;       /**< out: only root can lead its path elsewhere */
    const char *at;    /**< out: the part of the path that exists */
    const char *aside; /**< the name of a store that is kept aside */
} sse_lmdb_prepare_t;

/** A user's name. */
const char *sse_lmdb_prepare_name(const sse_lmdb_prepare_t *job, apr_uid_t uid);
/** The name of the children's user. */
const char *sse_lmdb_prepare_user(const sse_lmdb_prepare_t *job);
/** Set the notice to what the administrator has to do. @return err */
apr_status_t sse_lmdb_prepare_refuse(const sse_lmdb_prepare_t *job, int err,
                                     const char *what);

/** Whether root prepares the store for another user. */
int sse_lmdb_prepare_is_root(const sse_lmdb_prepare_t *job);

/** sse_lmdb_dir.c: the directory, made and given where that may be done. */
apr_status_t sse_lmdb_dir_make(sse_lmdb_prepare_t *job);

#endif /* SSE_LMDB_PREPARE_H */
