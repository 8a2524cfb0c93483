/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_parser.h
 * What a program writes, read as events: each line is one event's data, or the
 * output is a text/event-stream (SSECommandFormat).
 *
 * A program may write anything.  Nothing that it writes stops the parser, or
 * takes more memory than some times the largest event: what can be no event is
 * left out, and its owner is told why.  Lines are made events whatever is in
 * them: broken UTF-8 and NULs become U+FFFD, and a line that is too long
 * becomes several events.
 *
 * malloc'ed; its owner's.  No httpd, no I/O.
 *
 * Threads: one at a time; no shared state.
 */

#ifndef SSE_EXEC_PARSER_H
#define SSE_EXEC_PARSER_H

#include "event/sse_event.h"

/** SSECommandFormat, in the order of the directive's words. */
typedef enum { SSE_EXEC_LINES, SSE_EXEC_EVENTS } sse_exec_format_e;

/** What was wrong with the output. */
typedef enum {
    SSE_EXEC_CUT,        /**< a line was longer than an event may be: it has
                             become several events */
    SSE_EXEC_TOO_LARGE,  /**< an event was; it is left out */
    SSE_EXEC_BROKEN,     /**< an event that cannot be sent; it is left out */
    SSE_EXEC_RESERVED,   /**< its name begins with "sse-"; it is left out */
    SSE_EXEC_UNFINISHED, /**< the output ended within an event; left out */
    SSE_EXEC_TROUBLES
} sse_exec_trouble_e;

typedef struct {
    /** An event that has passed sse_event_check().  What it points to lives
     *  until this returns.
     *  @param upto how many bytes of all that the parser has been given belong
     *         to this event and those before it; a parser that begins there
     *         gives the events that follow */
    void (*on_event)(void *baton, const sse_fields_t *event, apr_uint64_t upto);
    /** @param why in words, where there is more to say; or NULL */
    void (*on_trouble)(void *baton, sse_exec_trouble_e trouble,
                       const char *why);
} sse_exec_parser_events_t;

typedef struct sse_exec_parser_t sse_exec_parser_t;

/** @param max_event the most bytes of an event, at least 1
 *  @return never NULL */
sse_exec_parser_t *
sse_exec_parser_create(sse_exec_format_e format, apr_size_t max_event,
                       const sse_exec_parser_events_t *events, void *baton);

/** More of the output; may be cut anywhere. */
void sse_exec_parser_feed(sse_exec_parser_t *parser, const char *buf,
                          apr_size_t len);

/** Leave out what comes up to the next end of a line, or of an event: the
 *  output is read from somewhere within. */
void sse_exec_parser_skip(sse_exec_parser_t *parser);

/** The output is over: a last line without its end is a line. */
void sse_exec_parser_finish(sse_exec_parser_t *parser);

void sse_exec_parser_destroy(sse_exec_parser_t *parser);

#endif /* SSE_EXEC_PARSER_H */
