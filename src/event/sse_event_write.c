/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include "event/sse_event.h"
#include "event/sse_lines.h"

#define SSE_RETRY_DIGITS 20 /* what an apr_int64_t can have, and one more */

/* Why one field cannot be sent, in words. */
typedef struct {
    const char *line_break; /* NULL: it may have some */
    const char *nul;
    const char *utf8;
} sse_refusal_t;

#define SSE_NO_BREAK(name) name " must not contain a line break"
#define SSE_NO_BYTES(name)                                                     \
    name " must not contain a NUL byte", name " must be valid UTF-8"

/* A line break in a field of one line would let its author write other fields,
 * or whole events, of his own. */
static const sse_refusal_t sse_refusals[] = {
    {SSE_NO_BREAK("id"), SSE_NO_BYTES("id")},
    {SSE_NO_BREAK("event"), SSE_NO_BYTES("event")},
    {NULL, SSE_NO_BYTES("data")},
    {NULL, SSE_NO_BYTES("comment")},
};

sse_slice_t sse_slice(const char *str)
{
    return (sse_slice_t){str, str ? strlen(str) : 0};
}

static int sse_slice_has(const sse_slice_t *slice, int c)
{
    return memchr(slice->ptr, c, slice->len) != NULL;
}

static const char *sse_event_check_text(const sse_slice_t *text,
                                        const sse_refusal_t *refusal)
{
    if (!text->ptr) {
        return NULL;
    }
    if (refusal->line_break &&
        (sse_slice_has(text, '\r') || sse_slice_has(text, '\n'))) {
        return refusal->line_break;
    }
    if (sse_slice_has(text, '\0')) {
        return refusal->nul;
    }
    return sse_utf8_valid(text->ptr, text->len) ? NULL : refusal->utf8;
}

const char *sse_event_check(const sse_fields_t *fields)
{
    const sse_slice_t *texts[] = {&fields->id, &fields->event, &fields->data,
                                  &fields->comment};
    const char *why = NULL;
    int i;

    for (i = 0; i < 4 && !why; ++i) {
        why = sse_event_check_text(texts[i], &sse_refusals[i]);
    }
    return why;
}

/* "message" is what a client takes an event without a type for. */
static int sse_event_has_type(const sse_fields_t *fields)
{
    const sse_slice_t *type = &fields->event;

    return type->ptr && !(type->len == 7 && !memcmp(type->ptr, "message", 7));
}

/* The digits of retry, at the end of buf; returns how many. */
static apr_size_t sse_event_digits(apr_int64_t retry,
                                   char buf[SSE_RETRY_DIGITS])
{
    char *p = buf + SSE_RETRY_DIGITS;

    do {
        *--p = (char)('0' + retry % 10);
        retry /= 10;
    } while (retry > 0);
    return (apr_size_t)(buf + SSE_RETRY_DIGITS - p);
}

/* What the lines of a text take, each with a prefix and an LF. */
static apr_size_t sse_event_size_text(const sse_slice_t *text,
                                      apr_size_t prefix)
{
    sse_lines_t lines;
    const char *eol;
    apr_size_t size = 0;

    sse_lines_open(&lines, text->ptr, text->len);
    while ((eol = sse_lines_eol(&lines)) < lines.end) {
        size += prefix + (apr_size_t)(eol - lines.pos) + 1;
        sse_lines_skip(&lines, eol);
    }
    return size + prefix + (apr_size_t)(lines.end - lines.pos) + 1;
}

apr_size_t sse_event_size(const sse_fields_t *fields)
{
    char digits[SSE_RETRY_DIGITS];
    apr_size_t size = 0;

    if (fields->comment.ptr) {
        size += sse_event_size_text(&fields->comment, sizeof(": ") - 1);
    }
    if (fields->id.ptr) {
        size += sizeof("id: \n") - 1 + fields->id.len;
    }
    if (sse_event_has_type(fields)) {
        size += sizeof("event: \n") - 1 + fields->event.len;
    }
    if (fields->retry >= 0) {
        size += sizeof("retry: \n") - 1;
        size += sse_event_digits(fields->retry, digits);
    }
    if (fields->data.ptr) {
        size += sse_event_size_text(&fields->data, sizeof("data: ") - 1);
    }
    return size ? size + 1 : 0;
}

static inline char *sse_event_put(char *to, const char *ptr, apr_size_t len)
{
    memcpy(to, ptr, len);
    return to + len;
}

/* Inline, as its callers are: a literal prefix is then one or two moves. */
static inline char *sse_event_put_line(char *to, const char *prefix,
                                       apr_size_t prefix_len, const char *ptr,
                                       apr_size_t len)
{
    to = sse_event_put(to, prefix, prefix_len);
    to = sse_event_put(to, ptr, len);
    *to++ = '\n';
    return to;
}

static inline char *sse_event_put_text(char *to, const char *prefix,
                                       apr_size_t prefix_len,
                                       const sse_slice_t *text)
{
    sse_lines_t lines;
    const char *eol;

    sse_lines_open(&lines, text->ptr, text->len);
    while ((eol = sse_lines_eol(&lines)) < lines.end) {
        to = sse_event_put_line(to, prefix, prefix_len, lines.pos,
                                (apr_size_t)(eol - lines.pos));
        sse_lines_skip(&lines, eol);
    }
    return sse_event_put_line(to, prefix, prefix_len, lines.pos,
                              (apr_size_t)(lines.end - lines.pos));
}

static char *sse_event_put_retry(char *to, apr_int64_t retry)
{
    char digits[SSE_RETRY_DIGITS];
    apr_size_t len = sse_event_digits(retry, digits);

    return sse_event_put_line(to, "retry: ", 7, digits + SSE_RETRY_DIGITS - len,
                              len);
}

apr_size_t sse_event_write(const sse_fields_t *fields, char *buf)
{
    char *to = buf;

    if (fields->comment.ptr) {
        to = sse_event_put_text(to, ": ", 2, &fields->comment);
    }
    if (fields->id.ptr) {
        to = sse_event_put_line(to, "id: ", 4, fields->id.ptr, fields->id.len);
    }
    if (sse_event_has_type(fields)) {
        to = sse_event_put_line(to, "event: ", 7, fields->event.ptr,
                                fields->event.len);
    }
    if (fields->retry >= 0) {
        to = sse_event_put_retry(to, fields->retry);
    }
    if (fields->data.ptr) {
        to = sse_event_put_text(to, "data: ", 6, &fields->data);
    }
    if (to > buf) {
        *to++ = '\n';
    }
    return (apr_size_t)(to - buf);
}
