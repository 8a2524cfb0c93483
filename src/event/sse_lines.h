/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_lines.h
 * Where a line ends: at CRLF, CR and LF alike, for the writer and the reader.
 *
 * Private to src/event.  Both kinds of line end are searched for with memchr,
 * each byte of the text once per kind: the place of the next CR and of the next
 * LF is remembered; else text that has only one of them would be searched to
 * its end for the other at every line.
 *
 * Threads: no shared state; one sse_lines_t belongs to one thread.
 */

#ifndef SSE_LINES_H
#define SSE_LINES_H

#include <string.h>

#include <apr.h>

/** A walk over text.  The caller owns the text. */
typedef struct {
    const char *pos; /**< where the current line begins */
    const char *end;
    const char *cr; /**< the first CR not before pos, or end; or outdated */
    const char *lf; /**< the same for LF */
} sse_lines_t;

static inline const char *sse_lines_find(const char *from, const char *end,
                                         int c)
{
    const char *at = from < end ? memchr(from, c, (size_t)(end - from)) : NULL;

    return at ? at : end;
}

static inline void sse_lines_open(sse_lines_t *lines, const char *ptr,
                                  apr_size_t len)
{
    lines->pos = ptr;
    lines->end = ptr + len;
    lines->cr = sse_lines_find(ptr, lines->end, '\r');
    lines->lf = sse_lines_find(ptr, lines->end, '\n');
}

/** The CR or LF that ends the current line; the text's end when none does. */
static inline const char *sse_lines_eol(sse_lines_t *lines)
{
    if (lines->cr < lines->pos) {
        lines->cr = sse_lines_find(lines->pos, lines->end, '\r');
    }
    if (lines->lf < lines->pos) {
        lines->lf = sse_lines_find(lines->pos, lines->end, '\n');
    }
    return lines->cr < lines->lf ? lines->cr : lines->lf;
}

/** Go behind this line end, which is not the text's end; CRLF is one. */
static inline void sse_lines_skip(sse_lines_t *lines, const char *eol)
{
    int crlf = *eol == '\r' && eol + 1 < lines->end && eol[1] == '\n';

    lines->pos = eol + (crlf ? 2 : 1);
}

#endif /* SSE_LINES_H */
