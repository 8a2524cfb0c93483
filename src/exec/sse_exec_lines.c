/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A program's output as lines, each one event's data. */

#include <stdlib.h>
#include <string.h>

#include "exec/sse_exec_parser_private.h"

/* U+FFFD, for what is no character. */
#define REPLACEMENT     "\xEF\xBF\xBD"
#define REPLACEMENT_LEN 3

static int is_tail(char byte) { return ((unsigned char)byte & 0xC0) == 0x80; }

/* The bytes of the longest piece that is no larger than an event may be and
 * ends with a character; the first character, where that alone is larger. */
static apr_size_t piece_of(const char *ptr, apr_size_t len, apr_size_t max)
{
    apr_size_t n = max;

    if (len <= max) {
        return len;
    }
    while (n && max - n < 4 && is_tail(ptr[n])) {
        --n;
    }
    if (n) {
        return is_tail(ptr[n]) ? max : n; /* no character has so many bytes */
    }
    for (n = 1; n < len && n < 4 && is_tail(ptr[n]); ++n) {
    }
    return n;
}

static void give(sse_exec_parser_t *parser, const char *ptr, apr_size_t len,
                 apr_uint64_t upto)
{
    sse_fields_t event = SSE_FIELDS_NONE;

    event.data.ptr = ptr;
    event.data.len = len;
    parser->events->on_event(parser->baton, &event, upto);
}

/* The bytes with U+FFFD for each that is no part of a character, or NUL. */
static apr_size_t repair(sse_exec_parser_t *parser, const char *ptr,
                         apr_size_t len)
{
    const char *end = ptr + len, *nul;
    char *out;

    if (!sse_room_double(&parser->text, len * REPLACEMENT_LEN)) {
        abort();
    }
    for (out = parser->text.ptr; ptr < end; ptr = nul + 1) {
        nul = memchr(ptr, '\0', (apr_size_t)(end - ptr));
        nul = nul ? nul : end;
        out += sse_utf8_replace(ptr, (apr_size_t)(nul - ptr), out);
        if (nul < end) {
            memcpy(out, REPLACEMENT, REPLACEMENT_LEN);
            out += REPLACEMENT_LEN;
        }
    }
    return (apr_size_t)(out - parser->text.ptr);
}

/* What has become longer by being repaired may be too long again. */
static void give_repaired(sse_exec_parser_t *parser, apr_size_t len,
                          apr_uint64_t from, apr_uint64_t upto)
{
    const char *ptr = parser->text.ptr;
    apr_size_t n;

    for (; len; ptr += n, len -= n) {
        n = piece_of(ptr, len, parser->max);
        give(parser, ptr, n, n < len ? from : upto);
    }
}

/* A line, or a piece of one, which is no larger than an event may be. */
static void give_piece(sse_exec_parser_t *parser, const char *ptr,
                       apr_size_t len, apr_uint64_t from, apr_uint64_t upto)
{
    if (!memchr(ptr, '\0', len) && sse_utf8_valid(ptr, len)) {
        give(parser, ptr, len, upto);
    }
    else {
        give_repaired(parser, repair(parser, ptr, len), from, upto);
    }
}

/* Give pieces of a line while it is longer than an event may be.
 * @param spare how many bytes more may be left
 * @return how many bytes were given */
static apr_size_t give_cut(sse_exec_parser_t *parser, const char *ptr,
                           apr_size_t len, apr_size_t spare, apr_uint64_t from)
{
    apr_size_t given = 0, n;

    while (len - given > parser->max + spare) {
        n = piece_of(ptr + given, len - given, parser->max);
        give_piece(parser, ptr + given, n, from + given, from + given + n);
        given += n;
    }
    if (given) {
        parser->events->on_trouble(parser->baton, SSE_EXEC_CUT, NULL);
    }
    return given;
}

/* @param len without the LF
 * @param ends the bytes of its end: 1, or 0 at the end of the output
 * @param upto where in the whole output the next one begins */
static void give_line(sse_exec_parser_t *parser, const char *ptr,
                      apr_size_t len, apr_size_t ends, apr_uint64_t upto)
{
    int has_cr = len && ptr[len - 1] == '\r';
    apr_uint64_t from = upto - ends - len;
    apr_size_t given;

    len -= (apr_size_t)has_cr;
    given = give_cut(parser, ptr, len, 0, from);
    if (!given || given < len) {
        give_piece(parser, ptr + given, len - given, from + given, upto);
    }
}

/* Keep the beginning of a line, but no more than an event may have, and its
 * CR. */
static void hold(sse_exec_parser_t *parser, const char *buf, apr_size_t len,
                 apr_uint64_t from)
{
    apr_size_t given;

    from -= parser->held_len;
    sse_exec_parser_hold(parser, buf, len);
    given = give_cut(parser, parser->held.ptr, parser->held_len, 1, from);
    if (given) {
        parser->held_len -= given;
        memmove(parser->held.ptr, parser->held.ptr + given, parser->held_len);
    }
}

/* The bytes up to an LF, and where the next line begins. */
static void end_line(sse_exec_parser_t *parser, const char *buf, apr_size_t len,
                     apr_uint64_t upto)
{
    if (parser->skips) {
        parser->skips = 0;
    }
    else if (!parser->held_len) {
        give_line(parser, buf, len, 1, upto);
    }
    else {
        sse_exec_parser_hold(parser, buf, len);
        give_line(parser, parser->held.ptr, parser->held_len, 1, upto);
    }
    sse_exec_parser_release(parser);
}

void sse_exec_lines_feed(sse_exec_parser_t *parser, const char *buf,
                         apr_size_t len)
{
    const char *pos = buf, *end = buf + len, *lf;

    while (pos < end && (lf = memchr(pos, '\n', (apr_size_t)(end - pos)))) {
        end_line(parser, pos, (apr_size_t)(lf - pos),
                 parser->fed + (apr_uint64_t)(lf + 1 - buf));
        pos = lf + 1;
    }
    if (pos < end && !parser->skips) {
        hold(parser, pos, (apr_size_t)(end - pos),
             parser->fed + (apr_uint64_t)(pos - buf));
    }
}

void sse_exec_lines_finish(sse_exec_parser_t *parser)
{
    if (parser->held_len) {
        give_line(parser, parser->held.ptr, parser->held_len, 0, parser->fed);
        sse_exec_parser_release(parser);
    }
}
