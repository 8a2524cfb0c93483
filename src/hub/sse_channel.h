/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_channel.h
 * What a channel's name may be, and the key by which the store knows it.
 *
 * Threads: any.
 */

#ifndef SSE_CHANNEL_H
#define SSE_CHANNEL_H

#include <httpd.h>

#include "event/sse_event.h"

/**
 * The store's key of a channel of this host: namespace, NUL, name.
 * @param key out: in pool
 * @return 0: the name is not 1 to SSE_CHANNEL_MAX bytes of UTF-8 without
 *         control characters
 */
int sse_channel_key(const server_rec *s, const char *name, apr_pool_t *pool,
                    sse_slice_t *key);

#endif /* SSE_CHANNEL_H */
