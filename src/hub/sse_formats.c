/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_formats.h"

#include <apr_strings.h>

/* As much as one turn of the hub gives. */
#define MOST_BYTES (4 * 1024 * 1024)

sse_buf_t *sse_formats_make(const sse_record_t *record)
{
    sse_fields_t fields = record->fields;
    char id[24];

    apr_snprintf(id, sizeof(id), "%" APR_UINT64_T_FMT, record->id);
    fields.id = sse_slice(id);
    return sse_buf_format(&fields, record->id);
}

static void empty(sse_formats_t *formats, unsigned int slot)
{
    sse_buf_t *buf = formats->slots[slot].buf;

    if (buf) {
        formats->slots[slot].buf = NULL;
        formats->bytes -= buf->len;
        sse_buf_release(buf);
    }
}

static void keep(sse_formats_t *formats, unsigned int slot, sse_buf_t *buf,
                 apr_time_t time)
{
    empty(formats, slot);
    if (buf->len > MOST_BYTES) {
        return;
    }
    while (formats->bytes + buf->len > MOST_BYTES) {
        empty(formats, formats->hand++ % SSE_FORMATS_SLOTS);
    }
    formats->slots[slot].buf = sse_buf_acquire(buf);
    formats->slots[slot].time = time;
    formats->bytes += buf->len;
}

sse_buf_t *sse_formats_get(sse_formats_t *formats, const sse_record_t *record)
{
    unsigned int slot = (unsigned int)(record->id % SSE_FORMATS_SLOTS);
    sse_buf_t *buf = formats->slots[slot].buf;

    if (buf && buf->id == record->id &&
        formats->slots[slot].time == record->time) {
        return sse_buf_acquire(buf);
    }
    buf = sse_formats_make(record);
    keep(formats, slot, buf, record->time);
    return buf;
}

void sse_formats_clear(sse_formats_t *formats)
{
    unsigned int slot;

    for (slot = 0; slot < SSE_FORMATS_SLOTS; ++slot) {
        empty(formats, slot);
    }
}
