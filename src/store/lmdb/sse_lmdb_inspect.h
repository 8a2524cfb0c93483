/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lmdb_inspect.h
 * Looking into an LMDB store from outside of the server, in use or at rest:
 * what its administrator wants to know and subscribers never ask.
 *
 * Nothing is created and nothing of the store is written.  A snapshot is held
 * for a moment only (SSE_INSPECT_MOMENT), never while a callback runs, so that
 * publishers find free pages however slowly the reader goes on.
 *
 * With a lock file there the store is opened as its children do, and has a
 * reader's slot.  Without one nobody uses it (a copy, say): it is read without
 * locks, as making the file would be creating something, with an owner the
 * server may not like.  Who calls has to see that none has come up meanwhile.
 *
 * A damaged file can kill the process: run this in one of its own.
 *
 * Threads: one sse_inspect_t belongs to one thread.
 */

#ifndef SSE_LMDB_INSPECT_H
#define SSE_LMDB_INSPECT_H

#include "store/lmdb/sse_lmdb.h"

/** A longer look is cut into pieces, each of another snapshot. */
#define SSE_INSPECT_MOMENT apr_time_from_msec(100)

typedef enum {
    SSE_INSPECT_OK = 0,
    SSE_INSPECT_DAMAGED = 1,
    SSE_INSPECT_UNREADABLE = 3 /**< missing, not allowed, another version */
} sse_inspect_e;

/** Made by sse_inspect_open(), which fills it in; dies by sse_inspect_close()
 *  whatever that returned. */
typedef struct {
    sse_lmdb_conf_t *conf;
    sse_lmdb_t *store; /**< for the provider's reading functions; or NULL */
    char words[512];   /**< what is wrong, after a result that is not OK */
} sse_inspect_t;

typedef struct {
    unsigned int version;
    sse_id_t origin;
    sse_id_t last;
    apr_uint64_t used;  /**< bytes that the databases' pages take */
    apr_uint64_t soft;  /**< bytes from which on the oldest is given up */
    apr_uint64_t limit; /**< bytes of the map, the largest it ever had */
    apr_uint64_t channels;
    apr_uint64_t events;    /**< records in the log */
    apr_uint64_t lingering; /**< those of them that are in no history */
    apr_uint64_t forgotten; /**< channels yet to be taken apart */
    int readers;            /**< slots taken, without one's own */
    int reading;            /**< those of them that hold a snapshot */
} sse_inspect_stat_t;

/** A channel, what is over its age not counted. */
typedef struct {
    sse_slice_t key;
    apr_uint64_t count; /**< events that a subscriber would get */
    apr_uint64_t bytes; /**< of their data and event names */
    sse_id_t first;     /**< of them; 0: there is none */
    sse_id_t last;      /**< the newest, kept or not; 0: forgotten before one */
    apr_time_t last_time;
} sse_inspect_channel_t;

/** @return 0 to go on */
typedef int sse_inspect_channel_fn(void *baton,
                                   const sse_inspect_channel_t *channel);
/** @return 0 to go on */
typedef int sse_inspect_text_fn(void *baton, const char *text, apr_size_t len);

sse_inspect_e sse_inspect_open(sse_inspect_t *inspect, const char *dir);
void sse_inspect_close(sse_inspect_t *inspect);

sse_inspect_e sse_inspect_stat(sse_inspect_t *inspect,
                               sse_inspect_stat_t *stat);

/** All channels in the order of their keys, from that key on. */
sse_inspect_e sse_inspect_channels(sse_inspect_t *inspect, sse_slice_t from,
                                   sse_inspect_channel_fn *fn, void *baton);

/** A channel's kept events up to the newest there is now, as
 *  text/event-stream with their ids.  Text comes in pieces, whole events
 *  each. */
sse_inspect_e sse_inspect_dump(sse_inspect_t *inspect, sse_slice_t key,
                               sse_inspect_text_fn *fn, void *baton);

/** sse_lmdb_verify.c: walk all of it, and see whether what is said in one place
 *  is so in the other. */
sse_inspect_e sse_inspect_check(sse_inspect_t *inspect);

/** Put LMDB's code in words. @param what the part that was looked at */
sse_inspect_e sse_inspect_fail(sse_inspect_t *inspect, int rc,
                               const char *what);

#endif /* SSE_LMDB_INSPECT_H */
