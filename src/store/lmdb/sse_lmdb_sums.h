/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb_sums.h
 * The rest of sse_lmdb.h, which includes it: the databases as a whole, how much
 * each owner takes, what removed channels have lost, the store's time.
 *
 * Threads: as sse_lmdb.h says.
 */

#ifndef SSE_LMDB_SUMS_H
#define SSE_LMDB_SUMS_H

#include "store/lmdb/sse_lmdb.h"

/* sse_lmdb_dbs.c: the databases */
/** Those that may be missing are then 0.
 *  @return MDB_NOTFOUND: there are none, or those of an earlier version */
int sse_lmdb_dbs_find(MDB_txn *txn, MDB_dbi *db);
/** In a write transaction: the databases, made as far as they are missing; of a
 *  new store the origin is the time, but above that id. */
int sse_lmdb_dbs_open(MDB_txn *txn, MDB_dbi *db, sse_id_t above);
/** What the state of a store that is begun, or upgraded, has of its own. */
int sse_lmdb_state_init(sse_lmdb_state_t *state, MDB_txn *txn);
/** The state record of any version; zeros for members that it does not have.
 *  @return MDB_CORRUPTED: it is no store's */
int sse_lmdb_state_read(MDB_txn *txn, MDB_dbi meta, sse_lmdb_state_t *state);
/** The same, of this version only. @return MDB_VERSION_MISMATCH: of another */
int sse_lmdb_state_get(MDB_txn *txn, MDB_dbi meta, sse_lmdb_state_t *state);
/** Write it, as of this transaction. */
int sse_lmdb_state_put(MDB_txn *txn, MDB_dbi meta, sse_lmdb_state_t *state);

/* sse_lmdb_owner.c: what owners and channels take, and who takes most */
/** The owner's part of a channel's key. */
sse_slice_t sse_lmdb_owner_of(sse_slice_t key);
/** Take the channel's owner in hand, which is made at need. */
int sse_lmdb_owner_use(sse_lmdb_write_t *w, sse_slice_t key);
/** Write it back. */
int sse_lmdb_owner_done(sse_lmdb_write_t *w);
/** The channel at hand is new, or goes. */
void sse_lmdb_owner_add(sse_lmdb_write_t *w, int channels);
/** The channel at hand has events of that room more, or less. */
void sse_lmdb_owner_grow(sse_lmdb_write_t *w, apr_uint64_t room);
void sse_lmdb_owner_shrink(sse_lmdb_write_t *w, apr_uint64_t room);
/** What a channel of such a key takes itself. */
apr_uint64_t sse_lmdb_channel_room(apr_size_t key_len);
/** Its entry in weights, which is kept about where it belongs. */
int sse_lmdb_weight_put(sse_lmdb_write_t *w);
int sse_lmdb_weight_del(sse_lmdb_write_t *w);
/** The class that a room is in; larger is larger. */
unsigned int sse_lmdb_weight_class(apr_uint64_t room);
/** A key of weights. */
#define SSE_LMDB_WEIGHT_KEY 17
void sse_lmdb_weight_set(unsigned char buf[SSE_LMDB_WEIGHT_KEY],
                         apr_uint64_t parent, apr_uint64_t class,
                         apr_uint64_t number);
/** Its parts. @return whether it is one */
int sse_lmdb_weight_get(const MDB_val *key, apr_uint64_t *parent,
                        apr_uint64_t *class, apr_uint64_t *number);
/** Take in hand a channel of the largest owner, or, if that is not NULL, of
 *  this one: its largest, or one without history where the channels themselves
 *  are what takes most.  @return MDB_NOTFOUND: there is none */
int sse_lmdb_weight_find(sse_lmdb_write_t *w, const sse_slice_t *owner);

/* sse_lmdb_floor.c: what channels that are gone have lost */
int sse_lmdb_floor_get(sse_lmdb_t *store, MDB_txn *txn,
                       const sse_lmdb_state_t *state, sse_slice_t key,
                       sse_id_t *floor);
int sse_lmdb_floor_raise(sse_lmdb_write_t *w, sse_slice_t key, sse_id_t id);
unsigned int sse_lmdb_floor_bits(apr_uint64_t map_size);

/* sse_lmdb_clock.c: the store's time */
/** What this boot of the machine is called; "" where it has no name. */
void sse_lmdb_boot_name(char name[64]);
apr_uint64_t sse_lmdb_boot(void);
/** The time it is in a store of this state. */
apr_time_t sse_lmdb_now(const sse_lmdb_t *store, const sse_lmdb_state_t *state);
/** The same, and it runs on from there. */
apr_time_t sse_lmdb_clock_set(const sse_lmdb_t *store, sse_lmdb_state_t *state);

/* sse_lmdb_upgrade.c: a store of an earlier version */
/** Whether a store of that version can be upgraded. */
#define SSE_LMDB_IS_OLD(version) ((version) == 1)
/** Its databases are open, the new ones empty. */
int sse_lmdb_upgrade(MDB_txn *txn, const MDB_dbi *db,
                     const sse_lmdb_state_t *old);

#endif /* SSE_LMDB_SUMS_H */
