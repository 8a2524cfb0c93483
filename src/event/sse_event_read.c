/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The reader looks at whole lines, where they lie in the caller's buffer.
 * Only a line that a feed cuts is copied, and values of an unfinished event.
 *
 * A line of no use (a comment, a field of another name) is known by its first
 * bytes and never kept, so it may be of any length.  All other lines count
 * with their value, whether they are complete or not: how the input is cut
 * decides neither what is read nor when it is too much. */

#include <string.h>

#include "event/sse_event.h"
#include "event/sse_lines.h"
#include "event/sse_room.h"

#define SSE_BOM     "\xEF\xBB\xBF"
#define SSE_BOM_LEN 3

/* The longest that may stand before a value: "event: ", "retry: ". */
#define SSE_PREFIX_MAX 7

/* Milliseconds that an apr_interval_time_t can still hold; a retry above is
 * ignored, so nobody who converts it need fear an overflow. */
#define SSE_RETRY_MAX (APR_INT64_MAX / 1000)

#define SSE_BUFFER_MIN 128

typedef enum {
    SSE_FIELD_NONE,   /* no line of ours: ignore it */
    SSE_FIELD_UNSURE, /* too little of an unfinished line to tell */
    SSE_FIELD_DATA,
    SSE_FIELD_EVENT,
    SSE_FIELD_ID,
    SSE_FIELD_RETRY
} sse_field_e;

typedef struct {
    const char *name;
    apr_size_t len;
    sse_field_e field;
} sse_field_name_t;

static const sse_field_name_t sse_field_names[] = {
    {"data", 4, SSE_FIELD_DATA},
    {"event", 5, SSE_FIELD_EVENT},
    {"id", 2, SSE_FIELD_ID},
    {"retry", 5, SSE_FIELD_RETRY},
};

#define SSE_FIELD_NAMES (sizeof(sse_field_names) / sizeof(sse_field_names[0]))

/* Reused from event to event.  Memory of its own and not the pool's, which
 * would keep every size that it ever had; freed with the pool. */
typedef struct {
    sse_room_t room; /* there once is_set ever was */
    apr_size_t len;  /* of it in use */
    int is_set;      /* the block has this field; else len is 0 */
} sse_buffer_t;

struct sse_reader_t {
    apr_size_t max;
    sse_reader_fn *fn;
    void *baton;
    apr_status_t status; /* anything else than APR_SUCCESS is the end */

    apr_size_t bom;    /* how much of a BOM was seen; all: look no more */
    int after_cr;      /* an LF that comes next belongs to that CR */
    int ignoring;      /* the rest of the current line is of no use */
    sse_buffer_t line; /* the beginning of a line that a feed cut */

    /* The current block. */
    sse_buffer_t id;
    sse_buffer_t event;
    sse_buffer_t data; /* without the last line's LF */
    apr_int64_t retry;
};

static apr_status_t sse_buffer_append(sse_buffer_t *buffer, const char *ptr,
                                      apr_size_t len)
{
    apr_size_t need = buffer->len + len;

    need = need < SSE_BUFFER_MIN ? SSE_BUFFER_MIN : need;
    if (!sse_room_double(&buffer->room, need)) {
        return APR_ENOMEM;
    }
    memcpy(buffer->room.ptr + buffer->len, ptr, len);
    buffer->len += len;
    buffer->is_set = 1;
    return APR_SUCCESS;
}

static void sse_buffer_clear(sse_buffer_t *buffer)
{
    buffer->len = 0;
    buffer->is_set = 0;
}

static apr_status_t sse_buffer_set(sse_buffer_t *buffer, sse_slice_t value)
{
    sse_buffer_clear(buffer);
    return sse_buffer_append(buffer, value.ptr, value.len);
}

static sse_slice_t sse_buffer_slice(const sse_buffer_t *buffer)
{
    return buffer->is_set ? (sse_slice_t){buffer->room.ptr, buffer->len}
                          : (sse_slice_t){NULL, 0};
}

/* Which field a line is, and where its value begins.  Of an unfinished line
 * the name is known for certain only with its colon. */
