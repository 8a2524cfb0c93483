/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "shared/sse_quota.h"

#include <apr_general.h>
#include <apr_md5.h>
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "sse_atomic.h"

/* So many entries are looked at for a free one: before a new one is touched,
 * and where there is no new one left. */
#define LOOK_FIRST 32
#define LOOK_LAST  1024

/* Owner and count in one word.  Only the lock's holder takes a word with count
 * 0 for another owner; only the owner counts down; the parent empties those of
 * a dead owner, whom nobody else touches then. */
#define WORD(pid, count) ((apr_uint64_t)(apr_uint32_t)(pid) << 32 | (count))
#define OWNER(word)      ((pid_t)((word) >> 32))
#define COUNT(word)      ((apr_uint32_t)(word))

typedef struct {
    apr_uint64_t word;   /* atomic; see WORD */
    sse_quota_key_t key; /* lock; of no meaning while the count is 0 */
    apr_uint32_t next;   /* lock: the chain's next; index and 1; 0: none */
} entry_t;

/* A stretch of the entries.  Used up from its beginning, so that what was never
 * needed is never touched. */
typedef struct {
    apr_uint32_t first, size; /* const */
    apr_uint32_t used;        /* atomic; changed under lock */
    apr_uint32_t hand;        /* lock: where to look for a free one next */
} region_t;

struct sse_quota_t {
    pthread_mutex_t lock;
    region_t clients, totals;
    apr_uint64_t seeds[2]; /* const: nobody outside can aim at one chain */
    apr_uint32_t mask;     /* const: chains, a power of 2, less 1 */
    apr_uint32_t entries;  /* const */
    apr_uint32_t deaths;   /* atomic */
    /* entry_t each, then the chains' first, index and 1 each */
};

static entry_t *entries_of(sse_quota_t *quota)
{
    return (entry_t *)(quota + 1);
}

static apr_uint32_t *chains_of(sse_quota_t *quota)
{
    return (apr_uint32_t *)(entries_of(quota) + quota->entries);
}

/* -- Making it ------------------------------------------------------------- */

static apr_uint32_t chains_for(apr_uint32_t entries)
{
    apr_uint32_t chains = 16;

    while (chains < entries) {
        chains *= 2;
    }
    return chains;
}

apr_size_t sse_quota_size(apr_uint32_t clients, apr_uint32_t totals)
{
    apr_uint32_t entries = clients + totals;

    return sizeof(sse_quota_t) + entries * sizeof(entry_t) +
           chains_for(entries) * sizeof(apr_uint32_t);
}

static apr_status_t init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;
    int rv = pthread_mutexattr_init(&attr);

    if (rv) {
        return rv;
    }
    rv = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (!rv) {
        rv = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    }
    if (!rv) {
        rv = pthread_mutex_init(lock, &attr);
    }
    pthread_mutexattr_destroy(&attr);
    return rv;
}

apr_status_t sse_quota_init(sse_quota_t *quota, apr_uint32_t clients,
                            apr_uint32_t totals)
{
    apr_status_t rv = init_lock(&quota->lock);

    if (rv == APR_SUCCESS) {
        rv = apr_generate_random_bytes((unsigned char *)quota->seeds,
                                       sizeof(quota->seeds));
    }
    quota->entries = clients + totals;
    quota->mask = chains_for(quota->entries) - 1;
    quota->totals.size = totals;
    quota->clients.first = totals;
    quota->clients.size = clients;
    return rv;
}

/* -- Keys ------------------------------------------------------------------ */

void sse_quota_key(sse_quota_key_t *key, sse_quota_kind_e kind,
                   const char *text)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0,    0,
                                             0, 0, 0, 0, 0xff, 0xff};

    key->kind = kind;
    memcpy(key->id, mapped, sizeof(mapped));
    if (inet_pton(AF_INET, text, key->id + sizeof(mapped)) != 1 &&
        inet_pton(AF_INET6, text, key->id) != 1) {
        apr_md5(key->id, text, strlen(text));
    }
}

