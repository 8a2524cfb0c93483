/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_quota.h
 * Who has how many of what is limited, counted over all children of a server.
 *
 * A key is what has a limit: the server, a host, a client's address, the
 * processes of prefork.  A stream
 * takes a place under each of its keys, all of them or none, before it opens,
 * and gives them back when it is over.  A limit of N lets in N, whatever comes
 * at the same time, and refuses none below.
 *
 * The table is in memory that all children share.  Each of its entries is the
 * count of one key for one child, so that a key's count is the sum over its
 * entries, and what a dead child held is known: its entries.  Owner and
 * count are one word, changed as one.  From this follows:
 *
 * - Counts go up under the table's lock only, so that "few enough" stays true
 *   until the place is taken.
 * - They go down without it, by one atomic operation: giving back never waits.
 * - A child that is killed leaves its places to its entries, which the parent
 *   empties; no sum is stored that could be wrong.
 * - What the lock protects besides (which entry stands in which chain) can be
 *   told from the entries alone.  If a child dies with the lock, the next one
 *   makes the chains anew, and nothing is lost.
 *
 * An entry whose count is 0 is free.  There is room for so many pairs of child
 * and client, and, apart from it, of child and server or host.
 *
 * Threads: tagged.  The lock is a leaf, held for some 100 ns, and longer by a
 * few for each child that has streams of the same key.
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

/** A key, and how many may have a place under it. */
typedef struct {
    sse_quota_key_t key;
    apr_uint32_t limit;
} sse_quota_want_t;

/** What one stream has taken.  Its owner's; all zero: nothing. */
typedef struct {
    apr_uint32_t entries[SSE_QUOTA_KINDS]; /**< the index and 1; 0: none */
} sse_quota_claim_t;

typedef enum {
    SSE_QUOTA_TAKEN,
    /** Taken, but for that of the client, as there is no room to count it. */
    SSE_QUOTA_UNCOUNTED,
    SSE_QUOTA_REFUSED, /**< a limit is reached: nothing was taken */
    SSE_QUOTA_FULL     /**< no room to count: nothing was taken */
} sse_quota_e;

/** How much memory it needs for so many pairs of child and client, and of child
 *  and server or host.  Any. */
apr_size_t sse_quota_size(apr_uint32_t clients, apr_uint32_t totals);

/** Make it in that much memory, which is shared and all zero.  Parent. */
apr_status_t sse_quota_init(sse_quota_t *places, apr_uint32_t clients,
                            apr_uint32_t totals);

/** A key of this text: an address ("192.0.2.1" and "::ffff:192.0.2.1" are the
 *  same), or any other text, of which there is a digest.  Any thread. */
void sse_quota_key(sse_quota_key_t *key, sse_quota_kind_e kind,
                   const char *text);

/**
 * Take a place under each of these keys, at most one of each kind.  Any thread
 * that may wait for another one.
 * @param pid this process
 * @param place out: what was taken
 * @param which out: SSE_QUOTA_REFUSED and SSE_QUOTA_FULL: the first of wants
 *        that there is no place for
 */
sse_quota_e sse_quota_acquire(sse_quota_t *places, pid_t pid,
                              const sse_quota_want_t *wants, int n,
                              sse_quota_claim_t *place, int *which);

/** Give back what was taken; once more does nothing.  Any thread of the process
 *  that took it; never waits. */
void sse_quota_release(sse_quota_t *places, sse_quota_claim_t *place);

/** This process has ended: what it had is free.  Parent; never waits. */
void sse_quota_leave(sse_quota_t *places, pid_t pid);

/** How many places are taken under a key, by living and by dead.  Any thread
 *  that may wait. */
apr_uint32_t sse_quota_count(sse_quota_t *places, const sse_quota_key_t *key);

/** How often the chains were made anew after a death.  Any thread. */
apr_uint32_t sse_quota_repairs(const sse_quota_t *places);

#endif /* SSE_QUOTA_H */