static sse_field_e sse_reader_split(sse_slice_t line, int finished,
                                    sse_slice_t *value)
{
    const sse_field_name_t *known = sse_field_names;
    const sse_field_name_t *end = known + SSE_FIELD_NAMES;
    apr_size_t n;

    while (known < end && known->name[0] != line.ptr[0]) {
        ++known;
    }
    if (known == end) {
        return SSE_FIELD_NONE;
    }
    n = line.len < known->len ? line.len : known->len;
    if (memcmp(line.ptr, known->name, n) != 0) {
        return SSE_FIELD_NONE;
    }
    if (line.len <= known->len) {
        *value = (sse_slice_t){line.ptr + line.len, 0};
        if (!finished) {
            return SSE_FIELD_UNSURE;
        }
        return line.len == known->len ? known->field : SSE_FIELD_NONE;
    }
    if (line.ptr[n++] != ':') {
        return SSE_FIELD_NONE;
    }
    n += n < line.len && line.ptr[n] == ' ';
    *value = (sse_slice_t){line.ptr + n, line.len - n};
    return known->field;
}

/* Whether a value of that many bytes, or more, is too much for the event. */
static int sse_reader_is_over(const sse_reader_t *reader, sse_field_e field,
                              apr_size_t len)
{
    apr_size_t rest = reader->id.len + reader->event.len + reader->data.len;

    if (field == SSE_FIELD_UNSURE) {
        return 0;
    }
    if (field == SSE_FIELD_ID) {
        rest -= reader->id.len;
    }
    else if (field == SSE_FIELD_EVENT) {
        rest -= reader->event.len;
    }
    else if (field == SSE_FIELD_DATA) {
        rest += reader->data.is_set ? 1 : 0; /* the LF between two lines */
    }
    return rest > reader->max || len > reader->max - rest;
}

static apr_status_t sse_reader_add_data(sse_reader_t *reader, sse_slice_t value)
{
    apr_status_t rv = APR_SUCCESS;

    if (reader->data.is_set) {
        rv = sse_buffer_append(&reader->data, "\n", 1);
    }
    return rv ? rv : sse_buffer_append(&reader->data, value.ptr, value.len);
}

static void sse_reader_set_retry(sse_reader_t *reader, sse_slice_t value)
{
    apr_int64_t retry = 0;
    apr_size_t i;

    for (i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return;
        }
        if (retry <= SSE_RETRY_MAX) {
            retry = retry * 10 + (value.ptr[i] - '0');
        }
    }
    if (value.len && retry <= SSE_RETRY_MAX) {
        reader->retry = retry;
    }
}

static apr_status_t sse_reader_take(sse_reader_t *reader, sse_field_e field,
                                    sse_slice_t value)
{
    switch (field) {
    case SSE_FIELD_DATA:
        return sse_reader_add_data(reader, value);
    case SSE_FIELD_EVENT:
        return sse_buffer_set(&reader->event, value);
    case SSE_FIELD_ID:
        return memchr(value.ptr, '\0', value.len)
                   ? APR_SUCCESS
                   : sse_buffer_set(&reader->id, value);
    case SSE_FIELD_RETRY:
        sse_reader_set_retry(reader, value);
        return APR_SUCCESS;
    default:
        return APR_SUCCESS;
    }
}

static apr_status_t sse_reader_dispatch(sse_reader_t *reader)
{
    sse_fields_t fields = SSE_FIELDS_NONE;
    apr_status_t rv = APR_SUCCESS;

    if (reader->data.is_set) {
        fields.id = sse_buffer_slice(&reader->id);
        fields.event = sse_buffer_slice(&reader->event);
        fields.data = sse_buffer_slice(&reader->data);
        fields.retry = reader->retry;
        rv = reader->fn(reader->baton, &fields);
    }
    sse_buffer_clear(&reader->id);
    sse_buffer_clear(&reader->event);
    sse_buffer_clear(&reader->data);
    reader->retry = -1;
    return rv;
}

/* A whole line, without its end. */
static apr_status_t sse_reader_on_line(sse_reader_t *reader, sse_slice_t line)
{
    sse_slice_t value;
    sse_field_e field;

    if (line.len == 0) {
        return sse_reader_dispatch(reader);
    }
    field = sse_reader_split(line, 1, &value);
    if (field == SSE_FIELD_NONE) {
        return APR_SUCCESS;
    }
    if (sse_reader_is_over(reader, field, value.len)) {
        return APR_ENOSPC;
    }
    return sse_reader_take(reader, field, value);
}

/* Keep a piece of a line that is not finished.  First only as much as tells
 * its field: the rest may be of no use, or too much. */
