/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_store_provider.h
 * What a provider implements: one table of functions.  Whoever uses a store
 * needs sse_store.h only.
 *
 * A provider's settings and its store begin with the structs below.  Each
 * function fulfils the contract of its namesake in sse_store.h; arguments for
 * which that returns APR_EINVAL do not get here.
 *
 * Threads: as in sse_store.h; sse_store_register() before the configuration is
 * read.
 */

#ifndef SSE_STORE_PROVIDER_H
#define SSE_STORE_PROVIDER_H

#include "store/sse_store.h"

typedef struct sse_store_provider_t sse_store_provider_t;

struct sse_store_conf_t {
    const sse_store_provider_t *provider; /**< set by sse_store_configure() */
};

struct sse_store_t {
    const sse_store_provider_t *provider; /**< const */
    sse_store_announce_fn *announce;      /**< const; NULL: nobody listens */
};

struct sse_store_provider_t {
    const char *name; /**< the first word of SSEStore */

    /** Make settings of argc strings "key=value"; the provider's name is not
     *  among them. */
    const char *(*configure)(sse_store_conf_t **conf, apr_pool_t *pool,
                             const char *dir, int argc,
                             const char *const *argv);

    /** At every start: make what children need. */
    apr_status_t (*prepare)(const sse_store_conf_t *conf, apr_uid_t uid,
                            apr_gid_t gid, const char **notice,
                            apr_pool_t *pool);

    /** Would prepare() fail? */
    const char *(*test)(const sse_store_conf_t *conf, apr_uid_t uid,
                        apr_gid_t gid, apr_pool_t *pool);

    /** What to log at each start, or NULL. */
    const char *(*remark)(const sse_store_conf_t *conf, apr_pool_t *pool);

    /** The local directory that prepare() makes. */
    const char *(*private_dir)(const sse_store_conf_t *conf);

    /** Make the child's object, which begins with a copy of base.  It may have
     *  threads, which its pool's cleanup joins. */
    apr_status_t (*open)(sse_store_t **store, const sse_store_t *base,
                         const sse_store_conf_t *conf, apr_pool_t *pool);

    /** Add n > 0 events, all or none, and set their id and duplicate.  Blocks
     *  for 5 s at most.  The caller announces them. */
    apr_status_t (*append)(sse_store_t *store, sse_append_t *items, int n);

    /** Remove a channel.  The caller announces it. */
    apr_status_t (*forget)(sse_store_t *store, sse_slice_t channel,
                           sse_id_t *id);

    /* The readers: the loop calls them, too, so they must not block. */

    /** The newest id. */
    apr_status_t (*last)(sse_store_t *store, sse_id_t *id);

    /** NULL: the clock's time.  Else the time that records appended now would
     *  have. */
    apr_status_t (*now)(sse_store_t *store, apr_time_t *now);

    /** A subscriber's position. */
    apr_status_t (*look)(sse_store_t *store, const sse_slice_t *channels, int n,
                         sse_id_t after, sse_position_t *position);

    /** The id before the newest events. */
    apr_status_t (*tail)(sse_store_t *store, const sse_slice_t *channels, int n,
                         apr_int64_t count, sse_id_t *after);

    /** Events of some channels. */
    apr_status_t (*history)(sse_store_t *store, const sse_slice_t *channels,
                            int n, sse_id_t after, sse_id_t upto,
                            apr_size_t max_bytes, sse_store_fn *fn, void *baton,
                            sse_id_t *known, sse_id_t *next, int *gap);

    /** Records of all channels. */
    apr_status_t (*follow)(sse_store_t *store, sse_id_t after, int max,
                           sse_store_fn *fn, void *baton, sse_id_t *next,
                           int *missing);

    /** Housekeeping; may block. */
    apr_status_t (*tidy)(sse_store_t *store, apr_time_t now, int *more);

    /** How many threads may wait in append() and forget(). */
    void (*limit)(sse_store_t *store, int publishers,
                  sse_store_stay_fn *may_stay);

    /** What should be logged, or NULL. */
    const char *(*report)(sse_store_t *store);

    /** What a status means, for the log; never NULL. */
    const char *(*advice)(apr_status_t status);

    /** What a status means, for a client; never NULL. */
    const char *(*answer)(apr_status_t status);

    /* Presence.  NULL: this provider knows none; all or none of them. */

    /** Make 0 < n changes, all or none.  Blocks as append() does.  The caller
     *  announces them. */
    apr_status_t (*change)(sse_store_t *store, sse_presence_t *changes, int n);

    /* Readers, as above. */

    /** A channel's members. */
    apr_status_t (*members)(sse_store_t *store, sse_slice_t channel, int max,
                            sse_store_member_fn *fn, void *baton,
                            sse_id_t *last, apr_uint64_t *streams,
                            apr_uint64_t *users);

    /** The children that have members. */
    apr_status_t (*owners)(sse_store_t *store, sse_store_owner_fn *fn,
                           void *baton);

    /** A child's members. */
    apr_status_t (*members_of)(sse_store_t *store, sse_slice_t owner, int max,
                               sse_store_member_fn *fn, void *baton);

    /** Members whose time is over. */
    apr_status_t (*members_due)(sse_store_t *store, apr_time_t now, int max,
                                sse_store_member_fn *fn, void *baton);

    /* What there is, for sse-status.  NULL: this provider does not know.
     * Readers, as above. */

    /** Channels by the beginning of their keys. */
    apr_status_t (*channels)(sse_store_t *store, sse_slice_t prefix,
                             sse_slice_t after, int max,
                             sse_store_channel_fn *fn, void *baton, int *more);

    /** One channel; *channel has its key, and zeros. */
    apr_status_t (*channel)(sse_store_t *store, sse_slice_t key,
                            sse_store_channel_t *channel);

    /** How large it is. */
    apr_status_t (*sizes)(sse_store_t *store, sse_store_sizes_t *sizes);
};

/** Whether these can be keys of channels. */
int sse_store_are_keys(const sse_slice_t *channels, int n);

/** Tell all children of records that no call of append() or forget() has added
 *  (a thread that follows another machine has, say).  Any thread. */
void sse_store_announce(const sse_store_t *store);

/** Make a provider known by its name; it must live for ever.
 *  @return APR_SUCCESS, also if it is known already; APR_EEXIST: another has
 *          this name; APR_ENOSPC: there are too many */
apr_status_t sse_store_register(const sse_store_provider_t *provider);

#endif /* SSE_STORE_PROVIDER_H */
