/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb.h
 * The LMDB store from inside: its file's contents, its threads and locks.
 *
 * The named databases:
 *
 *   meta      "state" -> sse_lmdb_state_t; "boot" -> the boot it was seen in
 *   events    id -> header, channel key, event, idempotency, data: the log
 *   channels  channel key -> sse_lmdb_channel_t
 *   index     channel number, id (big-endian) -> sse_lmdb_entry_t: exactly the
 *             events that are in their channel's history
 *   keys      channel number (big-endian), idempotency key -> id; goes when the
 *             event leaves its history
 *   doomed    id -> time: lingering: in no history, in the log for a while
 *   due       time, channel number (big-endian) -> channel key: when tidy()
 *             has to look at a channel.  One entry per channel at most, never
 *             later than needed; an early one is postponed when it comes up.
 *   graves    number -> nothing: a forgotten channel's old number, whose index
 *             entries are deleted piece by piece
 *   floors    bucket -> id: the highest id that removed channels of this bucket
 *             of keys have lost, see sse_lmdb_floor.c
 *   owners    owner -> sse_lmdb_owner_t: the room that its channels take
 *   weights   parent, class, number -> key: the owners (parent 0) and each
 *             one's channels (parent: the owner's number) by the room that they
 *             take, see sse_lmdb_owner.c
 *   presence, members, marks: who is on a channel, see sse_lmdb_presence.h
 *
 * An event is in events and index, then (out of its history) in events and
 * doomed, then gone.  All of the above is true after every transaction.
 *
 * A forgotten channel gets a new number, so that forgetting costs the same
 * however long its history was.
 *
 * Owner: a channel's key up to and including its first NUL; the module puts
 * the host's namespace there.
 *
 * Room: the pages that the databases take are known exactly (mdb_stat()), and
 * kept below "soft" of the map by evicting records: lingering ones, as far as
 * they take more than an eighth; then the oldest of the largest channel of the
 * largest owner.  So a busy publisher evicts its own events.  The rest of the
 * map is for copy-on-write and for pages that readers still hold; LMDB uses a
 * freed page again two transactions later.  The room of a record,
 * sse_lmdb_room(), is the same when it comes and when it goes, and sums are
 * changed in the transaction that changes what they are of.
 *
 * Time: records have the store's own, which runs on from the newest record
 * however the machine's clock is set: see sse_lmdb_clock.c.
 *
 * Threads and locks.  An environment belongs to one process and is never held
 * across a fork.  Two mutexes in each process, never held together:
 *
 *   gate   guards idle, idle_count, active, alone.  Every transaction, and any
 *          other use of the environment, counts in "active" from begin to end.
 *          A thread that changes the map or the environment needs exclusive
 *          access: it waits until none is active, and keeps others out.  The
 *          loop waits for either for a moment only.
 *   the writer's (sse_lmdb_writer.h), a leaf.  One thread of each process
 *          writes, for all requests that are there when its transaction begins.
 *
 * LMDB's own write mutex (robust, shared by all processes) is waited for with
 * neither held, as that may take for ever.  A write transaction begins and ends
 * on the writer's thread, and no function of other parts runs inside it.
 * Callbacks run inside a read transaction with no lock held.
 *
 * An environment that could not be opened is opened when it is needed; one
 * that LMDB has given up (MDB_PANIC) is closed and opened again.  The files are
 * the same as long as the child lives (sse_lmdb_files.c).
 *
 * Functions here return LMDB's codes: 0, an errno, or MDB_*; those of the
 * provider's table return apr_status_t, by sse_lmdb_status().
 */

#ifndef SSE_LMDB_H
#define SSE_LMDB_H

#include <pthread.h>
#include <string.h>
#include <sys/types.h>

#include <lmdb.h>

#include "store/sse_store_provider.h"
#include "store/lmdb/sse_lmdb_writer.h"

#define SSE_LMDB_MAGIC   0x65737373u
#define SSE_LMDB_VERSION 2 /**< 1: see sse_lmdb_upgrade.c */

/** Threads that read at the same moment, in all children. */
#define SSE_LMDB_READERS 8192
/** Reset read transactions that a child keeps. */
#define SSE_LMDB_IDLE 64

