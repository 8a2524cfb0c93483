/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb_presence.h
 * Who is on a channel, in the store: exact over all children, and after any of
 * them was killed.  A change and its event are one transaction.
 *
 *   presence  channel key -> sse_lmdb_presence_t: the channels that have
 *             members.  Its number is none of the channel in "channels": who
 *             publishes, or deletes, does not touch the members.
 *   members   presence number, member number (big-endian) -> a header and the
 *             member's parts: in the order in which they joined
 *   marks     a kind and a value, then both numbers -> nothing: where a member
 *             is found.  No change takes longer because others are there:
 *
 *     kind    of which members       value
 *     DUE     those that wait        the store's time when it is over
 *     OWNER   those that do not      the child, after its length
 *     PERSON  those that wait        a hash of person and user
 *     STREAM  all                    a hash of the stream
 *     USER    those that have one    a hash of the user
 *
 * In the last three the presence number stands before the value, so that the
 * marks of one channel are together.  A hash is of the store's secret, and only
 * a hint: what it leads to is compared.
 *
 * Room: these databases' pages count as all others do, so events are evicted
 * for them; members never are.  A JOIN fails where they take half of what may
 * be used, as events need room, too.
 *
 * Earlier modules with stores of this version (of before 0.2.0 was released) do
 * not know these databases.  They open such a store and leave them alone: they
 * take their pages for free ones, which the rest of the map bears, and members
 * stay until a newer module's children find that the members' own children are
 * gone.  A store without them gets them when it is prepared, or, if that fails,
 * with the first change; until then nobody is on any channel.
 *
 * Threads: as sse_lmdb.h says.
 */

#ifndef SSE_LMDB_PRESENCE_H
#define SSE_LMDB_PRESENCE_H

#include "store/lmdb/sse_lmdb.h"

typedef struct {
    apr_uint64_t number;  /**< of those of channels and owners; never reused */
    apr_uint64_t streams; /**< members */
    apr_uint64_t users;   /**< distinct ones among them */
} sse_lmdb_presence_t;

enum {
    SSE_PART_CHANNEL, /**< the channel's key */
    SSE_PART_NAME,
    SSE_PART_STREAM,
    SSE_PART_PERSON,
    SSE_PART_USER,
    SSE_PART_OWNER,
    SSE_PART_TEXT,
    /* Of the event that tells of its leaving, while it waits. */
    SSE_PART_TO, /**< the key of the event's channel; empty: there is none */
    SSE_PART_EVENT,
    SSE_PART_DATA,
    SSE_PART_KEY, /**< idempotency key */
    SSE_PART_COUNT
};

/** A member, parsed. */
typedef struct {
    apr_uint64_t channel; /**< presence number */
    apr_uint64_t number;
    apr_time_t since;
    apr_time_t due; /**< the store's; 0: its stream is open */
    sse_slice_t parts[SSE_PART_COUNT];
    int has_event; /**< SSE_PART_EVENT is one, if empty */
    apr_int64_t retry;
    sse_history_t history;
} sse_lmdb_member_t;

typedef enum {
    SSE_MARK_DUE = 1,
    SSE_MARK_OWNER,
    SSE_MARK_PERSON,
    SSE_MARK_STREAM,
    SSE_MARK_USER
} sse_lmdb_mark_e;

typedef struct {
    sse_lmdb_mark_e kind;
    apr_uint64_t value; /**< but for OWNER */
    sse_slice_t owner;  /**< OWNER */
    apr_uint64_t channel, member;
} sse_lmdb_mark_t;

#define SSE_LMDB_MARK_KEY (2 + SSE_STORE_OWNER_MAX + 16)
#define SSE_LMDB_MARKS    4 /**< that one member has, at most */

/* sse_lmdb_presence_record.c: members and marks, to bytes and back */
int sse_lmdb_presence_get(sse_lmdb_t *store, MDB_txn *txn, sse_slice_t channel,
                          sse_lmdb_presence_t *presence);
/** @return whether it is one; its slices are into the value */
int sse_lmdb_member_parse(const MDB_val *key, const MDB_val *val,
                          sse_lmdb_member_t *member);
/** @param val NULL, or out: its bytes */
int sse_lmdb_member_get(sse_lmdb_t *store, MDB_txn *txn, apr_uint64_t channel,
                        apr_uint64_t number, sse_lmdb_member_t *member,
                        MDB_val *val);
/** None of its slices may be into the map. */
int sse_lmdb_member_put(sse_lmdb_write_t *w, const sse_lmdb_member_t *member);
/** @return how many bytes the key has */
apr_size_t sse_lmdb_mark_set(unsigned char buf[SSE_LMDB_MARK_KEY],
                             const sse_lmdb_mark_t *mark);
/** @return whether it is one */
int sse_lmdb_mark_get(const MDB_val *key, sse_lmdb_mark_t *mark);
/** The marks that a member has. @return how many */
int sse_lmdb_marks_of(const sse_lmdb_state_t *state,
                      const sse_lmdb_member_t *member,
                      sse_lmdb_mark_t marks[SSE_LMDB_MARKS]);
int sse_lmdb_mark_is(const sse_lmdb_mark_t *a, const sse_lmdb_mark_t *b);
/** The first member of the channel that has the mark of that kind that this one
 *  has (or would have, if it waited), and is the same there.
 *  @param val NULL, or out: its bytes
 *  @return MDB_NOTFOUND: there is none */
int sse_lmdb_member_like(sse_lmdb_t *store, MDB_txn *txn,
                         const sse_lmdb_state_t *state, sse_lmdb_mark_e kind,
                         const sse_lmdb_member_t *like,
                         sse_lmdb_member_t *member, MDB_val *val);

/* sse_lmdb_presence.c: changes */
apr_status_t sse_lmdb_presence_change(sse_store_t *store,
                                      sse_presence_t *changes, int n);
/** If there are no databases of presence: look for them, and let a writer make
 *  them. */
int sse_lmdb_presence_open(sse_lmdb_t *store, sse_lmdb_who_e who);

/* sse_lmdb_presence_read.c: readers */
apr_status_t sse_lmdb_members(sse_store_t *store, sse_slice_t channel, int max,
                              sse_store_member_fn *fn, void *baton,
                              sse_id_t *last, apr_uint64_t *streams,
                              apr_uint64_t *users);
apr_status_t sse_lmdb_owners(sse_store_t *store, sse_store_owner_fn *fn,
                             void *baton);
apr_status_t sse_lmdb_members_of(sse_store_t *store, sse_slice_t owner, int max,
                                 sse_store_member_fn *fn, void *baton);
apr_status_t sse_lmdb_members_due(sse_store_t *store, apr_time_t now, int max,
                                  sse_store_member_fn *fn, void *baton);

#endif /* SSE_LMDB_PRESENCE_H */
