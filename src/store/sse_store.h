/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_store.h
 * The store: where events live between their publisher and their readers.
 *
 * One log of events in the order of their ids, shared by all children of a
 * server and kept across restarts; and for each channel a list of the ids that
 * are its history.  A provider implements it (sse_store_provider.h); SSEStore
 * names the provider.  A library of its own: no httpd.
 *
 * Ids: one sequence for the whole store.  The origin of a new store is its
 * creation time in microseconds; each id is one more than the id before.  So
 * the ids of another (or an earlier) store lie outside [origin, last], ids grow
 * even when a damaged store is replaced, and they are exact in a double.  A
 * hole in the sequence tells a reader that it has missed records.
 *
 * History: the events that a channel keeps, limited by count, age and bytes as
 * its last publisher has set.  An event that leaves its channel's history stays
 * in the log for SSE_STORE_LINGER, so that every child still reads it.
 *
 * Channels are opaque keys of 1 to SSE_STORE_KEY_MAX bytes.  The part of a key
 * before its first NUL byte names the channel's owner.  When the store is full,
 * events of the owner that takes most room are evicted, and among its channels
 * those of the largest one, the oldest first.
 *
 * Threads: the parent's functions in the parent's only thread; all others in a
 * child, on any thread, concurrently.  The store calls back through the
 * function types below only.
 */

#ifndef SSE_STORE_H
#define SSE_STORE_H

#include <apr_pools.h>
#include <apr_time.h>
#include <apr_user.h>

#include "event/sse_event.h"

#define SSE_STORE_KEY_MAX         511 /**< bytes of a channel's key */
#define SSE_STORE_IDEMPOTENCY_MAX 256 /**< bytes of an idempotency key */
#define SSE_STORE_LINGER          apr_time_from_sec(10)

#define SSE_STORE_CHANGES_MAX 512 /**< changes of presence in one call */
#define SSE_STORE_STREAM_MAX  255 /**< bytes of a stream's id */
#define SSE_STORE_PERSON_MAX  600 /**< bytes of a person, and of a user */
#define SSE_STORE_OWNER_MAX   48  /**< bytes of a child's name */
#define SSE_STORE_TEXT_MAX                                                     \
    65535 /**< bytes of a member's text, and of the
                                         data of an event that is kept */

typedef apr_uint64_t sse_id_t;

/** The store's own size is too small for this, whatever it evicts. */
#define SSE_STORE_ESIZE (APR_OS_START_USERERR + 1)
/** The store's files (or its server) are gone or cannot be used any more. */
#define SSE_STORE_EGONE (APR_OS_START_USERERR + 2)
/** The store's contents contradict each other. */
#define SSE_STORE_EDAMAGED (APR_OS_START_USERERR + 3)
/** Time-out: others, mostly another process, use the store exclusively. */
#define SSE_STORE_EBUSY (APR_OS_START_USERERR + 4)

/** A store's settings, as read from the configuration; in a pool. */
typedef struct sse_store_conf_t sse_store_conf_t;
/** A store that is open in this child; closed by its pool's cleanup. */
typedef struct sse_store_t sse_store_t;

/** What a channel keeps, whichever limit bites first. */
typedef struct {
    apr_uint32_t count;      /**< events; 0 keeps none */
    apr_interval_time_t age; /**< microseconds; 0: no limit */
    apr_uint64_t bytes;      /**< of data and event names; 0: no limit */
} sse_history_t;

typedef enum {
    SSE_RECORD_EVENT = 0,
    SSE_RECORD_FORGET = 1 /**< the channel was deleted */
} sse_record_e;

/** One record of the log.  Slices live until the callback returns. */
typedef struct {
    sse_id_t id;
    apr_time_t time; /**< when it was appended */
    sse_record_e kind;
    sse_slice_t channel; /**< the channel's key */
    sse_fields_t fields; /**< event, data, retry; id and comment are absent */
} sse_record_t;

/** Runs on the reader's thread, inside a read transaction: must be quick, and
 *  must not call the store.
 *  @return APR_SUCCESS to go on; anything else stops the reading: the reading
 *          function returns it, and this record counts as not read */
typedef apr_status_t sse_store_fn(void *baton, const sse_record_t *record);

/** With by 1: @return whether one more thread may wait for a store that accepts
 *  nothing.  With by -1: such a thread has stopped waiting.  Runs on any thread
 *  with locks held: must be quick. */
typedef int sse_store_stay_fn(int by);

/** Records were added.  Runs on any thread, also on the provider's own, with
 *  no lock held. */
typedef void sse_store_announce_fn(void);

/** The name in a channel's key, behind its owner's NUL; not a copy. */
sse_slice_t sse_store_name(sse_slice_t channel);

