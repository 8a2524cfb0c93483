/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/format/sse_format.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "event/sse_json_text.h"

#define ID_TEXT 24
/* What begins the key of a channel of comings and goings, behind the NUL: no
 * other channel's name begins with a control character. */
#define MARK_MAX 0x1f

static char *put(char *out, const char *text)
{
    apr_size_t len = strlen(text);

    memcpy(out, text, len);
    return out + len;
}

/* -- Elements -------------------------------------------------------------- */

/* The name of a channel, as those know it who subscribe to it. */
static sse_slice_t name_of(sse_slice_t key)
{
    sse_slice_t name = {NULL, 0};

    if (key.len) {
        name = sse_store_name(key);
        if (name.len && (unsigned char)*name.ptr <= MARK_MAX) {
            ++name.ptr;
            --name.len;
        }
    }
    return name;
}

/* The members of an element, each with its name in front. */
typedef struct {
    const char *before;
    sse_slice_t value;
} member_t;

#define MEMBERS 4

static apr_size_t size_of(const member_t *members)
{
    apr_size_t size = 1; /* the brace */
    int i;

    for (i = 0; i < MEMBERS; ++i) {
        size += strlen(members[i].before) +
                (members[i].value.ptr ? sse_json_quoted_size(members[i].value)
                                      : sizeof("null") - 1);
    }
    return size;
}

static apr_size_t write_members(const member_t *members, char *buf)
{
    char *out = buf;
    int i;

    for (i = 0; i < MEMBERS; ++i) {
        out = put(out, members[i].before);
        if (members[i].value.ptr) {
            out += sse_json_quote(members[i].value, out);
        }
        else {
            out = put(out, "null");
        }
    }
    *out++ = '}';
    return (apr_size_t)(out - buf);
}

/* An EventSource joins lines with LF, whatever ended them.  @return malloc'ed,
 * or NULL: nothing to change */
static char *join_lines(sse_slice_t *data)
{
    const char *p = data->ptr, *end = p + data->len;
    char *text, *out;

    if (!data->len || !memchr(p, '\r', data->len)) {
        return NULL;
    }
    out = text = malloc(data->len);
    if (!text) {
        abort(); /* out of memory */
    }
    for (; p < end; ++p) {
        if (*p != '\r') {
            *out++ = *p;
        }
        else if (p + 1 == end || p[1] != '\n') {
            *out++ = '\n';
        }
    }
    data->ptr = text;
    data->len = (apr_size_t)(out - text);
    return text;
}

static sse_buf_t *element(const sse_record_t *record)
{
    char id[ID_TEXT];
    member_t members[MEMBERS] = {{",{\"id\":", record->fields.id},
                                 {",\"channel\":", name_of(record->channel)},
                                 {",\"event\":", record->fields.event},
                                 {",\"data\":", record->fields.data}};
    char *joined = join_lines(&members[3].value);
    sse_buf_t *buf;
    apr_size_t len;

    if (record->id) {
        apr_snprintf(id, sizeof(id), "%" APR_UINT64_T_FMT, record->id);
        members[0].value = sse_slice(id);
    }
    if (!members[2].value.len) {
        members[2].value = sse_slice("message");
    }
    buf = sse_buf_event(record, size_of(members));
    len = write_members(members, buf->data);
    memset(buf->data + len, ' ', buf->len - len); /* what is no UTF-8 */
    free(joined);
    return buf;
}

/* Without data it is no event, but may have an id. */
static sse_buf_t *event(const sse_record_t *record)
{
    sse_buf_t *buf;

    if (record->fields.data.ptr) {
        return element(record);
    }
    buf = sse_buf_event(record, 1);
    buf->data[0] = '\n';
    return buf;
}

static sse_buf_t *gap(const sse_gap_t *what)
{
    return sse_format_gap(what, element);
}

/* -- What is around them --------------------------------------------------- */

#define OPENING "{\"events\":["

static sse_buf_t *first(apr_int64_t retry) { return sse_buf_text(OPENING); }

static sse_buf_t heartbeat = {.refs = 1, .len = 1, .data = "\n"};

static char *put_last(char *out, const sse_goodbye_t *how)
{
    sse_id_t id = how->upto ? how->upto : how->sent;
    char text[ID_TEXT];

    if (!id) {
        return out +
               sse_json_quote(sse_slice(how->given ? how->given : ""), out);
    }
    apr_snprintf(text, sizeof(text), "\"%" APR_UINT64_T_FMT "\"", id);
    return put(out, text);
}

static sse_buf_t *goodbye(const sse_goodbye_t *how)
{
    apr_size_t given = how->given ? 6 * strlen(how->given) : 0;
    sse_buf_t *buf = sse_buf_create(sizeof(OPENING) + given + 100);
    char retry[40], *out = buf->data;

    if (how->is_whole) {
        out = put(out, OPENING);
    }
    out = put(out, "],\"last\":");
    out = put_last(out, how);
    if (how->retry) {
        apr_snprintf(retry, sizeof(retry), ",\"retry\":%" APR_INT64_T_FMT,
                     how->retry);
        out = put(out, retry);
    }
    out = put(out, "}\n");
    buf->len = (apr_size_t)(out - buf->data);
    buf->id = how->upto;
    return buf;
}

static const char *const headers[] = {"Cache-Control",
                                      "no-store",
                                      "X-Accel-Buffering",
                                      "no",
                                      "X-Content-Type-Options",
                                      "nosniff",
                                      NULL};

const sse_format_t sse_format_json = {
    "application/json", headers, 1, first, event, &heartbeat, gap, goodbye};