/** How much one transaction does besides its requests. */
#define SSE_LMDB_TRIM_MAX  4096 /**< events out of one channel's history */
#define SSE_LMDB_EVICT_MAX 1024 /**< records evicted for room */
/** The part of the room below "soft" that lingering records may take. */
#define SSE_LMDB_LINGER_PART 8
/** Times that an append waits for readers before it evicts more. */
#define SSE_LMDB_WAITS 10

enum {
    SSE_DB_META,
    SSE_DB_EVENTS,
    SSE_DB_CHANNELS,
    SSE_DB_INDEX,
    SSE_DB_KEYS,
    SSE_DB_DOOMED,
    SSE_DB_DUE,
    SSE_DB_GRAVES,
    SSE_DB_FLOORS,
    SSE_DB_OWNERS,
    SSE_DB_WEIGHTS,
    SSE_DB_PRESENCE, /**< this one and those after it may be missing */
    SSE_DB_MEMBERS,
    SSE_DB_MARKS,
    SSE_DB_COUNT
};

/** The state of the store.  The members up to last are at the same place in all
 *  versions: they are read even from a store that is moved aside. */
typedef struct {
    apr_uint32_t magic;
    apr_uint32_t version;
    sse_id_t origin;
    sse_id_t last;
    sse_id_t floor;           /**< the least one of all buckets */
    apr_uint64_t next_number; /**< of channels and owners; never reused */
    apr_uint64_t txn;         /**< LMDB's number of the transaction */
    apr_time_t time;          /**< the store's, when this was written */
    apr_uint64_t ticks;       /**< the machine's then, of this boot */
    apr_uint64_t boot;        /**< hash of the boot's name; 0: not known */
    apr_uint64_t lingering;   /**< room of the records in no history */
    unsigned char secret[16]; /**< of the hash that chooses a bucket */
    apr_uint32_t floor_bits;  /**< there are 2 to the power of it buckets */
    apr_uint32_t unused;
} sse_lmdb_state_t;

typedef struct {
    apr_uint64_t number;
    apr_uint64_t count;          /**< events in the history */
    apr_uint64_t bytes;          /**< of them */
    sse_id_t first;              /**< of the history; 0: empty */
    sse_id_t last;               /**< newest event, in the history or not */
    sse_id_t evicted;            /**< highest id that left the history */
    apr_time_t first_time;       /**< of first */
    apr_time_t last_time;        /**< of last */
    apr_time_t due;              /**< time of its entry in due; 0: none */
    apr_interval_time_t max_age; /**< as its last publisher set them */
    apr_uint64_t max_bytes;
    apr_uint64_t max_count;
    apr_uint64_t room;   /**< of its history */
    apr_uint64_t weight; /**< class of its entry in weights; 0: no history */
} sse_lmdb_channel_t;

typedef struct {
    apr_uint64_t number;
    apr_uint64_t room;     /**< of its channels' histories and of themselves */
    apr_uint64_t channels; /**< it is deleted with the last one */
    apr_uint64_t weight;   /**< class of its entry in weights */
} sse_lmdb_owner_t;

typedef struct {
    apr_time_t time;
    apr_uint32_t bytes; /**< data and event name */
    apr_uint32_t keyed; /**< bytes of its idempotency key; 0: none */
} sse_lmdb_entry_t;

/** Before the bytes of a log record. */
typedef struct {
    apr_time_t time;
    apr_uint64_t number; /**< its channel's; 0: it forgets one */
    apr_int64_t retry;
    apr_uint32_t data_len;
    apr_uint16_t channel_len;
    apr_uint16_t idempotency_len;
    apr_uint32_t event_len;
    apr_uint16_t kind;
    apr_uint16_t has_event;
} sse_lmdb_header_t;

/** A parsed log record; slices into the map. */
typedef struct {
    sse_record_t record;
    sse_slice_t idempotency;
    apr_uint64_t number;
} sse_lmdb_event_t;

typedef struct {
    sse_store_conf_t base;
    const char *dir;     /**< absolute */
    const char *runtime; /**< absolute: where parents may be made */
    apr_uint64_t size;
    int is_sized;      /**< size was set */
    int is_cut;        /**< size is less than the default, for lack of room */
    int is_kept;       /**< likewise, but large enough to keep all */
    apr_uint64_t room; /**< free on its disk, its own included; 0: not known */
    int sync;
    int share; /**< percent of the room that one owner may take */
    /** atomic, shared by all children: the files that they use, a digest of
     *  sse_lmdb_files.c's.  0: not known yet, as prepare() has failed; then
     *  those that the first child opens. */
    apr_uint64_t *files;
} sse_lmdb_conf_t;

