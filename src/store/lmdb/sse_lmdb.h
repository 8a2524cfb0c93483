/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb.h
 * The LMDB store, from inside: what is in the file and who may touch what.
 *
 * The named databases:
 *
 *   meta      "state" -> sse_lmdb_state_t; "boot" -> the boot it was seen in
 *   events    id -> header, channel key, event, idempotency, data: the log
 *   channels  channel key -> sse_lmdb_channel_t
 *   index     channel number, id (big-endian) -> sse_lmdb_entry_t: exactly the
 *             events that are in their channel's history
 *   keys      channel number (big-endian), publisher's key -> id; goes when the
 *             event leaves its history
 *   doomed    id -> time: out of its history, still in the log for a while
 *   due       time, channel number (big-endian) -> channel key: when tidy()
 *             has to look at a channel.  One entry per channel at most, never
 *             later than needed; an early one is put off when it comes up.
 *   graves    number -> nothing: a forgotten channel's old number, whose index
 *             entries are taken away piece by piece
 *   floors    bucket -> id: the highest id that a removed channel of this
 *             bucket of keys has lost, see sse_lmdb_floor.c
 *   owners    owner -> sse_lmdb_owner_t: what the channels of one owner take
 *   weights   parent, class, number -> key: the owners (parent 0) and each
 *             one's channels (parent: the owner's number) by what they take,
 *             see sse_lmdb_owner.c
 *
 * An event's way: events + index, then (out of the history) events + doomed,
 * then gone.  Every transaction leaves all of the above true.
 *
 * A forgotten channel gets a new number, so that forgetting costs the same
 * however much there was.
 *
 * Whose a channel is: its owner is what its key has up to the first NUL, and
 * with it.  The module puts a host's namespace there.
 *
 * Room: what the databases' pages take is known exactly (mdb_stat()), and kept
 * below "soft" of the map by giving up records: those that only linger, as far
 * as they take more than an eighth; then the largest owner's, of its largest
 * channel the oldest.  So who publishes much gives up his own.  The rest of the
 * map is for copy-on-write and for pages which readers still hold; LMDB gives a
 * freed page out again two transactions later.  What each record is said to
 * take, sse_lmdb_room(), is the same when it comes and when it goes, and sums
 * are changed in the transaction that changes what they are of.
 *
 * Time: records have the store's own, which runs on from the newest record as
 * time passes, however the machine's clock is set: see sse_lmdb_clock.c.
 *
 * Threads and locks.  An environment belongs to one process and is never held
 * across a fork.  Two mutexes in each process, never held together:
 *
 *   gate   guards idle, idle_count, active, alone, beginning.  Every
 *          transaction, reading or writing, and all else that uses the
 *          environment counts in "active" from begin to end; who changes the
 *          map or the environment itself waits until there is none, and keeps
 *          new ones out; the loop waits for either for a moment only.
 *   the writer's (sse_lmdb_writer.h), a leaf.  One thread of each process
 *          writes, for all who wait when its transaction has begun.
 *
 * LMDB's own write mutex (robust, shared by all processes) is waited for with
 * neither held, and not counted in "active" either, as that may take for ever.
 * A write transaction begins and ends on the writer's thread, and nothing
 * foreign runs inside it.  Callbacks run inside a read transaction with no lock
 * held.
 *
 * An environment that could not be opened is opened later, by whoever needs it;
 * one that LMDB has given up (MDB_PANIC) is closed and opened again.  The files
 * are the same as long as the child lives (sse_lmdb_files.c).
 *
 * Functions here return LMDB's codes: 0, an errno, or MDB_*; only the
 * provider's own turn them into apr_status_t, by sse_lmdb_status().
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

/** One per thread that reads at the same moment, over all children. */
#define SSE_LMDB_READERS 8192
/** Reset read transactions that one child keeps. */
#define SSE_LMDB_IDLE 64

/** How much one transaction does besides what it was asked for. */
#define SSE_LMDB_TRIM_MAX  4096 /**< events out of one channel's history */
#define SSE_LMDB_EVICT_MAX 1024 /**< records given up for room */
/** The part of the room below "soft" in which records may linger. */
#define SSE_LMDB_LINGER_PART 8
/** Times that one append waits for readers before it gives up more. */
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
    SSE_DB_COUNT
};

