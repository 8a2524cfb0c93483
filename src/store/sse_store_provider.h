/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_store_provider.h
 * What keeps a store's events: one table of functions for each way there is.
 * For providers; whoever uses a store needs sse_store.h only.
 *
 * A provider defines its settings and its store with the structs below as their
 * first members.  What a function has to do and may return is said where
 * sse_store.h declares the one of its name; where that says APR_EINVAL, what is
 * passed on has been checked.
 *
 * Built-in providers stand in sse_store_providers.h.
 *
 * Threads: sse_store_register() before the configuration is read; the table's
 * functions as those of sse_store.h.
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

    /** Make settings of argc times "key=value", in pool.
     *  @return NULL, or what is wrong, with the value and what is allowed */
    const char *(*configure)(sse_store_conf_t **conf, apr_pool_t *pool,
                             const char *dir, int argc,
                             const char *const *argv);

    /** At every start: make what children need, move aside what is no good. */
    apr_status_t (*prepare)(const sse_store_conf_t *conf, apr_uid_t uid,
                            apr_gid_t gid, const char **notice,
                            apr_pool_t *pool);

    /** Whether prepare() would fail, with nothing changed. */
    const char *(*test)(const sse_store_conf_t *conf, apr_uid_t uid,
                        apr_gid_t gid, apr_pool_t *pool);

    /** NULL, or what to log of these settings at each start. */
    const char *(*remark)(const sse_store_conf_t *conf, apr_pool_t *pool);

    /** The directory of this machine that prepare() makes. */
    const char *(*private_dir)(const sse_store_conf_t *conf);

    /** Make the child's object, which begins with a copy of base; threads of
     *  its own may run from here until the pool's cleanup has ended them. */
    apr_status_t (*open)(sse_store_t **store, const sse_store_t *base,
                         const sse_store_conf_t *conf, apr_pool_t *pool);

    /** Add events, all or none; blocks for 5 s at most.  Their ids and
     *  duplicate are set.  The caller announces them. */
    apr_status_t (*append)(sse_store_t *store, sse_append_t *items, int n);

    /** Add a SSE_RECORD_FORGET.  The caller announces it. */
    apr_status_t (*forget)(sse_store_t *store, sse_slice_t channel,
                           sse_id_t *id);

    /* Readers: for the loop, too, so they wait for no other process. */

    /** The newest id. */
    apr_status_t (*last)(sse_store_t *store, sse_id_t *id);

    /** Where a subscriber stands, of one snapshot. */
    apr_status_t (*look)(sse_store_t *store, const sse_slice_t *channels, int n,
                         sse_id_t after, sse_position_t *position);

    /** The id before the count newest events. */
    apr_status_t (*tail)(sse_store_t *store, const sse_slice_t *channels, int n,
                         apr_int64_t count, sse_id_t *after);

    /** Some channels' kept events, some at a time. */
    apr_status_t (*history)(sse_store_t *store, const sse_slice_t *channels,
                            int n, sse_id_t after, sse_id_t upto,
                            apr_size_t max_bytes, sse_store_fn *fn, void *baton,
                            sse_id_t *known, sse_id_t *next, int *gap);

    /** All channels' records, some at a time. */
    apr_status_t (*follow)(sse_store_t *store, sse_id_t after, int max,
                           sse_store_fn *fn, void *baton, sse_id_t *next,
                           int *missing);

    /** A bounded piece of housekeeping, on a thread that may block. */
    apr_status_t (*tidy)(sse_store_t *store, apr_time_t now, int *more);

    /** How many threads may be blocked in append() and forget(). */
    void (*limit)(sse_store_t *store, int publishers,
                  sse_store_stay_fn *may_stay);

    /** What has happened since the last call, a constant; or NULL. */
    const char *(*report)(sse_store_t *store);

    /** For any status of the above: what is wrong, and what to do. */
    const char *(*advice)(apr_status_t status);

    /** The same for a client: what is wrong. */
    const char *(*answer)(apr_status_t status);
};

/** Whether these can be keys of channels. */
int sse_store_are_keys(const sse_slice_t *channels, int n);

/** Tell all children of new records.  Only for records that no call of append()
 *  or forget() has added: by a thread of the provider's that follows another
 *  machine, say.  Any thread. */
void sse_store_announce(const sse_store_t *store);

/** Make a provider known, for ever.  Again is no error.
 *  @return APR_SUCCESS; APR_EEXIST: another one has its name; APR_ENOSPC */
apr_status_t sse_store_register(const sse_store_provider_t *provider);

#endif /* SSE_STORE_PROVIDER_H */
