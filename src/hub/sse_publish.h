/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_publish.h
 * The only way into the store, for HTTP and C alike: checks, appends, and
 * deletes channels.  Logs that the store fails, at most once a minute, and that
 * it works again.
 *
 * Threads: any in a child that has a hub, see sse_hub().  Blocks as the store
 * does.
 */

#ifndef SSE_PUBLISH_H
#define SSE_PUBLISH_H

#include "notify/sse_listeners.h"

/** Check an event to be published, whose id is the publisher's idempotency key.
 *  Removes an empty event name, which means the same as none.
 *  @return NULL, or why it must not be published, a static string */
const char *sse_publish_check(sse_fields_t *event);

/** Make a checked event an item for sse_publish_append().  Copies no bytes:
 *  what the arguments point to must outlive the item. */
void sse_publish_item(sse_append_t *item, sse_slice_t channel,
                      const sse_fields_t *event, const sse_history_t *history);

/** sse_store_append(), which wakes the hubs of all children.
 *  @param by who publishes: told to listeners */
apr_status_t sse_publish_append(const sse_publisher_t *by, sse_append_t *items,
                                int n);

/** sse_store_forget(): delete a channel. */
apr_status_t sse_publish_forget(sse_slice_t channel, sse_id_t *id);

/** For the publisher: what a failed status of these means; a constant. */
const char *sse_publish_reason(apr_status_t rv);

#endif /* SSE_PUBLISH_H */
