/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include "event/sse_event.h"

/* What may follow a lead byte (RFC 3629, section 4).  The range of the first
 * continuation byte tells overlong forms, surrogates and all above U+10FFFF. */
typedef struct {
    unsigned char first, last; /* lead bytes */
    unsigned char tail;        /* continuation bytes */
    unsigned char low, high;   /* the first of them */
} sse_utf8_form_t;

static const sse_utf8_form_t sse_utf8_forms[] = {
    {0xC2, 0xDF, 1, 0x80, 0xBF}, /* C0, C1: overlong */
    {0xE0, 0xE0, 2, 0xA0, 0xBF}, /* below: overlong */
    {0xE1, 0xEC, 2, 0x80, 0xBF},
    {0xED, 0xED, 2, 0x80, 0x9F}, /* above: surrogates */
    {0xEE, 0xEF, 2, 0x80, 0xBF},
    {0xF0, 0xF0, 3, 0x90, 0xBF}, /* below: overlong */
    {0xF1, 0xF3, 3, 0x80, 0xBF},
    {0xF4, 0xF4, 3, 0x80, 0x8F}, /* above, and F5 to FF: over U+10FFFF */
};

/* Most of what is sent is ASCII: look at eight bytes at a time. */
static const unsigned char *sse_utf8_skip_ascii(const unsigned char *p,
                                                const unsigned char *end)
{
    apr_uint64_t word;

    while (end - p >= (int)sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        if (word & APR_UINT64_C(0x8080808080808080)) {
            break;
        }
        p += sizeof(word);
    }
    while (p < end && *p < 0x80) {
        ++p;
    }
    return p;
}

/* The bytes of the character that begins with this non-ASCII byte; 0: none. */
static int sse_utf8_length(const unsigned char *p, const unsigned char *end)
{
    const sse_utf8_form_t *form = sse_utf8_forms;
    int i;

    if (*p < 0xC2 || *p > 0xF4) {
        return 0;
    }
    while (*p > form->last) {
        ++form;
    }
    if (end - p <= form->tail || p[1] < form->low || p[1] > form->high) {
        return 0;
    }
    for (i = 2; i <= form->tail; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return form->tail + 1;
}

int sse_utf8_valid(const char *ptr, apr_size_t len)
{
    const unsigned char *p = (const unsigned char *)ptr;
    const unsigned char *end = p + len;
    int n;

    while ((p = sse_utf8_skip_ascii(p, end)) < end) {
        do {
            n = sse_utf8_length(p, end);
            if (n == 0) {
                return 0;
            }
            p += n;
        } while (p < end && *p >= 0x80);
    }
    return 1;
}

apr_size_t sse_utf8_replace(const char *ptr, apr_size_t len, char *out)
{
    const unsigned char *p = (const unsigned char *)ptr;
    const unsigned char *end = p + len;
    char *to = out;
    int n;

    while (p < end) {
        n = *p < 0x80 ? 1 : sse_utf8_length(p, end);
        if (n == 0) {
            memcpy(to, "\xEF\xBF\xBD", 3);
            to += 3;
            ++p;
            continue;
        }
        memcpy(to, p, (apr_size_t)n);
        to += n;
        p += n;
    }
    return (apr_size_t)(to - out);
}