/** What holds for the whole store.  The members up to last stay where they are
 *  in all versions: they are read even from a store that is moved aside. */
typedef struct {
    apr_uint32_t magic;
    apr_uint32_t version;
    sse_id_t origin;
    sse_id_t last;
    sse_id_t floor;           /**< of all buckets: what went before there were
                                   any */
    apr_uint64_t next_number; /**< of channels and owners; none is used twice */
    apr_uint64_t txn;         /**< LMDB's number of the one that wrote this */
    apr_time_t time;          /**< the store's, when this was written */
    apr_uint64_t ticks;       /**< the machine's then, of this boot */
    apr_uint64_t boot;        /**< which one it was; 0: not known */
    apr_uint64_t lingering;   /**< room of the records that are in no history */
    unsigned char secret[16]; /**< nobody can aim at a bucket */
    apr_uint32_t floor_bits;  /**< buckets: 2 to the power of this */
    apr_uint32_t unused;
} sse_lmdb_state_t;

typedef struct {
    apr_uint64_t number;
    apr_uint64_t count;          /**< events in the history */
    apr_uint64_t bytes;          /**< of them */
    sse_id_t first;              /**< of the history; 0: it is empty */
    sse_id_t last;               /**< newest event, in the history or not */
    sse_id_t evicted;            /**< highest id that left the history */
    apr_time_t first_time;       /**< of first */
    apr_time_t last_time;        /**< of last */
    apr_time_t due;              /**< key of its entry in due; 0: none */
    apr_interval_time_t max_age; /**< as the last publisher said */
    apr_uint64_t max_bytes;
    apr_uint64_t max_count;
    apr_uint64_t room;   /**< that its history takes */
    apr_uint64_t weight; /**< class of its entry in weights; 0: no history */
} sse_lmdb_channel_t;

typedef struct {
    apr_uint64_t number;
    apr_uint64_t room;     /**< of its channels' histories and of themselves */
    apr_uint64_t channels; /**< it goes with the last one */
    apr_uint64_t weight;   /**< class of its entry in weights */
} sse_lmdb_owner_t;

typedef struct {
    apr_time_t time;
    apr_uint32_t bytes; /**< data and event name */
    apr_uint32_t keyed; /**< bytes of its publisher's key; 0: it has none */
} sse_lmdb_entry_t;

/** Before the bytes of a log record. */
typedef struct {
    apr_time_t time;
    apr_uint64_t number; /**< its channel's; 0: of none (a forget) */
    apr_int64_t retry;
    apr_uint32_t data_len;
    apr_uint16_t channel_len;
    apr_uint16_t idempotency_len;
    apr_uint32_t event_len;
    apr_uint16_t kind;
    apr_uint16_t has_event;
} sse_lmdb_header_t;

/** A log record, taken apart; slices into the map. */
typedef struct {
    sse_record_t record;
    sse_slice_t idempotency;
    apr_uint64_t number;
} sse_lmdb_event_t;

/** data.mdb and lock.mdb: which files these are, whatever their names. */
#define SSE_LMDB_FILES 2
typedef struct {
    dev_t dev;
    ino_t ino; /**< 0: not known */
} sse_lmdb_file_t;

typedef struct {
    sse_store_conf_t base;
    const char *dir;     /**< absolute */
    const char *runtime; /**< absolute: where parents may be made */
    apr_uint64_t size;
    int is_sized;      /**< size was set */
    int is_cut;        /**< size is less than the default, for want of room */
    int is_kept;       /**< size is what keeps all, for want of room, too */
    apr_uint64_t room; /**< free where it is, with its own; 0: not known */
    int sync;
    int share; /**< percent of the room that one owner may take */
    /** Those that prepare() has left there, which all children use; not known
     *  where it has failed: then each child opens what comes. */
    sse_lmdb_file_t *files;
} sse_lmdb_conf_t;

