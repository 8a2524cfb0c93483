/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_buf.h
 * The bytes of one formatted event, shared by all streams that send it.
 *
 * Formatted once per child, then reference-counted: each queue entry and each
 * bucket is a reference.  The bucket's setaside copies nothing, so a slow
 * client costs no memory for it.
 *
 * Threads: any; the bytes are const once made, the count is atomic.
 */

#ifndef SSE_BUF_H
#define SSE_BUF_H

#include <apr_buckets.h>

#include "store/sse_store.h"

typedef struct {
    apr_uint32_t refs;     /* atomic; starts at 1, the maker's */
    sse_id_t id;           /* the event's id; 0: none of the store's */
    int events;            /* events in it; 0: comments or retry only */
    apr_uint64_t appended; /* when, as of uv_hrtime(); 0: not known, or none of
                              the store's */
    apr_size_t len;
    apr_size_t id_len; /* an application's own id, behind the data */
    char data[];
} sse_buf_t;

/** Room for len bytes, to be filled in by the caller; never NULL (as with a
 *  pool, the process ends when it is out of memory). */
sse_buf_t *sse_buf_create(apr_size_t len);

/** The same for an event, which is len bytes on the wire, with what has to be
 *  known once it has been sent.
 *  @param record with id 0 its fields.id, if any, is the application's own */
sse_buf_t *sse_buf_event(const sse_record_t *record, apr_size_t len);

/** A buffer with this text. */
sse_buf_t *sse_buf_text(const char *text);

sse_buf_t *sse_buf_acquire(sse_buf_t *buf);
void sse_buf_release(sse_buf_t *buf);

/** A bucket of its bytes; takes over the caller's reference. */
apr_bucket *sse_buf_bucket(sse_buf_t *buf, apr_bucket_alloc_t *list);

#endif /* SSE_BUF_H */
