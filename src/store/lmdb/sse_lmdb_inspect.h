/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb_inspect.h
 * Reads an LMDB store for its administrator, whether httpd is using it or not.
 *
 * Nothing is created or written.  A snapshot is held for a moment only
 * (SSE_INSPECT_MOMENT) and never while a callback runs, so that publishers find
 * free pages however slow the callbacks are.
 *
 * A store that has a lock file is opened as children open it, with a slot in
 * the readers' table.  A store without one (a copy, say) is not in use, and is
 * read without locks: a lock file created here might have an owner that httpd
 * cannot work with.  The caller must check that none has appeared meanwhile.
 *
 * A damaged file can kill the process: run this in a process of its own.
 *
 * Threads: one sse_inspect_t belongs to one thread.
 */

#ifndef SSE_LMDB_INSPECT_H
#define SSE_LMDB_INSPECT_H

#include "store/lmdb/sse_lmdb.h"

/** Longer reads are cut into pieces, each with a snapshot of its own. */
#define SSE_INSPECT_MOMENT apr_time_from_msec(100)

typedef enum {
    SSE_INSPECT_OK = 0,
    SSE_INSPECT_DAMAGED = 1,
    SSE_INSPECT_UNREADABLE = 3 /**< missing, not allowed, another version */
} sse_inspect_e;

/** Filled in by sse_inspect_open(); must be closed whatever that returned. */
typedef struct {
    sse_lmdb_conf_t *conf;
    sse_lmdb_t *store; /**< for the provider's reading functions; or NULL */
    char words[512];   /**< after a result other than OK: what is wrong */
} sse_inspect_t;

typedef struct {
    unsigned int version;
    sse_id_t origin;
    sse_id_t last;
    apr_uint64_t used;  /**< bytes that the databases' pages take */
    apr_uint64_t soft;  /**< bytes above which the oldest events are evicted */
    apr_uint64_t limit; /**< bytes of the map; it never shrinks */
    apr_uint64_t channels;
    apr_uint64_t events;    /**< records in the log */
    apr_uint64_t lingering; /**< those of them in no history */
    apr_uint64_t
        forgotten; /**< removed channels whose remains are still there */
    apr_uint64_t presence; /**< channels that have members */
    apr_uint64_t members;
    int readers; /**< slots that others have taken */
    int reading; /**< those of them that hold a snapshot */
} sse_inspect_stat_t;

/** A channel that has a record or members; events over their age do not
 *  count. */
typedef struct {
    sse_slice_t key;
    apr_uint64_t count; /**< events in its history */
    apr_uint64_t bytes; /**< of their data and event names */
    sse_id_t first;     /**< oldest of them; 0: none */
    sse_id_t last; /**< the newest, kept or not; 0: none since it was removed */
    apr_time_t last_time; /**< 0: there is none */
    apr_uint64_t members;
} sse_inspect_channel_t;

/** A member of a channel; times are the machine's. */
typedef struct {
    sse_slice_t name, stream, user, owner;
    apr_time_t since;
    apr_time_t due; /**< 0: its stream is open */
} sse_inspect_member_t;

/** @return 0 to go on */
typedef int sse_inspect_channel_fn(void *baton,
                                   const sse_inspect_channel_t *channel);
/** @return 0 to go on */
typedef int sse_inspect_member_fn(void *baton,
                                  const sse_inspect_member_t *member);
/** @return 0 to go on */
typedef int sse_inspect_text_fn(void *baton, const char *text, apr_size_t len);

sse_inspect_e sse_inspect_open(sse_inspect_t *inspect, const char *dir);
void sse_inspect_close(sse_inspect_t *inspect);

sse_inspect_e sse_inspect_stat(sse_inspect_t *inspect,
                               sse_inspect_stat_t *stat);

/** All channels, in the order of their keys, from this key on. */
sse_inspect_e sse_inspect_channels(sse_inspect_t *inspect, sse_slice_t from,
                                   sse_inspect_channel_fn *fn, void *baton);

/** sse_lmdb_presence_inspect.c: the members of a channel, in the order in which
 *  they joined. */
sse_inspect_e sse_inspect_members(sse_inspect_t *inspect, sse_slice_t key,
                                  sse_inspect_member_fn *fn, void *baton);

/** A channel's history up to the newest id at the time of the call, as
 *  text/event-stream with ids, in pieces of whole events. */
sse_inspect_e sse_inspect_dump(sse_inspect_t *inspect, sse_slice_t key,
                               sse_inspect_text_fn *fn, void *baton);

/** sse_lmdb_verify.c: check that all databases agree with each other. */
sse_inspect_e sse_inspect_check(sse_inspect_t *inspect);

/** Put LMDB's code in words. @param what the part that was read */
sse_inspect_e sse_inspect_fail(sse_inspect_t *inspect, int rc,
                               const char *what);

#endif /* SSE_LMDB_INSPECT_H */