/** A child's open store; lives in malloc, ended by its pool's cleanup. */
typedef struct {
    sse_store_t base;
    const sse_lmdb_conf_t *conf; /**< const after open */
    apr_uint64_t soft;           /**< pages; const after open */
    unsigned int psize;          /**< bytes of a page; const after open */
    apr_uint64_t boot;           /**< this boot; const after open */

    /** The environment: const while any thread is active. */
    MDB_env *env; /**< NULL: it could not be opened yet */
    MDB_dbi db[SSE_DB_COUNT];
    sse_lmdb_file_t files[SSE_LMDB_FILES]; /**< that are, or shall be, open */
    const apr_uint32_t *lock; /**< atomic: see sse_lmdb_lock_map(); once it is
                                   set, const */

    apr_time_t looked;  /**< atomic: when the files were found in place */
    int is_replaced;    /**< atomic: others were found there */
    const char *report; /**< atomic: for the administrator, or NULL */

    pthread_mutex_t gate;
    pthread_cond_t gate_moved;
    MDB_txn *idle[SSE_LMDB_IDLE]; /**< under gate */
    int idle_count;               /**< under gate */
    int active;                   /**< under gate */
    int alone;                    /**< under gate */
    struct timespec alone_long;   /**< under gate: readers wait no longer */

    sse_lmdb_writer_t *writer; /**< const after open */
    int room_round;            /**< writer: make room first; 0: need not be */
    apr_uint64_t room_pages;   /**< writer: for so many */
    int room_held; /**< writer: readers held freed pages in the last round */
} sse_lmdb_t;

/** Who does something that may have to wait for other processes. */
typedef enum {
    SSE_LMDB_READER, /**< maybe the loop: waits for nobody */
    SSE_LMDB_OPENER, /**< child_init: waits, but writes nothing */
    SSE_LMDB_WRITER  /**< waits for LMDB's lock, too */
} sse_lmdb_who_e;

/** A write transaction, on its thread's stack. */
typedef struct {
    sse_lmdb_t *store;
    MDB_txn *txn;
    apr_time_t now; /**< the store's time */
    sse_lmdb_state_t state;
    int used; /**< a channel is at hand; written back when another is wanted */
    sse_lmdb_channel_t channel;
    apr_size_t key_len;
    char key[SSE_STORE_KEY_MAX];
    int has_owner; /**< likewise; the channel's, if there is one at hand */
    sse_lmdb_owner_t owner;
    apr_size_t owner_len;
    char owner_key[SSE_STORE_KEY_MAX];
} sse_lmdb_write_t;

/* sse_lmdb_env.c: environment and transactions */
apr_status_t sse_lmdb_status(int rc);
/** How long who may wait waits for another process that opens the store. */
#define SSE_LMDB_PATIENCE apr_time_from_sec(2)
/** Held while an environment is opened.
 *  @param patience how long to wait for another process that has it
 *  @param fd out: close it to let go
 *  @return 0; EAGAIN: another process has it; or an errno */
int sse_lmdb_opening_lock(const char *dir, apr_interval_time_t patience,
                          int *fd);
int sse_lmdb_env_open(MDB_env **env, const sse_lmdb_conf_t *conf,
                      apr_interval_time_t patience, const apr_uint32_t **lock);
apr_status_t sse_lmdb_open(sse_store_t **store, const sse_store_t *base,
                           const sse_store_conf_t *conf, apr_pool_t *pool);
/** Free the slots of readers that died. */
void sse_lmdb_readers_clear(sse_lmdb_t *store);
/** A snapshot, and the store's state in it. */
int sse_lmdb_read_begin(sse_lmdb_t *store, MDB_txn **txn,
                        sse_lmdb_state_t *state);
void sse_lmdb_read_end(sse_lmdb_t *store, MDB_txn *txn);
/** Whether a write is possible, as far as the files are concerned; opens what
 *  could not be opened so far.
 *  @return 0; ENOENT, ESTALE: see sse_lmdb_files_compare(); EAGAIN */
int sse_lmdb_env_check(sse_lmdb_t *store, sse_lmdb_who_e who);
int sse_lmdb_write_begin(sse_lmdb_write_t *w, sse_lmdb_t *store);
/** Commits; when that fails it has aborted. */
int sse_lmdb_write_commit(sse_lmdb_write_t *w);
void sse_lmdb_write_abort(sse_lmdb_write_t *w);
/** Pages from which on the oldest is given up, of a map of that many. */
apr_uint64_t sse_lmdb_soft(apr_uint64_t pages);
/** Pages that the databases take up. */
int sse_lmdb_pages_used(sse_lmdb_t *store, MDB_txn *txn, apr_uint64_t *pages);

