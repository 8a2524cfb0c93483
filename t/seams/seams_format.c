/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "seams.h"

#include <string.h>

static const char *const headers[] = {"X-Seams", "a format", NULL};

static sse_buf_t *first(apr_int64_t retry) { return sse_buf_text("begin\n"); }

static sse_buf_t *event(const sse_record_t *record)
{
    apr_size_t len = record->fields.data.len;
    sse_buf_t *buf = sse_buf_event(record, len + 1);

    memcpy(buf->data, record->fields.data.ptr, len);
    buf->data[len] = '\n';
    return buf;
}

static sse_buf_t heartbeat = {.refs = 1, .len = 11, .data = "still here\n"};

static sse_buf_t *gap(const sse_gap_t *missing)
{
    return sse_buf_text("gap\n");
}

static sse_buf_t *goodbye(const sse_goodbye_t *how)
{
    return sse_buf_text("end\n");
}

const sse_format_t seams_format = {"text/plain", headers,    0,   first,
                                   event,        &heartbeat, gap, goodbye};
