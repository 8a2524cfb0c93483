/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "exec/sse_exec_parser_private.h"

#include <stdlib.h>
#include <string.h>

/* What is held keeps no more memory than that when it has been used. */
#define KEEP_BYTES (64 * 1024)

void sse_exec_parser_hold(sse_exec_parser_t *parser, const char *buf,
                          apr_size_t len)
{
    if (!len) {
        return;
    }
    if (!sse_room_double(&parser->held, parser->held_len + len)) {
        abort();
    }
    memcpy(parser->held.ptr + parser->held_len, buf, len);
    parser->held_len += len;
}

void sse_exec_parser_release(sse_exec_parser_t *parser)
{
    parser->held_len = 0;
    if (parser->held.size > KEEP_BYTES) {
        sse_room_free(&parser->held);
    }
    if (parser->text.size > KEEP_BYTES) {
        sse_room_free(&parser->text);
    }
}

sse_exec_parser_t *
sse_exec_parser_create(sse_exec_format_e format, apr_size_t max_event,
                       const sse_exec_parser_events_t *events, void *baton)
{
    sse_exec_parser_t *parser = calloc(1, sizeof(*parser));

    if (!parser) {
        abort();
    }
    parser->format = format;
    parser->max = max_event;
    parser->events = events;
    parser->baton = baton;
    if (format == SSE_EXEC_EVENTS) {
        sse_exec_blocks_open(parser);
    }
    return parser;
}

void sse_exec_parser_feed(sse_exec_parser_t *parser, const char *buf,
                          apr_size_t len)
{
    if (parser->format == SSE_EXEC_EVENTS) {
        sse_exec_blocks_feed(parser, buf, len);
    }
    else {
        sse_exec_lines_feed(parser, buf, len);
    }
    parser->fed += len;
}

/* What was read before may have ended within a line: an end of a line that
 * comes first is that one's, and no empty line. */
void sse_exec_parser_skip(sse_exec_parser_t *parser)
{
    parser->skips = parser->is_within = 1;
}

void sse_exec_parser_finish(sse_exec_parser_t *parser)
{
    if (parser->format == SSE_EXEC_EVENTS) {
        sse_exec_blocks_finish(parser);
    }
    else {
        sse_exec_lines_finish(parser);
    }
}

void sse_exec_parser_destroy(sse_exec_parser_t *parser)
{
    sse_exec_blocks_close(parser);
    sse_room_free(&parser->held);
    sse_room_free(&parser->text);
    free(parser);
}