/* sse_lmdb_lock.c: whether LMDB's writer lock looks free */
/** The beginning of its lock file, before LMDB opens it: closing it later would
 *  let go of LMDB's locks. @return NULL: that cannot be told */
const apr_uint32_t *sse_lmdb_lock_map(int fd);
void sse_lmdb_lock_unmap(const apr_uint32_t *words);
/** Make the lock file, with room on the disk for all of it: it is written to
 *  through a map, so that a full disk would kill the writing process.
 *  @param lock out: sse_lmdb_lock_map() of it */
int sse_lmdb_lock_reserve(const sse_lmdb_conf_t *conf,
                          const apr_uint32_t **lock);
int sse_lmdb_lock_looks_free(const apr_uint32_t *words);
/** @return whether it looks free, within that time; 1 if nobody can tell, and
 *          when who had it has died */
int sse_lmdb_lock_wait(const apr_uint32_t *words, apr_interval_time_t patience);
/** In a write transaction: find out where the lock is. @return to give to
 *  ... */
int sse_lmdb_lock_find(const apr_uint32_t *words);
/** ... this after it, on the same thread. */
void sse_lmdb_lock_found(const apr_uint32_t *words, int i);
/** Where it is, for another process. @return -1: not known */
int sse_lmdb_lock_place(void);
void sse_lmdb_lock_know(int i);

/* sse_lmdb_gate.c: who uses the environment */
/** For a condition variable that goes by the steady clock, and is waited for
 *  no longer than that. */
void sse_lmdb_cond_init(pthread_cond_t *cond);
void sse_lmdb_deadline(struct timespec *until, apr_interval_time_t patience);
/** Count as active: the environment stays as it is until sse_lmdb_leave(). */
void sse_lmdb_enter(sse_lmdb_t *store);
void sse_lmdb_leave(sse_lmdb_t *store);
/** Run fn while nobody is active, or wait for who does.
 *  @return what fn did; EAGAIN: others were active for too long */
int sse_lmdb_alone(sse_lmdb_t *store, sse_lmdb_who_e who,
                   int (*fn)(sse_lmdb_t *store, sse_lmdb_who_e who));
/** The same, by hand. @param idle NULL, or out: a reset read transaction to
 *         renew, or NULL
 *  @return 0; EAGAIN, to a reader: somebody is alone for too long */
int sse_lmdb_gate_enter(sse_lmdb_t *store, sse_lmdb_who_e who, MDB_txn **idle);
/** @param txn a reset one, to be kept or ended; or NULL */
void sse_lmdb_gate_leave(sse_lmdb_t *store, MDB_txn *txn);

/* sse_lmdb_files.c: whether the store's files are still those in use */
#define SSE_LMDB_PATH_MAX 4096
/** The path of a file in the store's directory. @return 0; ENAMETOOLONG */
int sse_lmdb_path(const sse_lmdb_conf_t *conf, const char *name,
                  char path[SSE_LMDB_PATH_MAX]);
/** Which files are there now. @return 0, or an errno: at least one is not */
int sse_lmdb_files_find(const sse_lmdb_conf_t *conf, sse_lmdb_file_t *files);
/** Whether these are the ones that are, or shall be, open.
 *  @return 0; ESTALE: others are there; ENOENT and so on: none */
int sse_lmdb_files_compare(const sse_lmdb_t *store);
/** Exclusive: note which files were opened. @return 0; ESTALE: not those that
 *  were to be opened */
int sse_lmdb_files_note(sse_lmdb_t *store);
/** Active, and there is an environment: whether it may be written to.
 *  @return as sse_lmdb_files_compare(), which is called once a second */
int sse_lmdb_files_look(sse_lmdb_t *store);

/* sse_lmdb_record.c: what the databases' keys and values look like */
void sse_lmdb_pair_set(unsigned char key[16], apr_uint64_t a, apr_uint64_t b);
/** @return whether it has the size of one */
int sse_lmdb_pair_get(const MDB_val *key, apr_uint64_t *a, apr_uint64_t *b);
int sse_lmdb_id_get(const MDB_val *val, apr_uint64_t *id);
int sse_lmdb_entry_get(const MDB_val *val, sse_lmdb_entry_t *entry);
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
int sse_lmdb_event_parse(sse_id_t id, const MDB_val *val,
                         sse_lmdb_event_t *event);