/** A child's open store; in malloc()ed memory, freed by its pool's cleanup. */
typedef struct {
    sse_store_t base;
    const sse_lmdb_conf_t *conf; /**< const after open */
    apr_uint64_t soft;           /**< pages; const after open */
    unsigned int psize;          /**< bytes of a page; const after open */
    apr_uint64_t boot;           /**< this boot; const after open */

    /** The environment: const while any thread is active. */
    MDB_env *env;             /**< NULL: it could not be opened yet */
    MDB_dbi db[SSE_DB_COUNT]; /**< 0: there is none */
    const apr_uint32_t *lock; /**< atomic: once it is set, const */

    apr_time_t tried;   /**< exclusive: when it was opened, or tried to be */
    int why;            /**< exclusive: the code of a failure of that, or 0 */
    apr_time_t looked;  /**< atomic: when the files were found in place */
    int is_replaced;    /**< atomic: others were found there */
    const char *report; /**< atomic: for the administrator, or NULL */

    pthread_mutex_t gate;
    pthread_cond_t gate_moved;
    MDB_txn *idle[SSE_LMDB_IDLE]; /**< under gate */
    int idle_count;               /**< under gate */
    int active;                   /**< under gate: threads */
    int alone;                    /**< under gate: one has exclusive access */
    struct timespec alone_long;   /**< under gate: readers wait until then */

    sse_lmdb_writer_t *writer; /**< const after open */
    int room_round;            /**< writer: of sse_lmdb_make_room(); 0: none */
    apr_uint64_t room_pages;   /**< writer: pages needed */
    int room_held; /**< writer: readers held freed pages in the last round */
} sse_lmdb_t;

/** How long a thread may wait for other processes. */
typedef enum {
    SSE_LMDB_READER, /**< it may be the loop: not at all */
    SSE_LMDB_OPENER, /**< child_init: it may wait, and writes nothing */
    SSE_LMDB_WRITER  /**< also for LMDB's lock */
} sse_lmdb_who_e;

/** A write transaction, on its thread's stack.  It has a channel and an owner
 *  at hand, which are written back when others are wanted. */
typedef struct {
    sse_lmdb_t *store;
    MDB_txn *txn;
    apr_time_t now; /**< the store's time */
    sse_lmdb_state_t state;
    int used; /**< a channel is at hand */
    sse_lmdb_channel_t channel;
    apr_size_t key_len;
    char key[SSE_STORE_KEY_MAX];
    int has_owner; /**< an owner is: the channel's, if there is one */
    sse_lmdb_owner_t owner;
    apr_size_t owner_len;
    char owner_key[SSE_STORE_KEY_MAX];
} sse_lmdb_write_t;

/* sse_lmdb_env.c: environment and transactions */
apr_status_t sse_lmdb_status(int rc);
/** How long to wait for another process that opens the store. */
#define SSE_LMDB_PATIENCE apr_time_from_sec(2)
/** The lock that is held while an environment is opened.
 *  @param patience how long to wait for another process that holds it
 *  @param fd out: close it to release the lock
 *  @return 0; EAGAIN: another process holds it; or an errno */
int sse_lmdb_opening_lock(const char *dir, apr_interval_time_t patience,
                          int *fd);
int sse_lmdb_env_open(MDB_env **env, const sse_lmdb_conf_t *conf,
                      apr_interval_time_t patience, const apr_uint32_t **lock);
apr_status_t sse_lmdb_open(sse_store_t **store, const sse_store_t *base,
                           const sse_store_conf_t *conf, apr_pool_t *pool);
/** Exclusive: close the environment, if it is open. */
void sse_lmdb_stop(sse_lmdb_t *store);
/** Commit, or if rc is not 0 abort. Handles of databases that were opened in
 *  the transaction are valid if it is committed.  @return rc, or why not */
int sse_lmdb_txn_end(MDB_txn *txn, int rc);
/** Free the readers' slots of dead processes. */
void sse_lmdb_readers_clear(sse_lmdb_t *store);
/** Begin a read transaction, and read the state. */
int sse_lmdb_read_begin(sse_lmdb_t *store, MDB_txn **txn,
                        sse_lmdb_state_t *state);
void sse_lmdb_read_end(sse_lmdb_t *store, MDB_txn *txn);
/** Whether a write is possible, as far as the files are concerned; opens what
 *  could not be opened so far.
 *  @return 0; ENOENT, ESTALE: see sse_lmdb_files_compare(); EAGAIN */
