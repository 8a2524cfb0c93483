/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_formats.h"

#include <stdlib.h>

#define SLOTS 1024
/* As much as one turn of the hub gives; a larger event is cached alone. */
#define MOST_BYTES (4 * 1024 * 1024)

/** What was formatted in one format.  malloc'ed. */
typedef struct sse_formatted_t {
    const sse_format_t *format;
    SLIST_ENTRY(sse_formatted_t) link;
    struct {
        sse_buf_t *buf;
        apr_time_t time;
    } slots[SLOTS]; /* by id */
    apr_size_t bytes;
    unsigned int hand; /* the slot to be emptied next to make room */
} sse_formatted_t;

static sse_formatted_t *formatted_in(sse_formats_t *formats,
                                     const sse_format_t *format)
{
    sse_formatted_t *formatted;

    SLIST_FOREACH(formatted, formats, link)
    {
        if (formatted->format == format) {
            return formatted;
        }
    }
    formatted = calloc(1, sizeof(*formatted));
    if (!formatted) {
        abort();
    }
    formatted->format = format;
    SLIST_INSERT_HEAD(formats, formatted, link);
    return formatted;
}

static void empty(sse_formatted_t *formatted, unsigned int slot)
{
    sse_buf_t *buf = formatted->slots[slot].buf;

    if (buf) {
        formatted->slots[slot].buf = NULL;
        formatted->bytes -= buf->len;
        sse_buf_release(buf);
    }
}

static void keep(sse_formatted_t *formatted, unsigned int slot, sse_buf_t *buf,
                 apr_time_t time)
{
    empty(formatted, slot);
    while (formatted->bytes && formatted->bytes + buf->len > MOST_BYTES) {
        empty(formatted, formatted->hand++ % SLOTS);
    }
    formatted->slots[slot].buf = sse_buf_acquire(buf);
    formatted->slots[slot].time = time;
    formatted->bytes += buf->len;
}

sse_buf_t *sse_formats_get(sse_formats_t *formats, const sse_format_t *format,
                           const sse_record_t *record)
{
    sse_formatted_t *formatted = formatted_in(formats, format);
    unsigned int slot = (unsigned int)(record->id % SLOTS);
    sse_buf_t *buf = formatted->slots[slot].buf;

    if (buf && buf->id == record->id &&
        formatted->slots[slot].time == record->time) {
        return sse_buf_acquire(buf);
    }
    buf = format->event(record);
    keep(formatted, slot, buf, record->time);
    return buf;
}

void sse_formats_clear(sse_formats_t *formats)
{
    sse_formatted_t *formatted;
    unsigned int slot;

    while ((formatted = SLIST_FIRST(formats)) != NULL) {
        SLIST_REMOVE_HEAD(formats, link);
        for (slot = 0; slot < SLOTS; ++slot) {
            empty(formatted, slot);
        }
        free(formatted);
    }
}
