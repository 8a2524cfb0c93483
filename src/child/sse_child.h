/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_child.h
 * What one child process has: its store, its loop, its hub.
 *
 * Made by child_init, gone with the child.  A server whose configuration has
 * no use for the module makes it all the same, since a handler may be set by
 * .htaccess; it costs one sleeping thread.
 *
 * Threads: made before the child serves anything; const afterwards.
 */

#ifndef SSE_CHILD_H
#define SSE_CHILD_H

#include <httpd.h>
#include <mpm_common.h>

#include "store/sse_store.h"

struct sse_loop_t;
struct sse_hub_t;

typedef struct {
    const sse_store_provider_t *provider;
    sse_store_t *store; /**< NULL: it could not be opened, see the log */
    struct sse_loop_t *loop;
    struct sse_hub_t *hub; /**< NULL: likewise */
    server_rec *server;    /**< the main one, to log with */
    apr_time_t born;       /**< with the pid, which child it is */
    int is_counted;        /**< it has a slot in the counters */
} sse_child_t;

/** This child's, or NULL where child_init has not run or failed. */
sse_child_t *sse_child(void);

/** Tell every child of this server, of all its generations, that the store has
 *  something new.  Any thread; costs one system call. */
void sse_child_wake_all(void);

/** Append to this child's store, which must be open, and wake all children.
 *  That it fails is logged, once a minute, and that it works again.  Any
 *  thread; blocks as the store does. @return what the store's append() does */
apr_status_t sse_child_append(sse_append_t *items, int n);

/** The same for the end of a channel. @param id out: of the record of that */
apr_status_t sse_child_forget(sse_slice_t channel, sse_id_t *id);

/* For the module record. */
int sse_child_check_config(apr_pool_t *pconf, apr_pool_t *plog,
                           apr_pool_t *ptemp, server_rec *s);
int sse_child_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                          apr_pool_t *ptemp, server_rec *s);
void sse_child_init(apr_pool_t *pchild, server_rec *s);
void sse_child_stopping(apr_pool_t *pchild, int graceful);
void sse_child_ended(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                     mpm_child_status status);

#endif /* SSE_CHILD_H */