int sse_lmdb_env_check(sse_lmdb_t *store, sse_lmdb_who_e who);
int sse_lmdb_write_begin(sse_lmdb_write_t *w, sse_lmdb_t *store);
/** Commit; abort if rc is not 0, or if that fails. @return rc, or why */
int sse_lmdb_write_end(sse_lmdb_write_t *w, int rc);
void sse_lmdb_write_abort(sse_lmdb_write_t *w);
/** Pages of such a map above which records are evicted. */
apr_uint64_t sse_lmdb_soft(apr_uint64_t pages);
/** Pages that the databases take up. */
int sse_lmdb_pages_used(sse_lmdb_t *store, MDB_txn *txn, apr_uint64_t *pages);
/** Those that the database of this number and those after it take up. */
int sse_lmdb_pages_from(sse_lmdb_t *store, MDB_txn *txn, int first,
                        apr_uint64_t *pages);

/* sse_lmdb_lock.c: whether LMDB's writer lock looks free */
/** Create the lock file before LMDB opens it (closing it later would release
 *  LMDB's locks), with room on the disk for all of it: it is written to through
 *  a map, and a full disk would kill the writing process.
 *  @param lock out: its first words; NULL: they cannot be mapped */
int sse_lmdb_lock_reserve(const sse_lmdb_conf_t *conf,
                          const apr_uint32_t **lock);
void sse_lmdb_lock_unmap(const apr_uint32_t *words);
int sse_lmdb_lock_looks_free(const apr_uint32_t *words);
/** Wait until it looks free.
 *  @return 0: it did not in that time; 1: it does, or that cannot be told, or
 *          the process that had it has died */
int sse_lmdb_lock_wait(const apr_uint32_t *words, apr_interval_time_t patience);
/** In a write transaction: search for the lock's word.  @return for ... */
int sse_lmdb_lock_find(const apr_uint32_t *words);
/** ... this function, after the transaction, on the same thread. */
void sse_lmdb_lock_found(const apr_uint32_t *words, int i);
/** The word that was found, for another process. @return -1: none */
int sse_lmdb_lock_place(void);
void sse_lmdb_lock_know(int i);

/* sse_lmdb_gate.c: which threads use the environment */
/** Condition variables that go by the steady clock, and a deadline of it. */
void sse_lmdb_cond_init(pthread_cond_t *cond);
void sse_lmdb_deadline(struct timespec *until, apr_interval_time_t patience);
/** Run fn with exclusive access; if another thread is doing so, wait for it.
 *  @return fn's result, or 0 after waiting; EAGAIN: others were active, or had
 *          exclusive access, for too long */
int sse_lmdb_alone(sse_lmdb_t *store, sse_lmdb_who_e who,
                   int (*fn)(sse_lmdb_t *store, sse_lmdb_who_e who));
/** Count as active: the environment stays as it is until
 *  sse_lmdb_gate_leave().
 *  @param idle NULL, or out: a reset read transaction to renew, or NULL
 *  @return 0; EAGAIN, to a reader: it waited too long for exclusive access */
int sse_lmdb_gate_enter(sse_lmdb_t *store, sse_lmdb_who_e who, MDB_txn **idle);
/** @param txn NULL, or a reset read transaction, to be kept or ended */
void sse_lmdb_gate_leave(sse_lmdb_t *store, MDB_txn *txn);

/* sse_lmdb_files.c: whether the store's files are still those in use */
#define SSE_LMDB_PATH_MAX 4096
/** The path of a file in the store's directory. @return 0; ENAMETOOLONG */
int sse_lmdb_path(const sse_lmdb_conf_t *conf, const char *name,
                  char path[SSE_LMDB_PATH_MAX]);
/** Parent: the files that are there now are those that the children use. */
void sse_lmdb_files_set(const sse_lmdb_conf_t *conf);
/** Whether the files that are there now are those that the children use.
 *  @return 0, also where these are not known; ESTALE: others are there; ENOENT
 *          and so on: none */
int sse_lmdb_files_compare(const sse_lmdb_t *store);
/** Exclusive: whether the files that were opened are those that the children
 *  use, or the first ones. @return 0; ESTALE: they are not; or an errno */
