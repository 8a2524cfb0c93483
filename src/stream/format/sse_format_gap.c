/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/format/sse_format.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#define ID_TEXT 24

/* Whether this byte may stand unescaped in a JSON string that somebody puts
 * into a page as it is.  Escaped are markup, the ends of attributes, and the
 * two characters that end a line of a script (U+2028 and U+2029, three
 * bytes). */
static int is_plain(const unsigned char *p)
{
    return *p >= 0x20 && *p != 0x7f && !strchr("\"'\\<>&`", *p) &&
           !(p[0] == 0xe2 && p[1] == 0x80 && (p[2] | 1) == 0xa9);
}

/* Write one character and move out on. @return how many bytes it had */
static int put(char **out, const unsigned char *p)
{
    static const char hex[] = "0123456789abcdef";
    unsigned int c = *p;
    int shift, len = 1;

    if (is_plain(p)) {
        *(*out)++ = (char)c;
        return 1;
    }
    if (c == 0xe2) {
        c = 0x2000 + (p[2] & 0x3f);
        len = 3;
    }
    *(*out)++ = '\\';
    *(*out)++ = 'u';
    for (shift = 12; shift >= 0; shift -= 4) {
        *(*out)++ = hex[c >> shift & 15];
    }
    return len;
}

/* What the client gave, as a JSON string; it may not be UTF-8. */
static char *put_given(char *out, const char *given)
{
    const unsigned char *p = (const unsigned char *)given;

    if (!sse_utf8_valid(given, strlen(given))) {
        p = (const unsigned char *)"(not UTF-8)";
    }
    *out++ = '"';
    while (*p) {
        p += put(&out, p);
    }
    *out++ = '"';
    return out;
}

/* @return malloc'ed */
static char *text_of(const sse_gap_t *gap)
{
    static const char before[] = "{\"after\":", between[] = ",\"oldest\":";
    apr_size_t size = sizeof(before) + sizeof(between) +
                      6 * strlen(gap->after) + 48 + ID_TEXT;
    char *text = malloc(size), *out = text;

    if (!text) {
        abort(); /* out of memory */
    }
    out = apr_cpystrn(out, before, sizeof(before));
    out = put_given(out, gap->after);
    out = apr_cpystrn(out, between, sizeof(between));
    if (gap->oldest) {
        apr_snprintf(out, ID_TEXT + 4, "\"%" APR_UINT64_T_FMT "\"}",
                     gap->oldest);
    }
    else {
        apr_cpystrn(out, "null}", ID_TEXT);
    }
    return text;
}

sse_buf_t *sse_format_gap(const sse_gap_t *gap,
                          sse_buf_t *(*event)(const sse_record_t *record))
{
    sse_record_t record = {.id = gap->id, .fields = SSE_FIELDS_NONE};
    char *text = text_of(gap);
    sse_buf_t *buf;

    record.fields.event = sse_slice("sse-gap");
    record.fields.data = sse_slice(text);
    buf = event(&record);
    free(text);
    return buf;
}
