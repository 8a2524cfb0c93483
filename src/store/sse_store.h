/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_store.h
 * The store: where events live between their publisher and their readers.
 *
 * One log of events, in the order of their ids, shared by all children of a
 * server and surviving restarts; and for each channel the ids it remembers.
 * What keeps them is a provider's, see sse_store_provider.h; the server's
 * configuration names it.  A library of its own: APR and the providers'
 * libraries only, no httpd.
 *
 * Ids: one sequence for the whole store.  The origin of a new store is its
 * creation time in microseconds, each id is one more than the one before.
 * So ids of another (or an earlier) store fall outside [origin, last], ids grow
 * even when a damaged store is replaced, and they stay exact in a double.
 * A reader who sees a hole in the sequence knows that it missed something.
 *
 * History: what a channel keeps, by count, age and bytes, as its last
 * publisher said.  An event that falls out of its channel's history stays in
 * the log for SSE_STORE_LINGER so that every child still reads it.
 *
 * Channels are opaque keys of 1 to SSE_STORE_KEY_MAX bytes.  What a key has up
 * to its first NUL byte names its owner, whose channels share what the store
 * has room for: where that is not enough, the owner that takes most gives up
 * events first, and of these the channel that takes most.
 *
 * Threads: sse_store_configure() to sse_store_remark() are the parent's.  All
 * else in a child, on any thread, also at the same time.  The store calls the
 * module only by what it was given: a sse_store_fn, on the calling thread,
 * inside a read transaction, which must be quick and must not call the store;
 * and sse_store_announce_fn and sse_store_stay_fn, see there.
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

typedef apr_uint64_t sse_id_t;

/** The store's own size is too small for this, whatever it evicts. */
#define SSE_STORE_ESIZE (APR_OS_START_USERERR + 1)
/** What the store was kept in is gone, or cannot be used any more. */
#define SSE_STORE_EGONE (APR_OS_START_USERERR + 2)
/** What is in the store contradicts itself. */
#define SSE_STORE_EDAMAGED (APR_OS_START_USERERR + 3)
/** Others use the store, and it did not get its turn in time. */
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
    SSE_RECORD_FORGET = 1 /**< the channel was ended and forgotten */
} sse_record_e;

/** One record of the log.  Slices live until the callback returns. */
typedef struct {
    sse_id_t id;
    apr_time_t time; /**< when it was appended */
    sse_record_e kind;
    sse_slice_t channel; /**< the channel's key */
    sse_fields_t fields; /**< event, data, retry; id and comment are absent */
} sse_record_t;

/** @return APR_SUCCESS to go on; anything else stops the reading, is what the
 *          reading function returns, and that record counts as not read */
typedef apr_status_t sse_store_fn(void *baton, const sse_record_t *record);

/** by 1: @return whether one more thread may wait for a store that accepts
 *  nothing; -1: such a thread waits no longer.  Any thread, with locks held:
 *  quick. */
typedef int sse_store_stay_fn(int by);

/** There are new records, whoever added them.  Any thread, also one of the
 *  store's own, with no lock held. */
typedef void sse_store_announce_fn(void);

/** One event to append. */
typedef struct {
    sse_slice_t channel;
    sse_fields_t fields;     /**< event, data (present), retry are stored */
    sse_slice_t idempotency; /**< the publisher's own key; or empty */
    const sse_history_t *history;
    sse_id_t id;   /**< out: its id, or the first one's of its idempotency */
    int duplicate; /**< out: it was there already, nothing was added */
} sse_append_t;

/** Where a subscriber stands. */
typedef struct {
    sse_id_t last;   /**< the newest id of the store; origin when it is empty */
    sse_id_t oldest; /**< the first id kept for these channels; 0: none */
    int gap;         /**< something after the asked id is no longer kept, or
                          the asked id is not one of this store's */
} sse_position_t;

/* -- The parent ------------------------------------------------------------ */

/**
 * Read settings.
 * @param dir the runtime directory, absolute: relative paths are below it
 * @param argv a provider's name, then its "key=value" each; none: the default
 *        provider as it is by default
 * @return NULL, or what is wrong, with the value and what is allowed
 */
const char *sse_store_configure(sse_store_conf_t **conf, apr_pool_t *pool,
                                const char *dir, int argc,
                                const char *const *argv);

/**
 * Before children are made, at every (re)start, while children of the last
 * generation may have the store open: make what they need and give it to their
 * user; what is damaged or of another version is kept under a name that says
 * so, and a new store begun.  Waits for seconds, not minutes, unless a large
 * store has to be checked.
 * @param uid,gid whom it shall belong to; (apr_uid_t)-1: whom it does
 * @param notice out: NULL, or what the administrator should read
 * @return APR_SUCCESS or an error, then *notice says what to do; a child can
 *         open the store all the same, and goes on by itself when what was
 *         wrong has been mended
 */
apr_status_t sse_store_prepare(const sse_store_conf_t *conf, apr_uid_t uid,
                               apr_gid_t gid, const char **notice,
                               apr_pool_t *pool);

/**
 * What sse_store_prepare() would fail with, as far as can be told with nothing
 * changed or locked: for a test of the configuration.
 * @return NULL, or what is wrong and what to do
 */
const char *sse_store_test(const sse_store_conf_t *conf, apr_uid_t uid,
                           apr_gid_t gid, apr_pool_t *pool);