int sse_lmdb_files_note(const sse_lmdb_t *store);
/** Active, and there is an environment: whether it may be written to.
 *  @return as sse_lmdb_files_compare(), which is called once a second */
int sse_lmdb_files_look(sse_lmdb_t *store);

/* sse_lmdb_record.c: keys and values of the databases */
void sse_lmdb_pair_set(unsigned char key[16], apr_uint64_t a, apr_uint64_t b);
/** @return whether the size is right; likewise below */
int sse_lmdb_pair_get(const MDB_val *key, apr_uint64_t *a, apr_uint64_t *b);
int sse_lmdb_id_get(const MDB_val *val, apr_uint64_t *id);
int sse_lmdb_entry_get(const MDB_val *val, sse_lmdb_entry_t *entry);
/** The channel's entry that the cursor goes to.
 *  @param op MDB_SET_RANGE: the first one from *id on; or MDB_NEXT
 *  @return MDB_NOTFOUND: there is none */
int sse_lmdb_entry_seek(MDB_cursor *cursor, MDB_cursor_op op,
                        apr_uint64_t channel, sse_id_t *id,
                        sse_lmdb_entry_t *entry);
/** The value of a key, which has that size.
 *  @return MDB_CORRUPTED: it has not; MDB_NOTFOUND */
int sse_lmdb_get(MDB_txn *txn, MDB_dbi db, MDB_val *key, void *to,
                 apr_size_t size);
/** Set a key's value. */
int sse_lmdb_set(sse_lmdb_write_t *w, int db, const void *key,
                 apr_size_t key_len, const void *val, apr_size_t val_len);
/** What a cursor of its own finds. */
int sse_lmdb_seek(MDB_txn *txn, MDB_dbi db, MDB_cursor_op op, MDB_val *key,
                  MDB_val *val);
/** The first entry after that key; of no length: the first of all. */
int sse_lmdb_after(MDB_cursor *cursor, const void *name, apr_size_t len,
                   MDB_val *key, MDB_val *val);
int sse_lmdb_event_parse(sse_id_t id, const MDB_val *val,
                         sse_lmdb_event_t *event);
/** The event of that id. */
int sse_lmdb_event_get(sse_lmdb_t *store, MDB_txn *txn, sse_id_t id,
                       sse_lmdb_event_t *event);
apr_size_t sse_lmdb_event_size(const sse_lmdb_event_t *event);
/** The same, of an event in a history. */
apr_size_t sse_lmdb_entry_size(const sse_lmdb_entry_t *entry,
                               apr_size_t key_len);
/** The room of an event of that size, with its entries, about. */
apr_uint64_t sse_lmdb_room(const sse_lmdb_t *store, apr_size_t size);
int sse_lmdb_event_put(sse_lmdb_write_t *w, const sse_lmdb_event_t *event);
int sse_lmdb_channel_get(sse_lmdb_t *store, MDB_txn *txn, sse_slice_t key,
                         sse_lmdb_channel_t *channel);
int sse_lmdb_key_get(sse_lmdb_write_t *w, apr_uint64_t number,
                     sse_slice_t idempotency, sse_id_t *id);
int sse_lmdb_key_put(sse_lmdb_write_t *w, apr_uint64_t number,
                     sse_slice_t idempotency, sse_id_t id);
/** Delete, if it is still that id's. */
int sse_lmdb_key_del(sse_lmdb_write_t *w, apr_uint64_t number,
                     sse_slice_t idempotency, sse_id_t id);
/** Delete; it is no error if it does not exist. */
int sse_lmdb_del(sse_lmdb_write_t *w, int db, void *key, apr_size_t len);

/* sse_lmdb_channel.c: one channel's history, in a write transaction */
/** Get a channel at hand.  @return MDB_NOTFOUND: there is none */
int sse_lmdb_channel_use(sse_lmdb_write_t *w, sse_slice_t key, int create);
/** Trim, note when it is due, write back; no channel is at hand afterwards. */
int sse_lmdb_channel_done(sse_lmdb_write_t *w);
/** Take events over the limits out of the history.
 *  @param left out: there are more than SSE_LMDB_TRIM_MAX */
int sse_lmdb_channel_trim(sse_lmdb_write_t *w, int *left);
int sse_lmdb_channel_remove(sse_lmdb_write_t *w);
/** Give the channel at hand a new number, and so an empty history. */
int sse_lmdb_channel_bury(sse_lmdb_write_t *w);
/** Write back all that is at hand. */
int sse_lmdb_flush(sse_lmdb_write_t *w);
/** Evict the oldest events of the history, max at most.
 *  @param is_urgent without lingering
 *  @param room stop once that much has gone
 *  @param n out: events that went */
