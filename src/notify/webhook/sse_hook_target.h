/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_target.h
 * Who is told by webhooks: a URL, and how calls to it are sent.  A call that
 * waits on disk has its target as one line, which is understood by any child
 * and after a restart.
 *
 * The line names files, of a key and of certificates, but has nothing of what
 * is in them.  Files are read while the configuration is, by root; children
 * have the bytes by the file's name.  URLs are registered then, too: a call to
 * one that is configured no longer is not sent.  So a directive that names a
 * URL or a file must not stand in .htaccess.
 *
 * What is registered lives as long as the configuration (its pool), and is
 * constant in children.
 *
 * Threads: the register functions the one that reads the configuration;
 * everything else any.
 */

#ifndef SSE_HOOK_TARGET_H
#define SSE_HOOK_TARGET_H

#include <apr_pools.h>
#include <apr_time.h>

#include "config/sse_config.h"
#include "event/sse_event.h"

/** Bytes of a key. */
#define SSE_HOOK_KEY_MIN 16
#define SSE_HOOK_KEY_MAX 4096

typedef struct {
    const char *url;          /**< http: or https: */
    const char *secret;       /**< a file's name; NULL: calls are not signed */
    const char *ca;           /**< a file's name; NULL: those of the system */
    int count;                /**< calls in one request at most; at least 1 */
    apr_interval_time_t wait; /**< how long a call waits for others */
    int connections;          /**< at most so many, in each child */
} sse_hook_target_t;

/** Register a URL; again without effect.
 *  @param pconf the configuration's pool
 *  @return NULL, or what is wrong with it, to follow "URL: " */
const char *sse_hook_target_url(const char *url, apr_pool_t *pconf);

/** Register a key: the bytes of that file, without a line end after them.
 *  @param file its whole path
 *  @return NULL, or what is wrong with it, to follow "FILE: " */
const char *sse_hook_target_secret(const char *file, apr_pool_t *pconf);

/** Register certificates of authorities (PEM), one or more.
 *  @return as sse_hook_target_secret() */
const char *sse_hook_target_ca(const char *file, apr_pool_t *pconf);

/** The target as a line, to be kept with its calls. */
char *sse_hook_target_text(const sse_hook_target_t *target, apr_pool_t *pool);

/** Read such a line.
 *  @return 0: it is none, or one of a later version of this module */
int sse_hook_target_parse(sse_hook_target_t *target, sse_slice_t line,
                          apr_pool_t *pool);

/** Whether its URL, key and certificates are registered.
 *  @return NULL, or the directive that has what is missing no longer */
const char *sse_hook_target_missing(const sse_hook_target_t *target);

/** The bytes of its key, of its certificates; empty where it has none. */
sse_slice_t sse_hook_target_key(const sse_hook_target_t *target);
sse_slice_t sse_hook_target_authorities(const sse_hook_target_t *target);

/** Its URL as it may stand in a log: without the query, which may have words
 *  that are secret. */
const char *sse_hook_target_name(const sse_hook_target_t *target,
                                 apr_pool_t *pool);

#endif /* SSE_HOOK_TARGET_H */
