/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb_verify.h
 * A check of all of a store while it is used: a walk through each database,
 * whose entries are checked against the others in the same snapshot.
 *
 * Threads: as sse_lmdb_inspect.h says.
 */

#ifndef SSE_LMDB_VERIFY_H
#define SSE_LMDB_VERIFY_H

#include "store/lmdb/sse_lmdb.h"

typedef struct {
    sse_lmdb_t *store;
    MDB_txn *txn;
    sse_lmdb_state_t state;
    const char *why;        /**< what is wrong with the entry at hand */
    int db;                 /**< being walked */
    apr_uint64_t n;         /**< entries of it so far */
    size_t snapshot;        /**< number of the one it was begun in */
    apr_uint64_t sum;       /**< of what lingers, in that snapshot */
    sse_lmdb_owner_t owner; /**< of the channels at hand: what they sum up to */
    size_t len;             /**< bytes of the last entry's key; 0: none yet */
    union {
        apr_uint64_t align;
        char bytes[SSE_STORE_KEY_MAX + 1];
    } last;
} sse_lmdb_verify_t;

/** @return MDB_CORRUPTED, for why */
int sse_lmdb_verify_wrong(sse_lmdb_verify_t *v, const char *why);
/** Whether there is such a key.
 *  @return LMDB's code, MDB_NOTFOUND if there is not */
int sse_lmdb_verify_has(sse_lmdb_verify_t *v, int db, void *data, size_t len,
                        MDB_val *val);

/* sse_lmdb_presence_verify.c: an entry of its databases */
int sse_lmdb_presence_verify(sse_lmdb_verify_t *v, const MDB_val *key,
                             const MDB_val *val);
int sse_lmdb_member_verify(sse_lmdb_verify_t *v, const MDB_val *key,
                           const MDB_val *val);
int sse_lmdb_mark_verify(sse_lmdb_verify_t *v, const MDB_val *key,
                         const MDB_val *val);

#endif /* SSE_LMDB_VERIFY_H */