/** One event to append. */
typedef struct {
    sse_slice_t channel;
    sse_fields_t fields;     /**< event, data (present), retry are stored */
    sse_slice_t idempotency; /**< the publisher's own key; or empty */
    const sse_history_t *history;
    sse_id_t id;   /**< out: its id; a duplicate's is that of the original */
    int duplicate; /**< out: its idempotency key is known: not added */
} sse_append_t;

typedef enum {
    SSE_PRESENCE_JOIN,
    SSE_PRESENCE_LEAVE,
    SSE_PRESENCE_EXPIRE /**< a LEAVE's time of grace is over */
} sse_presence_e;

typedef enum {
    SSE_PRESENCE_NOTHING, /**< it was a member already; it is none, or waits
                                already; it is not due, or has returned */
    SSE_PRESENCE_CHANGED, /**< it has joined, or left */
    SSE_PRESENCE_WAITS,   /**< it is a member until its time of grace is over */
    SSE_PRESENCE_RETURNED, /**< it took the place of a member that waited */
} sse_presence_outcome_e;

/** A change of who is on a channel. */
typedef struct {
    sse_presence_e what;
    sse_presence_outcome_e outcome; /**< out */
    sse_slice_t channel;            /**< the channel's key */
    sse_slice_t stream; /**< the stream's id; EXPIRE: of the one that left */
    /** JOIN: who is the same when he comes back; empty: nobody */
    sse_slice_t person;
    sse_slice_t user;  /**< JOIN: distinct ones are counted; empty: none */
    sse_slice_t owner; /**< JOIN: the child that has the stream */
    sse_slice_t text;  /**< JOIN: the caller's own, given back */
    apr_time_t since;  /**< JOIN: likewise */
    /** LEAVE: 0: it leaves at once.  Else it waits for so long, and stays a
     *  member if a JOIN of the same person and user comes meanwhile */
    apr_interval_time_t grace;
    /** NULL, or the event to append when, and only if, somebody joins or
     *  leaves.  If a LEAVE waits, its event is kept, and appended by the EXPIRE
     *  (whose own event, if it has one, is appended instead) */
    const sse_append_t *event;
    /** NULL, or room for SSE_STORE_STREAM_MAX bytes and a NUL, for a JOIN that
     *  has RETURNED: the name of the member whose place it took */
    char *name;
    apr_uint64_t streams; /**< out: members of the channel after this change;
                               after a JOIN that has CHANGED it 1: the first
                               came, after a LEAVE or EXPIRE 0: the last went */
    apr_uint64_t users;   /**< out: distinct users among them */
} sse_presence_t;

/** A member of a channel.  Slices live until the callback returns. */
typedef struct {
    sse_slice_t channel;
    sse_slice_t name;   /**< the id of the stream that it joined with */
    sse_slice_t stream; /**< the id of its stream; if it waits: of the last */
    sse_slice_t person, user, owner, text; /**< as its last JOIN has set them */
    apr_time_t since;                      /**< as its first one has */
    apr_time_t due; /**< 0: its stream is open; else it waits until then */
} sse_presence_member_t;

/** As sse_store_fn. */
typedef apr_status_t sse_store_member_fn(void *baton,
                                         const sse_presence_member_t *member);
typedef apr_status_t sse_store_owner_fn(void *baton, sse_slice_t owner);

/** A channel that the store has events of, or members on.  Times are those of
 *  the machine's clock. */
typedef struct {
    sse_slice_t channel; /**< its key; lives until the callback returns */
    apr_uint64_t events; /**< in its history */
    apr_uint64_t bytes;  /**< of their data and event names */
    sse_id_t first;      /**< the oldest of them; 0: none */
    sse_id_t last;       /**< the newest event, kept or not; 0: none is known */
    apr_time_t first_time;
    apr_time_t last_time;
    apr_uint64_t streams; /**< members */
    apr_uint64_t users;   /**< distinct users among them */
} sse_store_channel_t;

/** As sse_store_fn. */
typedef apr_status_t sse_store_channel_fn(void *baton,
                                          const sse_store_channel_t *channel);

/** How large a store is. */
typedef struct {
    apr_uint64_t bytes;    /**< that are taken */
    apr_uint64_t limit;    /**< from which on the oldest events are evicted */
    apr_uint64_t size;     /**< that it may have in all */
    apr_uint64_t channels; /**< that it has a record of */
    apr_uint64_t events;   /**< in histories */
} sse_store_sizes_t;

/** How an id that a subscriber has seen relates to its channels' histories. */
typedef struct {
    sse_id_t last;   /**< the store's newest id; origin when it is empty */
    sse_id_t oldest; /**< the oldest id in these histories; 0: none */
    int gap;         /**< events after the subscriber's id were evicted, or it
                          is no id of this store */
} sse_position_t;

/* -- The parent ------------------------------------------------------------ */

