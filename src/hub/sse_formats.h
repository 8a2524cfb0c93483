/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_formats.h
 * The events that were formatted last, for whoever else sends them.
 *
 * After a burst, thousands of streams read the same events from the store at
 * about the same time.  Each with bytes of its own, they would take memory for
 * as many copies, and the time to make them.
 *
 * Bounded in number and bytes, for each format in use.  An event is known by
 * its id and time, as an earlier copy of a store that was put back uses ids
 * again.
 *
 * Threads: the loop's.
 */

#ifndef SSE_FORMATS_H
#define SSE_FORMATS_H

#include <sys/queue.h>

#include "stream/format/sse_format.h"

/** Part of its owner; all zero at first. */
typedef SLIST_HEAD(, sse_formatted_t) sse_formats_t;

/** The event in that format, made before or now.  A reference for the caller.
 */
sse_buf_t *sse_formats_get(sse_formats_t *formats, const sse_format_t *format,
                           const sse_record_t *record);

/** Keep none. */
void sse_formats_clear(sse_formats_t *formats);

#endif /* SSE_FORMATS_H */
