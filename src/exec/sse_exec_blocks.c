/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A program's output as text/event-stream.
 *
 * A reader that has met an event which is too large is of no more use, and
 * nothing tells how far it has come.  So it is given one block at a time, up to
 * the empty line that ends an event; what is not whole is held here. */

#include <stdlib.h>
#include <string.h>

#include "exec/sse_exec_parser_private.h"

/* A block is longer than its event by the names of fields and comments. */
#define BLOCK_FACTOR 8
#define BLOCK_MORE   4096

/* -- What the reader gives ------------------------------------------------- */

static apr_status_t on_event(void *baton, const sse_fields_t *event)
{
    sse_exec_parser_t *parser = baton;
    sse_fields_t fields = *event;
    const char *wrong;

    if (!fields.event.len) {
        fields.event = sse_slice(NULL);
    }
    wrong = sse_event_check(&fields);
    if (wrong) {
        parser->events->on_trouble(parser->baton, SSE_EXEC_BROKEN, wrong);
    }
    else if (fields.event.len >= 4 && !memcmp(fields.event.ptr, "sse-", 4)) {
        parser->events->on_trouble(parser->baton, SSE_EXEC_RESERVED, NULL);
    }
    else {
        parser->events->on_event(parser->baton, &fields, parser->upto);
    }
    return APR_SUCCESS;
}

void sse_exec_blocks_open(sse_exec_parser_t *parser)
{
    if (apr_pool_create_unmanaged_ex(&parser->pool, NULL, NULL)) {
        abort();
    }
    apr_pool_tag(parser->pool, "sse_exec_blocks");
    parser->reader =
        sse_reader_create(parser->pool, parser->max, on_event, parser);
}

void sse_exec_blocks_close(sse_exec_parser_t *parser)
{
    if (parser->pool) {
        apr_pool_destroy(parser->pool);
        parser->pool = NULL;
    }
}

static void complain_too_large(sse_exec_parser_t *parser)
{
    parser->events->on_trouble(parser->baton, SSE_EXEC_TOO_LARGE, NULL);
}

static void read_block(sse_exec_parser_t *parser, const char *buf,
                       apr_size_t len)
{
    if (sse_reader_feed(parser->reader, buf, len) != APR_SUCCESS) {
        complain_too_large(parser);
        sse_exec_blocks_close(parser);
        sse_exec_blocks_open(parser);
    }
}

/* -- Blocks ---------------------------------------------------------------- */

/* The rest of a block, with the empty line that ends it. */
static void end_block(sse_exec_parser_t *parser, const char *buf,
                      apr_size_t len)
{
    if (parser->skips) {
        parser->skips = 0;
    }
    else if (parser->held_len) {
        sse_exec_parser_hold(parser, buf, len);
        read_block(parser, parser->held.ptr, parser->held_len);
    }
    else {
        read_block(parser, buf, len);
    }
    sse_exec_parser_release(parser);
}

static void hold(sse_exec_parser_t *parser, const char *buf, apr_size_t len)
{
    if (parser->skips) {
        return;
    }
    sse_exec_parser_hold(parser, buf, len);
    if (parser->held_len > BLOCK_FACTOR * parser->max + BLOCK_MORE) {
        complain_too_large(parser);
        sse_exec_parser_release(parser);
        parser->skips = 1;
    }
}

/* The length of the line end at this place. */
static apr_size_t line_end(sse_exec_parser_t *parser, const char *eol,
                           const char *end)
{
    int is_crlf = *eol == '\r' && eol + 1 < end && eol[1] == '\n';

    parser->after_cr = *eol == '\r' && eol + 1 == end;
    return is_crlf ? 2 : 1;
}

void sse_exec_blocks_feed(sse_exec_parser_t *parser, const char *buf,
                          apr_size_t len)
{
    const char *end = buf + len, *begin = buf, *pos = buf;
    int is_empty;

    if (parser->after_cr && len) {
        parser->after_cr = 0;
        pos += *buf == '\n';
    }
    for (; pos < end; ++pos) {
        if (*pos != '\n' && *pos != '\r') {
            parser->is_within = 1;
            continue;
        }
        is_empty = !parser->is_within;
        parser->is_within = 0;
        pos += line_end(parser, pos, end) - 1;
        if (is_empty) {
            parser->upto = parser->fed + (apr_uint64_t)(pos + 1 - buf);
            end_block(parser, begin, (apr_size_t)(pos + 1 - begin));
            begin = pos + 1;
        }
    }
    hold(parser, begin, (apr_size_t)(end - begin));
}

void sse_exec_blocks_finish(sse_exec_parser_t *parser)
{
    if (parser->held_len && !parser->skips) {
        parser->events->on_trouble(parser->baton, SSE_EXEC_UNFINISHED, NULL);
    }
    sse_exec_parser_release(parser);
}
