/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_publish.h
 * The one door by which events come into the store, whoever publishes: what is
 * checked of each event, the appending, and the end of a channel.
 *
 * A store that fails is told of in the log here, once a minute, and so is that
 * it works again.
 *
 * Threads: any in a child that has a hub, see sse_hub().  Appending blocks as
 * the store does.
 */

#ifndef SSE_PUBLISH_H
#define SSE_PUBLISH_H

#include "store/sse_store.h"

/**
 * Check an event that somebody wants to publish.  Its id is the publisher's
 * idempotency key.  An empty event name, which means the same as none, is taken
 * out.
 * @return NULL: it may be published; else why not, a static string
 */
const char *sse_publish_check(sse_fields_t *event);

/** Make a checked event an item for sse_publish_append().  Nothing is copied:
 *  what the event, the key and the history point to must outlive the item. */
void sse_publish_item(sse_append_t *item, sse_slice_t channel,
                      const sse_fields_t *event, const sse_history_t *history);

/** Append these to the store, in one transaction, and wake the hubs of all
 *  children. @return what the store's append() returns */
apr_status_t sse_publish_append(sse_append_t *items, int n);

/** End a channel, and forget its events.
 *  @param id out: of the record that ends it
 *  @return what the store's forget() returns */
apr_status_t sse_publish_forget(sse_slice_t channel, sse_id_t *id);

/** What is wrong where one of these failed with that status, in words for the
 *  publisher; a constant. */
const char *sse_publish_reason(apr_status_t rv);

#endif /* SSE_PUBLISH_H */
