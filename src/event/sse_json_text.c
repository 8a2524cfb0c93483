/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include "event/sse_json_text.h"

sse_json_walk_t sse_json_walk(sse_slice_t text)
{
    return (sse_json_walk_t){text.ptr, text.ptr + text.len};
}

int sse_json_peek(const sse_json_walk_t *walk)
{
    return walk->p < walk->end ? (unsigned char)*walk->p : -1;
}

static int is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void sse_json_skip_space(sse_json_walk_t *walk)
{
    while (is_space(sse_json_peek(walk))) {
        ++walk->p;
    }
}

static void skip_string(sse_json_walk_t *walk)
{
    for (++walk->p; walk->p < walk->end && *walk->p != '"'; ++walk->p) {
        if (*walk->p == '\\' && walk->p + 1 < walk->end) {
            ++walk->p;
        }
    }
    walk->p += walk->p < walk->end;
}

sse_slice_t sse_json_skip_value(sse_json_walk_t *walk)
{
    sse_slice_t value;
    apr_size_t depth = 0;

    sse_json_skip_space(walk);
    value.ptr = walk->p;
    while (walk->p < walk->end) {
        int c = (unsigned char)*walk->p;

        if (!depth && (c == ',' || c == ':' || c == ']' || c == '}')) {
            break;
        }
        if (c == '"') {
            skip_string(walk);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        ++walk->p;
    }
    value.len = (apr_size_t)(walk->p - value.ptr);
    return value;
}

static sse_slice_t trim(sse_slice_t value)
{
    while (value.len && is_space(value.ptr[value.len - 1])) {
        --value.len;
    }
    return value;
}

int sse_json_next(sse_json_walk_t *walk, sse_slice_t *name, sse_slice_t *value)
{
    sse_json_skip_space(walk);
    if (sse_json_peek(walk) == '}') {
        return 0;
    }
    ++walk->p; /* the brace, or a comma */
    sse_json_skip_space(walk);
    if (sse_json_peek(walk) != '"') {
        return 0; /* an empty object */
    }
    *name = trim(sse_json_skip_value(walk));
    ++name->ptr;
    name->len -= 2;
    ++walk->p; /* the colon */
    *value = trim(sse_json_skip_value(walk));
    return 1;
}

static unsigned int hex_digit(unsigned int c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static unsigned int hex4(const char *p)
{
    unsigned int n = 0;
    int i;

    for (i = 0; i < 4; ++i) {
        n = n << 4 | hex_digit((unsigned char)p[i]);
    }
    return n;
}

static char *put_utf8(char *out, unsigned int c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
    }
    else {
        if (c < 0x10000) {
            *out++ = (char)(0xE0 | c >> 12);
        }
        else {
            *out++ = (char)(0xF0 | c >> 18);
            *out++ = (char)(0x80 | (c >> 12 & 0x3F));
        }
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
    }
    *out++ = (char)(0x80 | (c & 0x3F));
    return out;
}

/* What stands behind a backslash. @return past it */
static const char *unescape_one(const char *p, char **out)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *at;
    unsigned int c;

    if (*p != 'u') {
        at = memchr(from, *p, sizeof(from) - 1);
        *(*out)++ = at ? to[at - from] : *p;
        return p + 1;
    }
    c = hex4(p + 1);
    p += 5;
    if ((c & 0xFC00) == 0xD800) { /* the other half follows: \uDC00 */
        c = 0x10000 + ((c & 0x3FF) << 10) + (hex4(p + 2) & 0x3FF);
        p += 6;
    }
    *out = put_utf8(*out, c);
    return p;
}

/* No escape is shorter than what it stands for. */
apr_size_t sse_json_unescape(char *text, apr_size_t len)
{
    const char *p = text, *end = text + len, *slash;
    char *out = text;

    while ((slash = memchr(p, '\\', (apr_size_t)(end - p)))) {
        if (out != p) {
            memmove(out, p, (apr_size_t)(slash - p));
        }
        out += slash - p;
        p = unescape_one(slash + 1, &out);
    }
    if (out != p) {
        memmove(out, p, (apr_size_t)(end - p));
    }
    return (apr_size_t)(out - text) + (apr_size_t)(end - p);
}

apr_size_t sse_json_compact(char *text, apr_size_t len)
{
    sse_json_walk_t walk = {text, text + len};
    char *out = text;

    while (walk.p < walk.end) {
        const char *from = walk.p;

        if (*from == '"') {
            skip_string(&walk);
        }
        else {
            ++walk.p;
        }
        if (!is_space(*from)) {
            memmove(out, from, (apr_size_t)(walk.p - from));
            out += walk.p - from;
        }
    }
    return (apr_size_t)(out - text);
}