/** The event of that id. */
int sse_lmdb_event_get(sse_lmdb_t *store, MDB_txn *txn, sse_id_t id,
                       sse_lmdb_event_t *event);
apr_size_t sse_lmdb_event_size(const sse_lmdb_event_t *event);
/** The same, of an event that is in a history. */
apr_size_t sse_lmdb_entry_size(const sse_lmdb_entry_t *entry,
                               apr_size_t key_len);
/** What an event of that size takes, with its entries, about. */
apr_uint64_t sse_lmdb_room(const sse_lmdb_t *store, apr_size_t size);
int sse_lmdb_event_put(sse_lmdb_write_t *w, const sse_lmdb_event_t *event);
int sse_lmdb_channel_get(sse_lmdb_t *store, MDB_txn *txn, sse_slice_t key,
                         sse_lmdb_channel_t *channel);
int sse_lmdb_key_get(sse_lmdb_write_t *w, apr_uint64_t number,
                     sse_slice_t idempotency, sse_id_t *id);
int sse_lmdb_key_put(sse_lmdb_write_t *w, apr_uint64_t number,
                     sse_slice_t idempotency, sse_id_t id);
/** Only if it is still that id's. */
int sse_lmdb_key_del(sse_lmdb_write_t *w, apr_uint64_t number,
                     sse_slice_t idempotency, sse_id_t id);
/** Delete; that it is not there is no error. */
int sse_lmdb_del(sse_lmdb_write_t *w, int db, void *key, apr_size_t len);

/* sse_lmdb_channel.c: one channel's history, in a write transaction */
/** Take a channel in hand.  @return MDB_NOTFOUND when there is none */
int sse_lmdb_channel_use(sse_lmdb_write_t *w, sse_slice_t key, int create);
/** Trim, note when it is due, write back; nothing is at hand afterwards. */
int sse_lmdb_channel_done(sse_lmdb_write_t *w);
/** Take what is over the limits out of the history.  @param left out: whether
 *  the bound was met */
int sse_lmdb_channel_trim(sse_lmdb_write_t *w, int *left);
int sse_lmdb_channel_remove(sse_lmdb_write_t *w);
/** The channel at hand is known by a new number, with nothing in it. */
int sse_lmdb_channel_bury(sse_lmdb_write_t *w);
/** Write back all that is at hand. */
int sse_lmdb_flush(sse_lmdb_write_t *w);
/** Take the oldest of its history away, max at most.
 *  @param is_urgent out of the log at once, else they linger
 *  @param room no more once that much has gone
 *  @param n out: how many went */
int sse_lmdb_channel_cut(sse_lmdb_write_t *w, int is_urgent, int max,
                         apr_uint64_t room, int *n);

/* sse_lmdb_expire.c: what goes by itself */
/** An event that left the index: to doomed, or out of the log.
 *  @param is_gone out: it is out of the log */
int sse_lmdb_event_leave(sse_lmdb_write_t *w, apr_uint64_t number, sse_id_t id,
                         const sse_lmdb_entry_t *entry, int is_urgent,
                         int *is_gone);
/** Put a record that is in no history into doomed. */
int sse_lmdb_doom(sse_lmdb_write_t *w, sse_id_t id, apr_time_t since);
/** Take old doomed records out of the log and empty graves, max steps. */
int sse_lmdb_expire(sse_lmdb_write_t *w, int max, int *left);
/** The same, some.
 *  @param is_early also doomed records that may linger yet, the oldest first
 *  @param n out: how many went */
int sse_lmdb_expire_some(sse_lmdb_write_t *w, int is_early, int max, int *n);

/* sse_lmdb_evict.c: what is given up */
/** Give up records until at most that many pages are used.
 *  @param lingering room that those that only linger may take before others
 *         are given up
 *  @param count in: how many at most; out: how many it were */
int sse_lmdb_evict(sse_lmdb_write_t *w, apr_uint64_t pages,
                   apr_uint64_t lingering, int *count);
/** The owner at hand takes more than it may: its own go.  Nothing is at hand
 *  afterwards but where it returns at once. */
int sse_lmdb_bound(sse_lmdb_write_t *w);
/** The writer, after MDB_MAP_FULL, with no transaction, before the next attempt:
 *  wait for readers that hold freed pages, a quarter of a second in all; if no
 *  reader does, and none did in the round before, give up a quarter of what is
 *  kept.
 *  @param round 1 the first time, then 2, and so on */