/**
 * Read settings.
 * @param dir the runtime directory, absolute: relative paths are below it
 * @param argv a provider's name, then its settings as "key=value"; without any
 *        the default provider with its defaults
 * @return NULL, or what is wrong, with the value and what is allowed
 */
const char *sse_store_configure(sse_store_conf_t **conf, apr_pool_t *pool,
                                const char *dir, int argc,
                                const char *const *argv);

/**
 * At every start and restart, before children are created; children of the
 * last generation may have the store open.  Makes what children need and gives
 * it to their user.  A store that is damaged or of another version is renamed,
 * and a new one begun.  Takes seconds, or longer if a large store must be
 * checked.
 * @param uid,gid the owner to be; (apr_uid_t)-1: leave the owner
 * @param notice out: NULL, or what the administrator should read
 * @return APR_SUCCESS, or an error, and *notice says what to do.  Children can
 *         open the store all the same: it works as soon as the error is mended
 */
apr_status_t sse_store_prepare(const sse_store_conf_t *conf, apr_uid_t uid,
                               apr_gid_t gid, const char **notice,
                               apr_pool_t *pool);

/** For a test of the configuration: would sse_store_prepare() fail?  Changes
 *  and locks nothing, so it cannot find every fault.
 *  @return NULL, or what is wrong and what to do */
const char *sse_store_test(const sse_store_conf_t *conf, apr_uid_t uid,
                           apr_gid_t gid, apr_pool_t *pool);

/** @return NULL, or what to log about these settings at each start; in pool */
const char *sse_store_remark(const sse_store_conf_t *conf, apr_pool_t *pool);

/** A local directory that sse_store_prepare() makes and children can write to,
 *  for the module's own files. */
const char *sse_store_private_dir(const sse_store_conf_t *conf);

/* -- A child --------------------------------------------------------------- */

/**
 * Open the store.  Succeeds also if the store cannot be reached now: then the
 * functions below fail until it can, and sse_store_report() says why.
 * @param announce NULL, or called whenever records were added
 * @return APR_SUCCESS, APR_ENOMEM, or why a thread could not be created
 */
apr_status_t sse_store_open(sse_store_t **store, const sse_store_conf_t *conf,
                            sse_store_announce_fn *announce, apr_pool_t *pool);

/**
 * Append these events in order, all or none, in one transaction that also
 * trims the channels' histories, and announce them.  How safe they are then is
 * one of the provider's settings.
 * @return APR_SUCCESS; APR_ENOSPC, EROFS: the provider's storage is full or
 *         read-only; SSE_STORE_ESIZE: no room, even after eviction;
 *         SSE_STORE_EGONE; SSE_STORE_EDAMAGED; APR_EINVAL: a channel or
 *         idempotency key is too long, or a channel empty; SSE_STORE_EBUSY: a
 *         time-out, after 5 s or at once, see sse_store_limit(); or another
 *         cause.  Later calls succeed once the cause is gone
 */
apr_status_t sse_store_append(sse_store_t *store, sse_append_t *items, int n);

/**
 * Remove a channel and its history, and append a SSE_RECORD_FORGET for all
 * children, also if the channel is not known.
 * @param id out: that record's
 * @return as sse_store_append()
 */
apr_status_t sse_store_forget(sse_store_t *store, sse_slice_t channel,
                              sse_id_t *id);

/**
 * Make these changes of who is on a channel in order, all or none, in one
 * transaction with their events, and announce these.
 *
 * What is in the store is true for all children and over restarts: a child's
 * members stay until somebody removes them, so those of a child that was killed
 * are for others to remove (sse_store_presence_of()).  Members take room as
 * events do, but are never evicted; deleting the channel leaves them as they
 * are.
 * @param n up to SSE_STORE_CHANGES_MAX
 * @return as sse_store_append(); SSE_STORE_ESIZE also where members would take
 *         more than half of the store: other changes than JOIN succeed then;
 *         APR_ENOTIMPL: this provider knows no presence
 */
apr_status_t sse_store_presence_change(sse_store_t *store,
                                       sse_presence_t *changes, int n);

/* The readers return APR_SUCCESS; APR_EINVAL: a channel is empty or too long;
 * SSE_STORE_EBUSY: try again in a moment; SSE_STORE_EGONE; SSE_STORE_EDAMAGED;
 * or another cause. */

/** The newest id; the origin if nothing was appended yet. */
apr_status_t sse_store_last(sse_store_t *store, sse_id_t *id);

/** The time that an event appended now would have: ages are differences to it.
 *  A store's time need not be the clock's. */
apr_status_t sse_store_now(sse_store_t *store, apr_time_t *now);

/** The position of a subscriber to these channels whose last id is "after", in
 *  one snapshot. */
apr_status_t sse_store_look(sse_store_t *store, const sse_slice_t *channels,
                            int n, sse_id_t after, sse_position_t *position);

