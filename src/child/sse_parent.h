/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_parent.h
 * What the parent process prepares for its children: the checked configuration,
 * the store, and what the children share.
 *
 * Threads: the parent's one thread; what sse_parent() points to is const after
 * post_config, and each child has its copy.
 */

#ifndef SSE_PARENT_H
#define SSE_PARENT_H

#include <httpd.h>
#include <mpm_common.h>

#include "store/sse_store.h"

typedef struct {
    int appended;           /**< the broadcast for new events */
    int ended;              /**< the broadcast for children that have ended */
    sse_store_conf_t *conf; /**< the store's settings */
} sse_parent_t;

const sse_parent_t *sse_parent(void);

/* Hooks: check_config, post_config, child_status. */
int sse_parent_check_config(apr_pool_t *pconf, apr_pool_t *plog,
                            apr_pool_t *ptemp, server_rec *s);
int sse_parent_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                           apr_pool_t *ptemp, server_rec *s);
void sse_parent_child_ended(server_rec *s, pid_t pid, ap_generation_t gen,
                            int slot, mpm_child_status status);

#endif /* SSE_PARENT_H */
