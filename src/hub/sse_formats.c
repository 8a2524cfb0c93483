/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_formats.h"

#include <stdlib.h>
#include <uv.h>

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

    SLIST_FOREACH(formatted, &formats->list, link)
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
    SLIST_INSERT_HEAD(&formats->list, formatted, link);
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

void sse_formats_set_time(sse_formats_t *formats, apr_time_t now)
{
    formats->offset = (apr_int64_t)uv_hrtime() - now * 1000;
    formats->knows_time = 1;
}

/* Not before the machine was started, and not in the future: the times of a
 * store that follows the machine's clock (after a boot whose number cannot be
 * read, say) may be either when that is set. */
static apr_uint64_t appended(const sse_formats_t *formats, apr_time_t time)
{
    apr_int64_t ticks = time * 1000 + formats->offset;
    apr_uint64_t now = uv_hrtime();

    if (!formats->knows_time || ticks < 0) {
        return 0;
    }
    return (apr_uint64_t)ticks < now ? (apr_uint64_t)ticks : now;
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
    buf->appended = appended(formats, record->time);
    keep(formatted, slot, buf, record->time);
    return buf;
}

void sse_formats_clear(sse_formats_t *formats)
{
    sse_formatted_t *formatted;
    unsigned int slot;

    while ((formatted = SLIST_FIRST(&formats->list)) != NULL) {
        SLIST_REMOVE_HEAD(&formats->list, link);
        for (slot = 0; slot < SLOTS; ++slot) {
            empty(formatted, slot);
        }
        free(formatted);
    }
}
