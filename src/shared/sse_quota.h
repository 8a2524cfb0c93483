/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_quota.h
 * The shared counters behind the limits: how many streams each key has, over
 * all children of a server.
 *
 * A key is what has a limit: the server, a host, a client's address, or the
 * processes of prefork.  A stream is counted under each of its keys, all of
 * them or none, from before it opens until it is over.  A limit of N lets in N,
 * whatever comes at the same time, and refuses none below.
 *
 * Each entry of the table, in shared memory, is the count of one key for one
 * child: a key's count is the sum over its entries, and what a dead child held
 * is known.  Owner and count are one word, changed as one.  Hence:
 *
 * - Counts go up under the table's lock only, so that a count below the limit
 *   stays below it until the claim is made.
 * - They go down without the lock, by one atomic operation: a release never
 *   waits.
 * - The parent empties the entries of a child that was killed; there is no
 *   stored sum that could be wrong.
 * - An entry whose count is 0 is free.  Chains find the entries of a key.  They
 *   are changed under the lock by single stores, so that a death with the lock
 *   leaves nothing to repair.
 *
 * There is room for a number of pairs of child and client and, apart from it,
 * of child and server or host.
 *
 * Threads: as stated for each function.  The lock is a leaf, held for some
 * 100 ns, and a few more for each child that has streams of the same key.
 */

#ifndef SSE_QUOTA_H
#define SSE_QUOTA_H

#include <apr_errno.h>
#include <sys/types.h>

/** What its bytes mean: to be raised when that changes. */
#define SSE_QUOTA_LAYOUT 1

typedef struct sse_quota_t sse_quota_t;

typedef enum {
    SSE_QUOTA_SERVER = 1,
    SSE_QUOTA_HOST,
    SSE_QUOTA_CLIENT,
    SSE_QUOTA_PROCESS, /**< prefork: the server's processes */
    SSE_QUOTA_KINDS = SSE_QUOTA_PROCESS
} sse_quota_kind_e;

typedef struct {
    apr_uint32_t kind; /**< sse_quota_kind_e */
    unsigned char id[16];
} sse_quota_key_t;

/** A key, and how many streams it may have. */
typedef struct {
    sse_quota_key_t key;
    apr_uint32_t limit;
} sse_quota_want_t;

/** What one stream is counted under.  Its owner's; all zero: nothing. */
typedef struct {
    apr_uint32_t entries[SSE_QUOTA_KINDS]; /**< the index and 1; 0: none */
} sse_quota_claim_t;

typedef enum {
    SSE_QUOTA_TAKEN,
    /** Taken, but not counted under its client, as the table is full. */
    SSE_QUOTA_UNCOUNTED,
    SSE_QUOTA_REFUSED, /**< a limit is reached: nothing was taken */
    SSE_QUOTA_FULL     /**< the table is full: nothing was taken */
} sse_quota_e;

/** The bytes of a table for so many pairs of child and client, and of child and
 *  server or host.  Any thread. */
apr_size_t sse_quota_size(apr_uint32_t clients, apr_uint32_t totals);

/** Make the table in memory that is shared and all zero.  Parent. */
apr_status_t sse_quota_init(sse_quota_t *quota, apr_uint32_t clients,
                            apr_uint32_t totals);

/** A key of this text: an address ("192.0.2.1" and "::ffff:192.0.2.1" are the
 *  same), or any other text, of which there is a digest.  Any thread. */
void sse_quota_key(sse_quota_key_t *key, sse_quota_kind_e kind,
                   const char *text);

/** Count one more under each of these keys, at most one of each kind.  Any
 *  thread that may block.
 *  @param pid this process
 *  @param claim out: for sse_quota_release()
 *  @param which out: for SSE_QUOTA_REFUSED and SSE_QUOTA_FULL, the first of the
 *         wants that cannot be had */
sse_quota_e sse_quota_acquire(sse_quota_t *quota, pid_t pid,
                              const sse_quota_want_t *wants, int n,
                              sse_quota_claim_t *claim, int *which);

/** Count the claim no longer; a second call does nothing.  Any thread of the
 *  process that made it; never blocks. */
void sse_quota_release(sse_quota_t *quota, sse_quota_claim_t *claim);

/** This process has ended: free what it held.  Parent; never blocks. */
void sse_quota_leave(sse_quota_t *quota, pid_t pid);

/** The count of a key, over processes living and dead.  Any thread that may
 *  block. */
apr_uint32_t sse_quota_count(sse_quota_t *quota, const sse_quota_key_t *key);

/** How many processes have died with the lock.  Any thread. */
apr_uint32_t sse_quota_deaths(const sse_quota_t *quota);

#endif /* SSE_QUOTA_H */
