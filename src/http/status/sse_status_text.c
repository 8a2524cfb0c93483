/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status_text.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "event/sse_json_text.h"

#define FIRST_SIZE 8192

static void make_room(sse_text_t *text, apr_size_t len)
{
    apr_size_t size = text->size ? text->size : FIRST_SIZE;
    char *bytes;

    while (size < text->len + len + 1) {
        size *= 2;
    }
    if (size > text->size) {
        bytes = apr_palloc(text->pool, size);
        if (text->len) {
            memcpy(bytes, text->ptr, text->len);
        }
        text->ptr = bytes;
        text->size = size;
    }
}

void sse_text_put(sse_text_t *text, const char *bytes, apr_size_t len)
{
    make_room(text, len);
    if (len) {
        memcpy(text->ptr + text->len, bytes, len);
    }
    text->len += len;
    text->ptr[text->len] = '\0';
}

void sse_text_add(sse_text_t *text, const char *format, ...)
{
    char line[512];
    va_list args;
    int len;

    va_start(args, format);
    len = apr_vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (len < (int)sizeof(line) - 1) {
        sse_text_put(text, line, (apr_size_t)len);
        return;
    }
    va_start(args, format);
    format = apr_pvsprintf(text->pool, format, args);
    va_end(args);
    sse_text_put(text, format, strlen(format));
}

static void put_string(sse_text_t *text, const char *string)
{
    sse_text_put(text, string, strlen(string));
}

/* What others have named is valid nearly always. */
static sse_slice_t valid_utf8(const sse_text_t *text, sse_slice_t value)
{
    char *clean;

    if (!value.len || sse_utf8_valid(value.ptr, value.len)) {
        return value;
    }
    clean = apr_palloc(text->pool, 3 * value.len);
    value.len = sse_utf8_replace(value.ptr, value.len, clean);
    value.ptr = clean;
    return value;
}

void sse_text_json(sse_text_t *text, sse_slice_t value)
{
    make_room(text, sse_json_quoted_size(value));
    text->len += sse_json_quote(value, text->ptr + text->len);
    text->ptr[text->len] = '\0';
}

void sse_text_html(sse_text_t *text, sse_slice_t value)
{
    apr_size_t i;

    value = valid_utf8(text, value);
    for (i = 0; i < value.len; ++i) {
        switch (value.ptr[i]) {
        case '<':
            put_string(text, "&lt;");
            break;
        case '>':
            put_string(text, "&gt;");
            break;
        case '&':
            put_string(text, "&amp;");
            break;
        case '"':
            put_string(text, "&quot;");
            break;
        case '\'':
            put_string(text, "&#39;");
            break;
        default:
            sse_text_put(text, value.ptr + i, 1);
        }
    }
}

void sse_text_query(sse_text_t *text, sse_slice_t value)
{
    apr_size_t i;

    for (i = 0; i < value.len; ++i) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c && c < 0x80 && (apr_isalnum(c) || strchr("-._~/:", c))) {
            sse_text_put(text, value.ptr + i, 1);
        }
        else {
            sse_text_add(text, "%%%02X", c);
        }
    }
}
