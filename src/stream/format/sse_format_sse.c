/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/format/sse_format.h"

#include <apr_strings.h>
#include <stdlib.h>

#define ID_TEXT 24

static sse_buf_t *event(const sse_record_t *record)
{
    sse_fields_t fields = record->fields;
    char id[ID_TEXT];
    sse_buf_t *buf;

    if (record->id) {
        apr_snprintf(id, sizeof(id), "%" APR_UINT64_T_FMT, record->id);
        fields.id = sse_slice(id);
    }
    buf = sse_buf_event(record, sse_event_size(&fields));
    sse_event_write(&fields, buf->data);
    return buf;
}

static sse_buf_t heartbeat = {.refs = 1, .len = 3, .data = ":\n\n"};

/* @return NULL: there is nothing to write */
static sse_buf_t *fields_of(apr_int64_t retry, sse_id_t id)
{
    sse_record_t record = {.id = id, .fields = SSE_FIELDS_NONE};

    record.fields.retry = retry ? retry : -1;
    return retry || id ? event(&record) : NULL;
}

static sse_buf_t *goodbye(const sse_goodbye_t *how)
{
    return fields_of(how->retry, how->upto);
}

static sse_buf_t *first(apr_int64_t retry)
{
    return retry ? fields_of(retry, 0) : sse_buf_acquire(&heartbeat);
}

static sse_buf_t *gap(const sse_gap_t *what)
{
    return sse_format_gap(what, event);
}

static const char *const headers[] = {
    "Cache-Control", "no-store", "X-Accel-Buffering", "no",
    /* Events are others' text: no browser shall guess that it is a page. */
    "X-Content-Type-Options", "nosniff", NULL};

const sse_format_t sse_format_sse = {
    "text/event-stream", headers, 0, first, event, &heartbeat, gap, goodbye};