static apr_status_t sse_reader_hold(sse_reader_t *reader, const char *ptr,
                                    apr_size_t len)
{
    sse_buffer_t *line = &reader->line;
    apr_size_t n = 0;
    sse_slice_t value;
    sse_field_e field;
    apr_status_t rv;

    if (len == 0 || reader->ignoring) {
        return APR_SUCCESS;
    }
    if (line->len < SSE_PREFIX_MAX) {
        n = SSE_PREFIX_MAX - line->len;
        n = n < len ? n : len;
        rv = sse_buffer_append(line, ptr, n);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    field =
        sse_reader_split((sse_slice_t){line->room.ptr, line->len}, 0, &value);
    if (field == SSE_FIELD_NONE) {
        sse_buffer_clear(line);
        reader->ignoring = 1;
        return APR_SUCCESS;
    }
    if (sse_reader_is_over(reader, field, value.len + (len - n))) {
        return APR_ENOSPC;
    }
    return sse_buffer_append(line, ptr + n, len - n);
}

/* The bytes up to a line end: a line, or the last piece of one. */
static apr_status_t sse_reader_end_line(sse_reader_t *reader, const char *ptr,
                                        apr_size_t len)
{
    apr_status_t rv;

    if (!reader->ignoring && reader->line.len == 0) {
        return sse_reader_on_line(reader, (sse_slice_t){ptr, len});
    }
    rv = sse_reader_hold(reader, ptr, len);
    if (rv == APR_SUCCESS && !reader->ignoring) {
        rv = sse_reader_on_line(reader, sse_buffer_slice(&reader->line));
    }
    sse_buffer_clear(&reader->line);
    reader->ignoring = 0;
    return rv;
}

/* How many bytes belong to a BOM at the very beginning of the stream. */
static apr_size_t sse_reader_skip_bom(sse_reader_t *reader, const char *buf,
                                      apr_size_t len)
{
    apr_size_t n = 0;

    while (reader->bom < SSE_BOM_LEN && n < len &&
           buf[n] == SSE_BOM[reader->bom]) {
        ++reader->bom;
        ++n;
    }
    if (reader->bom < SSE_BOM_LEN && n < len) {
        /* A piece of a BOM that is none begins a line, but no field of ours. */
        reader->ignoring = reader->bom > 0;
        reader->bom = SSE_BOM_LEN;
    }
    return n;
}

static apr_status_t sse_reader_read(sse_reader_t *reader, const char *buf,
                                    apr_size_t len)
{
    sse_lines_t lines;
    const char *eol;
    apr_status_t rv;

    sse_lines_open(&lines, buf, len);
    while ((eol = sse_lines_eol(&lines)) < lines.end) {
        rv = sse_reader_end_line(reader, lines.pos,
                                 (apr_size_t)(eol - lines.pos));
        if (rv != APR_SUCCESS) {
            return rv;
        }
        sse_lines_skip(&lines, eol);
    }
    return sse_reader_hold(reader, lines.pos,
                           (apr_size_t)(lines.end - lines.pos));
}

apr_status_t sse_reader_feed(sse_reader_t *reader, const char *buf,
                             apr_size_t len)
{
    apr_size_t skip = 1;

    if (len == 0 || reader->status != APR_SUCCESS) {
        return reader->status;
    }
    if (!reader->after_cr || *buf != '\n') {
        skip = sse_reader_skip_bom(reader, buf, len);
    }
    reader->after_cr = buf[len - 1] == '\r';
    reader->status = sse_reader_read(reader, buf + skip, len - skip);
    return reader->status;
}

int sse_reader_is_partial(const sse_reader_t *reader)
{
    return reader->line.len > 0 || reader->id.is_set || reader->event.is_set ||
           reader->data.is_set || reader->retry >= 0;
}

static apr_status_t sse_reader_cleanup(void *arg)
{
    sse_reader_t *reader = arg;

    sse_room_free(&reader->line.room);
    sse_room_free(&reader->id.room);
    sse_room_free(&reader->event.room);
    sse_room_free(&reader->data.room);
    return APR_SUCCESS;
}

sse_reader_t *sse_reader_create(apr_pool_t *pool, apr_size_t max,
                                sse_reader_fn *fn, void *baton)
{
    sse_reader_t *reader = apr_pcalloc(pool, sizeof(*reader));

    reader->max = max;
    reader->fn = fn;
    reader->baton = baton;
    reader->retry = -1;
    apr_pool_cleanup_register(pool, reader, sse_reader_cleanup,
                              apr_pool_cleanup_null);
    return reader;
}