static int is_same(const sse_quota_key_t *a, const sse_quota_key_t *b)
{
    return a->kind == b->kind && !memcmp(a->id, b->id, sizeof(a->id));
}

/* Each bit of x changes half of the result's (MurmurHash3's finalizer). */
static apr_uint64_t mix(apr_uint64_t x)
{
    x = (x ^ x >> 33) * APR_UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * APR_UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

/* Where the chain of a key begins. */
static apr_uint32_t *chain_of(sse_quota_t *quota, const sse_quota_key_t *key)
{
    apr_uint64_t half[2], hash;

    memcpy(half, key->id, sizeof(half));
    hash = mix(half[0] ^ key->kind ^ quota->seeds[0]);
    hash = mix(hash ^ half[1] ^ quota->seeds[1]);
    return chains_of(quota) + (hash & quota->mask);
}

/* -- The chains: all under the lock ---------------------------------------- */

/* A process may be killed between any two instructions here, and the next
 * holder of the lock takes the chains as they are.  So an entry is added and
 * removed by one store each, with the stores around it in the order in which
 * they are written: at worst an entry that is free is left in no chain. */
static void keep_order(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

static void link_entry(sse_quota_t *quota, apr_uint32_t index)
{
    entry_t *entry = entries_of(quota) + index;
    apr_uint32_t *chain = chain_of(quota, &entry->key);

    entry->next = *chain;
    keep_order();
    *chain = index + 1;
    keep_order();
}

/* A free entry may be in its last key's chain, or in none. */
static void unlink_entry(sse_quota_t *quota, apr_uint32_t index)
{
    entry_t *entries = entries_of(quota);
    apr_uint32_t *link = chain_of(quota, &entries[index].key);

    while (*link && *link != index + 1) {
        link = &entries[*link - 1].next;
    }
    if (*link) {
        *link = entries[index].next;
        keep_order();
    }
}

static void acquire(sse_quota_t *quota)
{
    if (pthread_mutex_lock(&quota->lock) == EOWNERDEAD) {
        sse_atomic_add(&quota->deaths, 1);
        pthread_mutex_consistent(&quota->lock);
    }
}

/* Going round, so that each is looked at as often as the others. */
static apr_uint32_t find_free(sse_quota_t *quota, region_t *region,
                              apr_uint32_t most)
{
    entry_t *entries = entries_of(quota);
    apr_uint32_t index;

    for (most = most < region->used ? most : region->used; most; --most) {
        region->hand = (region->hand + 1) % region->used;
        index = region->first + region->hand;
        if (!COUNT(sse_atomic_load(&entries[index].word))) {
            unlink_entry(quota, index);
            return index + 1;
        }
    }
    return 0;
}

/* An entry in no chain, whose key is this. @return index and 1; 0: none left */
static apr_uint32_t make_entry(sse_quota_t *quota, const sse_quota_key_t *key)
{
    region_t *region =
        key->kind == SSE_QUOTA_CLIENT ? &quota->clients : &quota->totals;
    int is_used_up = region->used == region->size;
    apr_uint32_t found =
        find_free(quota, region, is_used_up ? LOOK_LAST : LOOK_FIRST);

    if (!found && !is_used_up) {
        found = region->first + region->used + 1;
        sse_atomic_add(&region->used, 1);
    }
    if (found) {
        entries_of(quota)[found - 1].key = *key;
        link_entry(quota, found - 1);
    }
    return found;
}

/* -- Taking ---------------------------------------------------------------- */

/* How many a key has. @param mine out: index and 1 of the entry that this
 * process has of it, else of a free one; 0: neither */
static apr_uint32_t count(sse_quota_t *quota, const sse_quota_key_t *key,
                          pid_t pid, apr_uint32_t *mine)
{
    entry_t *entries = entries_of(quota), *entry;
    apr_uint32_t i, n, all = 0, vacant = 0;
    apr_uint64_t word;

    *mine = 0;
    for (i = *chain_of(quota, key); i; i = entry->next) {
        entry = &entries[i - 1];
        if (!is_same(&entry->key, key)) {
            continue;
        }
        word = sse_atomic_load(&entry->word);
        n = COUNT(word);
        all += n;
        if (OWNER(word) == pid && n) {
            *mine = i;
        }
        else if (!n) {
            vacant = i;
        }
    }
    if (!*mine) {
        *mine = vacant;
    }
    return all;
}

/* Under the lock, with fewer than the limit: one more for this process.  An
 * entry that was free when it was found may have become another key's since;
 * and other threads of this process may give back meanwhile. */
static apr_uint32_t add(sse_quota_t *quota, const sse_quota_key_t *key,
                        pid_t pid, apr_uint32_t found)
{
    entry_t *entries = entries_of(quota);
    apr_uint64_t word;

    if (!found || !is_same(&entries[found - 1].key, key)) {
        found = make_entry(quota, key);
    }
    if (found) {
        do {
            word = sse_atomic_load(&entries[found - 1].word);
        } while (!sse_atomic_cas(&entries[found - 1].word, word,
                                 WORD(pid, COUNT(word) + 1)));
    }
    return found;
}

static sse_quota_e take_all(sse_quota_t *quota, pid_t pid,
                            const sse_quota_want_t *wants, int n,
                            sse_quota_claim_t *claim, int *which)
{
    apr_uint32_t found[SSE_QUOTA_KINDS];
    sse_quota_e result = SSE_QUOTA_TAKEN;
    int i;

    for (i = 0; i < n; ++i) {
        if (count(quota, &wants[i].key, pid, &found[i]) >= wants[i].limit) {
            *which = i;
            return SSE_QUOTA_REFUSED;
        }
    }
    for (i = 0; i < n; ++i) {
        claim->entries[i] = add(quota, &wants[i].key, pid, found[i]);
        if (claim->entries[i]) {
            continue;
        }
        if (wants[i].key.kind != SSE_QUOTA_CLIENT) {
            *which = i;
            sse_quota_release(quota, claim);
            return SSE_QUOTA_FULL;
        }
        result = SSE_QUOTA_UNCOUNTED;
    }
    return result;
}

sse_quota_e sse_quota_acquire(sse_quota_t *quota, pid_t pid,
                              const sse_quota_want_t *wants, int n,
                              sse_quota_claim_t *claim, int *which)
{
    sse_quota_e result;

    memset(claim, 0, sizeof(*claim));
    acquire(quota);
    result = take_all(quota, pid, wants, n, claim, which);
    pthread_mutex_unlock(&quota->lock);
    return result;
}

/* -- Giving back ----------------------------------------------------------- */

void sse_quota_release(sse_quota_t *quota, sse_quota_claim_t *claim)
{
    int i;

    for (i = 0; i < SSE_QUOTA_KINDS; ++i) {
        if (claim->entries[i]) {
            sse_atomic_sub(&entries_of(quota)[claim->entries[i] - 1].word, 1);
            claim->entries[i] = 0;
        }
    }
}

static void empty_region(sse_quota_t *quota, region_t *region, pid_t pid)
{
    entry_t *entry = entries_of(quota) + region->first;
    entry_t *end = entry + sse_atomic_load(&region->used);
    apr_uint64_t word;

    for (; entry < end; ++entry) {
        word = sse_atomic_load(&entry->word);
        if (OWNER(word) == pid && COUNT(word)) {
            sse_atomic_store(&entry->word, WORD(pid, 0));
        }
    }
}

/* A word with a count is its owner's alone, and the owner is dead. */
void sse_quota_leave(sse_quota_t *quota, pid_t pid)
{
    empty_region(quota, &quota->totals, pid);
    empty_region(quota, &quota->clients, pid);
}

/* -- Looking --------------------------------------------------------------- */

apr_uint32_t sse_quota_count(sse_quota_t *quota, const sse_quota_key_t *key)
{
    apr_uint32_t ignored, n;

    acquire(quota);
    n = count(quota, key, 0, &ignored);
    pthread_mutex_unlock(&quota->lock);
    return n;
}

apr_uint32_t sse_quota_deaths(const sse_quota_t *quota)
{
    return sse_atomic_load(&quota->deaths);
}