/** What the administrator should know of these settings at each start, in
 *  pool; or NULL. */
const char *sse_store_remark(const sse_store_conf_t *conf, apr_pool_t *pool);

/** A directory of this machine that children may write to, made by
 *  sse_store_prepare(): for files of the module's own. */
const char *sse_store_private_dir(const sse_store_conf_t *conf);

/* -- A child --------------------------------------------------------------- */

/**
 * Open it.  Where there is nothing to open it succeeds all the same: all else
 * fails then, until there is, and sse_store_report() says so.
 * @param announce NULL, or called whenever there are new records
 * @return APR_SUCCESS, or APR_ENOMEM
 */
apr_status_t sse_store_open(sse_store_t **store, const sse_store_conf_t *conf,
                            sse_store_announce_fn *announce, apr_pool_t *pool);

/**
 * Append all of them, in order, in one transaction: all or none, and on return
 * they will not be lost (see the provider's settings).  What falls out of the
 * channels' histories goes in the same transaction.  Announced.
 * @return APR_SUCCESS; APR_ENOSPC: what the store is kept in is full; EROFS: it
 *         is read-only; SSE_STORE_ESIZE: no room, even after events were
 *         evicted; SSE_STORE_EGONE; SSE_STORE_EDAMAGED; APR_EINVAL: a channel
 *         or idempotency key of a length that is not allowed; SSE_STORE_EBUSY:
 *         nothing was published, after 5 s or at once, see sse_store_limit();
 *         else the cause.  Once that has gone, appending works again
 */
apr_status_t sse_store_append(sse_store_t *store, sse_append_t *items, int n);

/**
 * Forget a channel: its history goes, and a SSE_RECORD_FORGET is appended so
 * that every child hears of it.  A channel nobody knows is no error.
 * @param id out: of that record
 * @return as sse_store_append()
 */
apr_status_t sse_store_forget(sse_store_t *store, sse_slice_t channel,
                              sse_id_t *id);

/* What follows returns APR_SUCCESS; APR_EINVAL: a channel's length;
 * SSE_STORE_EBUSY: try again in a moment; SSE_STORE_EGONE; SSE_STORE_EDAMAGED;
 * or the cause. */

/** The newest id (origin when nothing was ever appended). */
apr_status_t sse_store_last(sse_store_t *store, sse_id_t *id);

/** Where a subscriber to these channels stands who has seen after.  One
 *  snapshot for all that it answers. */
apr_status_t sse_store_look(sse_store_t *store, const sse_slice_t *channels,
                            int n, sse_id_t after, sse_position_t *position);

/** The id after which the count newest kept events of these channels lie, so
 *  that sse_store_history() after it gives them; fewer if fewer are kept.
 *  count below 0: all that is kept. */
apr_status_t sse_store_tail(sse_store_t *store, const sse_slice_t *channels,
                            int n, apr_int64_t count, sse_id_t *after);

/**
 * The kept events of these channels with after < id <= upto, in the order of
 * their ids, until about max_bytes of data were given (at least one event).
 * @param next out: read on after this id; when all were given upto, but not
 *        beyond the newest id unless after is
 * @param known NULL, or n ids, 0 at first: in and out, up to where it was said
 *        of each channel that something is gone
 * @param gap out: events after "after", and not only those that are known to
 *        be, were evicted before this call
 * @return also what fn returned, unless that is APR_SUCCESS
 */
apr_status_t sse_store_history(sse_store_t *store, const sse_slice_t *channels,
                               int n, sse_id_t after, sse_id_t upto,
                               apr_size_t max_bytes, sse_store_fn *fn,
                               void *baton, sse_id_t *known, sse_id_t *next,
                               int *gap);

/**
 * The log: all records of all channels after that id, in order, max at most.
 * @param next out: the id to go on after
 * @param missing out: records in (after, next] are gone (a hole)
 * @return also what fn returned, unless that is APR_SUCCESS
 */
apr_status_t sse_store_follow(sse_store_t *store, sse_id_t after, int max,
                              sse_store_fn *fn, void *baton, sse_id_t *next,
                              int *missing);

/**
 * Housekeeping, a bounded piece of it: events over their age, records that
 * lingered long enough, channels without history, dead readers.  For any child
 * to call now and then (every few seconds).
 * @param more out: there is more to do; call again soon
 */
apr_status_t sse_store_tidy(sse_store_t *store, apr_time_t now, int *more);

/** How many of this child's threads may wait in sse_store_append() and
 *  sse_store_forget() while the store accepts nothing; the others get
 *  SSE_STORE_EBUSY at once.  No limit unless called.
 *  @param may_stay NULL, or asked for those, too */
void sse_store_limit(sse_store_t *store, int publishers,
                     sse_store_stay_fn *may_stay);

/** What has happened since the last call that the administrator should read, a
 *  constant; or NULL. */
const char *sse_store_report(sse_store_t *store);

/** What is wrong where a function of the store returned that status, and what
 *  the administrator should do; a constant. */
const char *sse_store_advice(const sse_store_t *store, apr_status_t status);

/** The same for the client whose request failed: what is wrong. */
const char *sse_store_answer(const sse_store_t *store, apr_status_t status);

#endif /* SSE_STORE_H */
