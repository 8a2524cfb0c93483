/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_members.h
 * A subscription's channels: after which id it gets each one's events, and up
 * to which id it knows what is missing of the channel's history.
 *
 * The first members are part of the subscription's own memory, since many small
 * pieces would keep the C library from giving memory back.  Later ones are
 * malloc'ed.
 *
 * Threads: the loop's, once the subscription is attached.
 */

#ifndef SSE_MEMBERS_H
#define SSE_MEMBERS_H

#include "hub/sse_channels.h"
#include "store/sse_store.h"

/** So many keys are kept on the stack. */
#define SSE_FEW_KEYS 4

static inline sse_id_t sse_id_earlier(sse_id_t a, sse_id_t b)
{
    return a < b ? a : b;
}

static inline sse_id_t sse_id_later(sse_id_t a, sse_id_t b)
{
    return a > b ? a : b;
}

/** A subscription's membership in one channel. */
typedef struct sse_member_t {
    sse_link_t link;
    sse_id_t since; /* events up to this one are not for it */
    sse_id_t lost;  /* up to here, what is missing of its history is known */
    sse_id_t again; /* it was added once more, with that as since; or 0 */
    struct sse_presence_entry_t *presence; /* NULL: none */
    SLIST_ENTRY(sse_member_t) next;
    int is_inner; /* part of the subscription's memory */
    apr_size_t len;
    char key[];
} sse_member_t;

/** All members of a subscription; all zero at first. */
typedef struct {
    SLIST_HEAD(, sse_member_t) list;
    int n;
} sse_members_t;

/** The bytes of a member, aligned for another one to follow. */
apr_size_t sse_members_size(sse_slice_t key);

/** Add a member, not linked, of a channel that has none here.
 *  @param room sse_members_size() bytes of the subscription; NULL: malloc'ed */
sse_member_t *sse_members_add(sse_members_t *members, void *subscription,
                              sse_slice_t key, sse_id_t since, void *room);

/** Remove and free a member that is no longer linked. */
void sse_members_remove(sse_members_t *members, sse_member_t *member);

/** This channel's member, or NULL. */
sse_member_t *sse_members_find(const sse_members_t *members, sse_slice_t key);

/** The channel's key, whose bytes are the member's. */
sse_slice_t sse_members_key(const sse_member_t *member);

/** The store has gone back, and last is its newest id. */
void sse_members_go_back(sse_members_t *members, sse_id_t last);

/** Channels as arguments for the store; the keys' bytes are the members'. */
typedef struct {
    int n;
    sse_slice_t *keys;
    sse_id_t *lost;
    sse_slice_t few_keys[SSE_FEW_KEYS];
    sse_id_t few_lost[SSE_FEW_KEYS];
} sse_keys_t;

/** Get the channels that may have events for the subscription up to that id. */
void sse_members_keys(const sse_members_t *members, sse_id_t upto,
                      sse_keys_t *keys);
void sse_members_free_keys(sse_keys_t *keys);

/** Take over keys->lost, which the store has updated.
 *  @param upto as for sse_members_keys() */
void sse_members_learn(sse_members_t *members, sse_id_t upto,
                       const sse_keys_t *keys);

#endif /* SSE_MEMBERS_H */
