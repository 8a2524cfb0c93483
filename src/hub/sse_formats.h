/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_formats.h
 * A cache of formatted events: after a burst, thousands of streams that read
 * the same events from the store at about the same time share their bytes.
 *
 * Each knows when it was appended, by a clock that nobody can set: the store's
 * time may differ from the machine's, and the machine's be set at any time.
 *
 * Bounded in number and bytes, for each format.  An event is known by its id
 * and time, as a store that has gone back (sse_hub_known()) reuses ids.
 *
 * Threads: the loop's.
 */

#ifndef SSE_FORMATS_H
#define SSE_FORMATS_H

#include <sys/queue.h>

#include "stream/format/sse_format.h"

/** Part of its owner; all zero at first. */
typedef struct {
    SLIST_HEAD(, sse_formatted_t) list;
    int knows_time;
    apr_int64_t offset; /* ns: uv_hrtime() less the store's time */
} sse_formats_t;

/** The store's time is now that: from it follows, for events that are formatted
 *  from now on, when they were appended (sse_buf_t.appended). */
void sse_formats_set_time(sse_formats_t *formats, apr_time_t now);

/** The event in that format, with a reference for the caller. */
sse_buf_t *sse_formats_get(sse_formats_t *formats, const sse_format_t *format,
                           const sse_record_t *record);

/** Free all. */
void sse_formats_clear(sse_formats_t *formats);

#endif /* SSE_FORMATS_H */
