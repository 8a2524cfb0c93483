/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_parser_private.h
 * What the parser's files share: its members, and a function for each format.
 *
 * Threads: as in sse_exec_parser.h.
 */

#ifndef SSE_EXEC_PARSER_PRIVATE_H
#define SSE_EXEC_PARSER_PRIVATE_H

#include "event/sse_room.h"
#include "exec/sse_exec_parser.h"

struct sse_exec_parser_t {
    const sse_exec_parser_events_t *events;
    void *baton;
    sse_exec_format_e format;
    apr_size_t max;
    apr_uint64_t fed; /* bytes of the feeds before this one */
    int skips;        /* up to the next end of a line, or event */

    sse_room_t held; /* a line, or event, that is not whole yet */
    apr_size_t held_len;
    sse_room_t text; /* lines: one that had to be changed */

    /* Events: */
    apr_pool_t *pool; /* the reader's */
    sse_reader_t *reader;
    apr_uint64_t upto; /* the end of what the reader is given */
    int is_within;     /* the current line has something */
    int after_cr;      /* a LF that comes next belongs to that CR */
};

/** Keep these bytes behind those held. */
void sse_exec_parser_hold(sse_exec_parser_t *parser, const char *buf,
                          apr_size_t len);

/** What was held has been used. */
void sse_exec_parser_release(sse_exec_parser_t *parser);

/* sse_exec_lines.c */
void sse_exec_lines_feed(sse_exec_parser_t *parser, const char *buf,
                         apr_size_t len);
void sse_exec_lines_finish(sse_exec_parser_t *parser);

/* sse_exec_blocks.c */
void sse_exec_blocks_open(sse_exec_parser_t *parser);
void sse_exec_blocks_feed(sse_exec_parser_t *parser, const char *buf,
                          apr_size_t len);
void sse_exec_blocks_finish(sse_exec_parser_t *parser);
void sse_exec_blocks_close(sse_exec_parser_t *parser);

#endif /* SSE_EXEC_PARSER_PRIVATE_H */
