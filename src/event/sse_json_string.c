/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include "event/sse_json_text.h"

/* How this byte is written in a string: 1: as it is; 2: behind a backslash;
 * 6: by its number. */
static unsigned int length_of(unsigned char c)
{
    if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
        return 1;
    }
    return c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t' ? 2 : 6;
}

/* The bytes at p that can stand in a string as they are. */
static apr_size_t plain(const char *p, const char *end)
{
    const char *at = p;

    while (at < end && length_of((unsigned char)*at) == 1) {
        ++at;
    }
    return (apr_size_t)(at - p);
}

static char *put_escaped(char *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    *out++ = '\\';
    if (length_of(c) == 2) {
        *out++ = (char)(c == '\n'   ? 'n'
                        : c == '\r' ? 'r'
                        : c == '\t' ? 't'
                                    : c);
        return out;
    }
    memcpy(out, "u00", 3);
    out[3] = hex[c >> 4];
    out[4] = hex[c & 15];
    return out + 5;
}

apr_size_t sse_json_quoted_size(sse_slice_t text)
{
    int is_valid = sse_utf8_valid(text.ptr, text.len);
    apr_size_t size = 2, i;
    unsigned char c;

    for (i = 0; i < text.len; ++i) {
        c = (unsigned char)text.ptr[i];
        size += is_valid || c < 0x80 ? length_of(c) : 3;
    }
    return size;
}

apr_size_t sse_json_quote(sse_slice_t text, char *out)
{
    const char *p = text.ptr, *end = p + text.len;
    int is_valid = sse_utf8_valid(text.ptr, text.len);
    char *to = out;
    apr_size_t n;

    *to++ = '"';
    while (p < end) {
        n = plain(p, end);
        if (is_valid) {
            memcpy(to, p, n);
            to += n;
        }
        else {
            to += sse_utf8_replace(p, n, to);
        }
        p += n;
        if (p < end) {
            to = put_escaped(to, (unsigned char)*p++);
        }
    }
    *to++ = '"';
    return (apr_size_t)(to - out);
}