/** The id after which sse_store_history() gives the newest count events of
 *  these channels, or as many as are kept; all if count is below 0. */
apr_status_t sse_store_tail(sse_store_t *store, const sse_slice_t *channels,
                            int n, apr_int64_t count, sse_id_t *after);

/**
 * The events in these channels' histories with after < id <= upto, in the order
 * of their ids: at least one, and not many more bytes of data than max_bytes.
 * @param next out: the id to read on after; if all were given, upto or the
 *        newest id, whichever is less, but not less than after
 * @param known NULL, or an id for each channel, 0 at first: up to where a gap
 *        in this channel was reported already; updated
 * @param gap out: there is a gap after "after" that was not reported yet
 * @return or what fn returned
 */
apr_status_t sse_store_history(sse_store_t *store, const sse_slice_t *channels,
                               int n, sse_id_t after, sse_id_t upto,
                               apr_size_t max_bytes, sse_store_fn *fn,
                               void *baton, sse_id_t *known, sse_id_t *next,
                               int *gap);

/**
 * The log: at most max records of all channels after that id, in order.
 * @param next out: the id to read on after
 * @param missing out: records in (after, next] were evicted
 * @return or what fn returned
 */
apr_status_t sse_store_follow(sse_store_t *store, sse_id_t after, int max,
                              sse_store_fn *fn, void *baton, sse_id_t *next,
                              int *missing);

/**
 * The members of a channel in the order in which they joined, those that wait
 * included: at most max (0: none), in one snapshot.
 * @param last out: the newest id in the snapshot: events after it tell of what
 *        is not in it
 * @param streams,users out: how many there are in all
 * @return or what fn returned; APR_ENOTIMPL; likewise below
 */
apr_status_t sse_store_presence_list(sse_store_t *store, sse_slice_t channel,
                                     int max, sse_store_member_fn *fn,
                                     void *baton, sse_id_t *last,
                                     apr_uint64_t *streams,
                                     apr_uint64_t *users);

/** The children that have members with open streams. */
apr_status_t sse_store_presence_owners(sse_store_t *store,
                                       sse_store_owner_fn *fn, void *baton);

/** At most max members of that child with open streams.  A LEAVE takes one out,
 *  with or without grace, so the next call gives others. */
apr_status_t sse_store_presence_of(sse_store_t *store, sse_slice_t owner,
                                   int max, sse_store_member_fn *fn,
                                   void *baton);

/** At most max members whose time of grace is over, the longest first. */
apr_status_t sse_store_presence_due(sse_store_t *store, apr_time_t now, int max,
                                    sse_store_member_fn *fn, void *baton);

/* -- A child: what there is, for those who watch it ------------------------ */

/**
 * Channels whose keys begin with prefix, in the order of their bytes, in one
 * snapshot.  Costs what is given, however many others there are.
 * @param after empty, or the key after which they begin
 * @param max of them; 0: none
 * @param more out: there is one after these
 * @return or what fn returned; APR_ENOTIMPL: this provider does not know;
 *         likewise below
 */
apr_status_t sse_store_channels(sse_store_t *store, sse_slice_t prefix,
                                sse_slice_t after, int max,
                                sse_store_channel_fn *fn, void *baton,
                                int *more);

/** The same of one channel; all zero, but for its key, where nothing is known
 *  of it. */
apr_status_t sse_store_channel(sse_store_t *store, sse_slice_t key,
                               sse_store_channel_t *channel);

/** Costs the same however large the store is. */
apr_status_t sse_store_sizes(sse_store_t *store, sse_store_sizes_t *sizes);

/* -- A child: the rest ----------------------------------------------------- */

/** Do a bounded piece of housekeeping: remove events over their age, records
 *  that have lingered, empty channels, dead readers.  Each child calls it every
 *  few seconds.
 *  @param more out: there is more to do: call again soon */
apr_status_t sse_store_tidy(sse_store_t *store, apr_time_t now, int *more);

/** Limit the number of this child's threads that wait in sse_store_append() and
 *  sse_store_forget() while the store accepts nothing; further threads get
 *  SSE_STORE_EBUSY at once.  No limit by default.
 *  @param may_stay NULL, or asked for each thread within the limit */
void sse_store_limit(sse_store_t *store, int publishers,
                     sse_store_stay_fn *may_stay);

/** What has happened since the last call and should be logged, a constant; or
 *  NULL. */
const char *sse_store_report(sse_store_t *store);

/** For the log: what a status that one of these functions has returned means,
 *  and what the administrator should do; a constant. */
const char *sse_store_advice(const sse_store_t *store, apr_status_t status);

/** For the client whose request failed: what the status means; a constant. */
const char *sse_store_answer(const sse_store_t *store, apr_status_t status);

#endif /* SSE_STORE_H */