void sse_lmdb_make_room(sse_lmdb_t *store, apr_uint64_t need, int round);

/** What is wanted of the writer; on the stack of who waits for it. */
typedef struct {
    sse_lmdb_writer_job_t job; /**< first */
    sse_append_t *items;       /**< NULL: forget channel */
    int n;
    sse_slice_t channel;
    sse_id_t id; /**< out: of the record of that */
    /** NULL, or something else to do. */
    int (*also)(sse_lmdb_write_t *w, void *baton);
    void *baton;
    apr_uint64_t pages; /**< it needs, about */
    int is_alone;       /**< writer: with others it has failed */
    int room_rounds;    /**< writer: transactions that only evicted for it */
    int full_rounds;    /**< writer: times that it met MDB_MAP_FULL */
} sse_lmdb_request_t;

/* sse_lmdb_queue.c: publishers, and the thread that writes for them */
/** How long a publisher waits for the writer. */
#define SSE_LMDB_PUBLISHER apr_time_from_sec(5)
/** And housekeeping, which comes again. */
#define SSE_LMDB_TIDY apr_time_from_sec(1)
/** @return LMDB's code; EBUSY: others have kept it waiting for too long, and
 *          nothing was or will be written */
int sse_lmdb_submit(sse_lmdb_t *store, sse_lmdb_request_t *request,
                    apr_interval_time_t patience);
/** The writer's functions. */
void sse_lmdb_serve(void *store);
int sse_lmdb_is_free(void *store);

/* sse_lmdb_append.c */
/** Keep below the soft limit before these requests are put.
 *  @param again out: so many have to go that they should go first, in a
 *         transaction of their own */
int sse_lmdb_keep_room(sse_lmdb_write_t *w, apr_uint64_t need, int *again);
/** Put these requests, of so many items. */
int sse_lmdb_put(sse_lmdb_write_t *w, const sse_lmdb_writer_jobs_t *requests,
                 int items);
apr_status_t sse_lmdb_append(sse_store_t *store, sse_append_t *items, int n);
apr_status_t sse_lmdb_forget(sse_store_t *store, sse_slice_t channel,
                             sse_id_t *id);

/* sse_lmdb_read.c */
apr_status_t sse_lmdb_last(sse_store_t *store, sse_id_t *id);
apr_status_t sse_lmdb_look(sse_store_t *store, const sse_slice_t *channels,
                           int n, sse_id_t after, sse_position_t *position);
apr_status_t sse_lmdb_follow(sse_store_t *store, sse_id_t after, int max,
                             sse_store_fn *fn, void *baton, sse_id_t *next,
                             int *missing);
/** The first entry of the history that is not over its age; 0: none. */
int sse_lmdb_first_kept(sse_lmdb_t *store, MDB_txn *txn,
                        const sse_lmdb_channel_t *channel, apr_time_t now,
                        sse_id_t *first);
/** What after that id has left the history.
 *  @param lost out: an id up to which it reaches, about; 0: nothing has */
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
/** Where none was set, what fits. */
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
    SSE_CHECK_UNDONE, /**< it died on the way */
    SSE_CHECK_SOUND,
    SSE_CHECK_DAMAGED,
    SSE_CHECK_VERSION,
    SSE_CHECK_FAILED /**< rc says why */
} sse_lmdb_check_e;

/** What the checking process and its parent share. */
typedef struct {
    sse_lmdb_check_e result;
    int is_waiting; /**< for a lock that another process may have */
    int lock;       /**< see sse_lmdb_lock_place() */
    int is_long;    /**< all of it is looked through, which takes its time */
    int rc;         /**< LMDB's code, or an errno */
    sse_id_t last;  /**< the newest id, as soon as it is known; 0: it is not */
} sse_lmdb_check_t;

/** The list of free pages: lengths, and pages that there are.
 *  @param why out: what is wrong with it, after MDB_CORRUPTED */
int sse_lmdb_free_check(MDB_txn *txn, const char **why);
/** Open the store, make it if it is not there, and look through it. */
void sse_lmdb_check(const sse_lmdb_conf_t *conf,
                    volatile sse_lmdb_check_t *check);

#include "store/lmdb/sse_lmdb_sums.h"

#endif /* SSE_LMDB_H */