int sse_lmdb_channel_cut(sse_lmdb_write_t *w, int is_urgent, int max,
                         apr_uint64_t room, int *n);

/* sse_lmdb_expire.c: what expires */
/** An event that left the index: to doomed, or out of the log.
 *  @param is_gone out: it is out of the log */
int sse_lmdb_event_leave(sse_lmdb_write_t *w, apr_uint64_t number, sse_id_t id,
                         const sse_lmdb_entry_t *entry, int is_urgent,
                         int *is_gone);
/** Put a record that is in no history into doomed. */
int sse_lmdb_doom(sse_lmdb_write_t *w, sse_id_t id, apr_time_t since);
/** Delete records that have lingered, and empty graves, max steps.
 *  @param left out: there may be more */
int sse_lmdb_expire(sse_lmdb_write_t *w, int max, int *left);
/** The same, a few.
 *  @param is_early also records that may still linger, the oldest first
 *  @param n out: records that went */
int sse_lmdb_expire_some(sse_lmdb_write_t *w, int is_early, int max, int *n);

/* sse_lmdb_evict.c: what is evicted for room */
/** Evict records until at most that many pages are used.
 *  @param lingering room that lingering records may take; beyond it they go
 *         first
 *  @param count in: records at most; out: records evicted */
int sse_lmdb_evict(sse_lmdb_write_t *w, apr_uint64_t pages,
                   apr_uint64_t lingering, int *count);
/** If the owner at hand takes more than its share (namespace=), evict events of
 *  its own; then nothing is at hand afterwards. */
int sse_lmdb_bound(sse_lmdb_write_t *w);
/** The writer, after MDB_MAP_FULL and before the next attempt, outside of a
 *  transaction: wait for readers that hold freed pages, a quarter of a second
 *  in all.  If no reader does, evict a quarter of what is kept, but not right
 *  after a round in which one did.  If one goes on holding them, evict in every
 *  other round.
 *  @param round 1 the first time, then 2, and so on */
void sse_lmdb_make_room(sse_lmdb_t *store, apr_uint64_t need, int round);

/** A job of the writer; on the stack of the thread that waits for it. */
typedef struct {
    sse_lmdb_writer_job_t job; /**< first */
    sse_append_t *items;       /**< NULL: forget channel */
    int n;
    sse_slice_t channel;
    sse_id_t id; /**< out: of the record that forgets it */
    /** NULL, or something else to do. */
    int (*also)(sse_lmdb_write_t *w, void *baton);
    void *baton;
    apr_uint64_t pages; /**< needed, about; 0: as few as there are */
    int is_alone;       /**< writer: in a transaction of its own */
    int room_rounds;    /**< writer: transactions that only evicted for it */
    int full_rounds;    /**< writer: how often it met MDB_MAP_FULL */
} sse_lmdb_request_t;

/* sse_lmdb_queue.c: publishers' requests, and what is done with them */
/** How long a publisher waits for the writer. */
#define SSE_LMDB_PUBLISHER apr_time_from_sec(5)
/** How long housekeeping does, which is tried again. */
#define SSE_LMDB_TIDY apr_time_from_sec(1)
/** @return LMDB's code; EBUSY: a time-out, and nothing is or will be written */
int sse_lmdb_submit(sse_lmdb_t *store, sse_lmdb_request_t *request,
                    apr_interval_time_t patience);
/** The writer's functions. */
void sse_lmdb_serve(void *store);
int sse_lmdb_is_free(void *store);

/* sse_lmdb_append.c */
/** Keep below the soft limit before requests are put.
 *  @param again out: so many have to go that they need a transaction first */
int sse_lmdb_keep_room(sse_lmdb_write_t *w, apr_uint64_t need, int *again);
/** Put these requests, of so many items. */
int sse_lmdb_put(sse_lmdb_write_t *w, const sse_lmdb_writer_jobs_t *requests,
                 int items);
/** Put one event, and set its id and duplicate. */
int sse_lmdb_put_item(sse_lmdb_write_t *w, sse_append_t *item);
/** Bytes of the map that these take, about, are added to *room.
 *  @return SSE_STORE_ESIZE: one is too large for any store */
