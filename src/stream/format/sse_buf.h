/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_buf.h
 * Bytes of one formatted event, shared by all streams that send it.
 *
 * Formatted once per child, then counted: a queue entry and a bucket are a
 * reference each, and the last one frees it.  The bucket type sets nothing
 * aside, so a slow client costs no copy.
 *
 * Threads: the bytes are const once made; the count is atomic.  Any thread.
 */

#ifndef SSE_BUF_H
#define SSE_BUF_H

#include <apr_buckets.h>

#include "store/sse_store.h"

typedef struct {
    apr_uint32_t refs; /* atomic; starts at 1, the maker's */
    sse_id_t id;       /* the event's id; 0: none of the store's */
    int events;        /* events in it; 0: comments or retry only */
    apr_size_t len;
    apr_size_t id_len; /* an application's own id, behind the data */
    char data[];
} sse_buf_t;

/** Room for len bytes, to be filled in by the maker; never NULL (like a pool,
 *  it ends the process when memory has run out). */
sse_buf_t *sse_buf_create(apr_size_t len);

/** The same for an event, which is len bytes on the wire, with what is to be
 *  known of it once it was sent.
 *  @param record with id 0 its fields.id, if any, is the application's own */
sse_buf_t *sse_buf_event(const sse_record_t *record, apr_size_t len);

/** A buffer with this text. */
sse_buf_t *sse_buf_text(const char *text);

sse_buf_t *sse_buf_acquire(sse_buf_t *buf);
void sse_buf_release(sse_buf_t *buf);

/** A bucket over its bytes, which takes over the caller's reference. */
apr_bucket *sse_buf_bucket(sse_buf_t *buf, apr_bucket_alloc_t *list);

#endif /* SSE_BUF_H */