apr_status_t sse_lmdb_measure(const sse_lmdb_t *store,
                              const sse_append_t *items, int n,
                              apr_uint64_t *room);
/** The pages of that room. @return SSE_STORE_ESIZE: there are not so many */
apr_status_t sse_lmdb_pages_of(const sse_lmdb_t *store, apr_uint64_t room,
                               apr_uint64_t *pages);
apr_status_t sse_lmdb_append(sse_store_t *store, sse_append_t *items, int n);
apr_status_t sse_lmdb_forget(sse_store_t *store, sse_slice_t channel,
                             sse_id_t *id);

/* sse_lmdb_read.c */
apr_status_t sse_lmdb_last(sse_store_t *store, sse_id_t *id);
apr_status_t sse_lmdb_time(sse_store_t *store, apr_time_t *now);
apr_status_t sse_lmdb_look(sse_store_t *store, const sse_slice_t *channels,
                           int n, sse_id_t after, sse_position_t *position);
apr_status_t sse_lmdb_follow(sse_store_t *store, sse_id_t after, int max,
                             sse_store_fn *fn, void *baton, sse_id_t *next,
                             int *missing);
/** The first event of the history that is not over its age; 0: none. */
int sse_lmdb_first_kept(sse_lmdb_t *store, MDB_txn *txn,
                        const sse_lmdb_channel_t *channel, apr_time_t now,
                        sse_id_t *first);
/** Whether events after that id have left the history.
 *  @param lost out: the last of them, about; 0: none */
int sse_lmdb_gap(sse_lmdb_t *store, MDB_txn *txn,
                 const sse_lmdb_channel_t *channel, sse_id_t first,
                 sse_id_t after, sse_id_t *lost);

/* sse_lmdb_merge.c */
apr_status_t sse_lmdb_tail(sse_store_t *store, const sse_slice_t *channels,
                           int n, apr_int64_t count, sse_id_t *after);
apr_status_t sse_lmdb_history(sse_store_t *store, const sse_slice_t *channels,
                              int n, sse_id_t after, sse_id_t upto,
                              apr_size_t max_bytes, sse_store_fn *fn,
                              void *baton, sse_id_t *known, sse_id_t *next,
                              int *gap);

/* sse_lmdb_tidy.c */
apr_status_t sse_lmdb_tidy(sse_store_t *store, apr_time_t now, int *more);

/* sse_lmdb_size.c */
#define SSE_LMDB_SIZE_MIN (APR_UINT64_C(1) << 20)
/** Set a size that fits, if none was configured. */
void sse_lmdb_size_default(sse_lmdb_conf_t *conf, apr_pool_t *pool);
const char *sse_lmdb_remark(const sse_store_conf_t *conf, apr_pool_t *pool);

/* sse_lmdb_prepare.c: in the parent */
apr_status_t sse_lmdb_prepare(const sse_store_conf_t *conf, apr_uid_t uid,
                              apr_gid_t gid, const char **notice,
                              apr_pool_t *pool);
const char *sse_lmdb_test(const sse_store_conf_t *conf, apr_uid_t uid,
                          apr_gid_t gid, apr_pool_t *pool);

/* sse_lmdb_check.c: in a process of its own */
typedef enum {
    SSE_CHECK_UNDONE, /**< the process died */
    SSE_CHECK_SOUND,
    SSE_CHECK_DAMAGED,
    SSE_CHECK_VERSION,
    SSE_CHECK_FAILED /**< rc says why */
} sse_lmdb_check_e;

/** What the checking process and its parent share. */
typedef struct {
    sse_lmdb_check_e result;
    int is_waiting; /**< for a lock that another process may hold */
    int lock;       /**< see sse_lmdb_lock_place() */
    int is_long;    /**< all of it is checked, which takes its time */
    int rc;         /**< LMDB's code, or an errno */
    sse_id_t last;  /**< the newest id; 0: not known (yet) */
} sse_lmdb_check_t;

/** The list of free pages: lengths, and pages that there are.
 *  @param why out: what is wrong with it, after MDB_CORRUPTED */
int sse_lmdb_free_check(MDB_txn *txn, const char **why);
/** Open the store, create it if it does not exist, and check it. */
void sse_lmdb_check(const sse_lmdb_conf_t *conf,
                    volatile sse_lmdb_check_t *check);

#include "store/lmdb/sse_lmdb_sums.h"

#endif /* SSE_LMDB_H */
