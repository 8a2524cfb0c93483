/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/exec/sse_exec_parser: what programs write becomes events, however it is
 * cut; nothing that they write stops it; and a parser that begins where an
 * event has ended gives the events that follow. */

#include <apr_pools.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "exec/sse_exec_parser.h"
#include "tap.h"

#define FFFD "\xEF\xBF\xBD"

static apr_pool_t *pool;

/* What a parser has given, as text: an event is "id|name|data;". */
typedef struct {
    char *text;
    apr_size_t len;
    apr_uint64_t upto[4096];
    apr_size_t end[4096]; /* of the text, after that event */
    int n;
    int troubles[SSE_EXEC_TROUBLES];
    apr_size_t longest;
} heard_t;

static void put(heard_t *heard, const char *ptr, apr_size_t len, char end)
{
    heard->text = realloc(heard->text, heard->len + len + 2);
    if (len) {
        memcpy(heard->text + heard->len, ptr, len);
    }
    heard->len += len;
    heard->text[heard->len++] = end;
    heard->text[heard->len] = '\0';
}

static void on_event(void *baton, const sse_fields_t *event, apr_uint64_t upto)
{
    heard_t *heard = baton;

    put(heard, event->id.ptr, event->id.len, '|');
    put(heard, event->event.ptr, event->event.len, '|');
    put(heard, event->data.ptr, event->data.len, ';');
    if (event->data.len > heard->longest) {
        heard->longest = event->data.len;
    }
    if (sse_event_check(event)) {
        put(heard, "INVALID", 7, ';');
    }
    if (heard->n < 4096) {
        heard->upto[heard->n] = upto;
        heard->end[heard->n++] = heard->len;
    }
}

static void on_trouble(void *baton, sse_exec_trouble_e trouble, const char *why)
{
    ++((heard_t *)baton)->troubles[trouble];
}

static const sse_exec_parser_events_t events = {on_event, on_trouble};

static void clear(heard_t *heard)
{
    free(heard->text);
    memset(heard, 0, sizeof(*heard));
    put(heard, "", 0, ' ');
    heard->len = 0;
    heard->text[0] = '\0';
}

/* In pieces of 1 to step bytes; 0: as a whole. */
static void feed(sse_exec_parser_t *parser, const char *buf, apr_size_t len,
                 apr_size_t step)
{
    apr_size_t n;

    for (; len; buf += n, len -= n) {
        n = step ? 1 + (apr_size_t)rand() % step : len;
        n = n < len ? n : len;
        sse_exec_parser_feed(parser, buf, n);
    }
}

static void parse(heard_t *heard, sse_exec_format_e format, apr_size_t max,
                  const char *buf, apr_size_t len, apr_size_t step)
{
    sse_exec_parser_t *parser =
        sse_exec_parser_create(format, max, &events, heard);

    clear(heard);
    feed(parser, buf, len, step);
    sse_exec_parser_finish(parser);
    sse_exec_parser_destroy(parser);
}

static heard_t got, other;

static void is_read(sse_exec_format_e format, apr_size_t max, const char *text,
                    apr_size_t len, const char *expected, const char *what)
{
    parse(&got, format, max, text, len, 0);
    parse(&other, format, max, text, len, 1);
    is_str(got.text, expected, what);
    is_str(other.text, expected, "byte by byte, too");
}

#define IS(format, max, text, expected, what)                                  \
    is_read(format, max, text, sizeof(text) - 1, expected, what)

static void test_lines(void)
{
    IS(SSE_EXEC_LINES, 100, "one\ntwo\n", "||one;||two;", "two lines");
    IS(SSE_EXEC_LINES, 100, "one\r\ntwo\r\n", "||one;||two;", "CRLF");
    IS(SSE_EXEC_LINES, 100, "one\ntwo", "||one;||two;",
       "the last line without its end is a line");
    IS(SSE_EXEC_LINES, 100, "", "", "nothing is no line");
    IS(SSE_EXEC_LINES, 100, "\n\n", "||;||;", "an empty line is an event");
    IS(SSE_EXEC_LINES, 100, "a\rb\n", "||a\rb;", "a lone CR ends no line");
    IS(SSE_EXEC_LINES, 100, "\xc3\xa4 \xf0\x9f\x98\x80\n",
       "||\xc3\xa4 \xf0\x9f\x98\x80;", "UTF-8 as it is");
    IS(SSE_EXEC_LINES, 100, "a\xff\xc3 b\n", "||a" FFFD FFFD " b;",
       "broken UTF-8 is replaced");
    IS(SSE_EXEC_LINES, 100, "a\0b\0\n", "||a" FFFD "b" FFFD ";",
       "NULs are replaced");
    is_num(got.troubles[SSE_EXEC_CUT], 0, "nothing was cut");
    IS(SSE_EXEC_LINES, 4, "abcd\r\nefghi\n", "||abcd;||efgh;||i;",
       "a line that is too long is cut, its CR not counted");
    is_num(got.troubles[SSE_EXEC_CUT], 1, "which is told");
    IS(SSE_EXEC_LINES, 4,
       "abc\xc3\xa4"
       "e\n",
       "||abc;||\xc3\xa4"
       "e;",
       "but between characters");
    IS(SSE_EXEC_LINES, 1, "\xc3\xa4\xc3\xa4\n", "||\xc3\xa4;||\xc3\xa4;",
       "a character that is longer than an event may be is kept whole");
    IS(SSE_EXEC_LINES, 4, "\xff\xff\n", "||" FFFD ";||" FFFD ";",
       "what has grown by being replaced is cut, too");
}

static void test_events(void)
{
    IS(SSE_EXEC_EVENTS, 100, "data: a\n\ndata: b\ndata: c\n\n", "||a;||b\nc;",
       "two events");
    IS(SSE_EXEC_EVENTS, 100, "data: a\r\n\r\ndata: b\r\rdata:c\n\n",
       "||a;||b;||c;", "with all ends of lines");
    IS(SSE_EXEC_EVENTS, 100, "id: 7\nevent: x\ndata: a\n\n", "7|x|a;",
       "id and name");
    IS(SSE_EXEC_EVENTS, 100, ": hello\n\n\n\nid: 1\n\ndata\n\n", "||;",
       "comments, and blocks without data, are no events");
    IS(SSE_EXEC_EVENTS, 100, "event: sse-gap\ndata: a\n\ndata: b\n\n", "||b;",
       "names of the module's own are left out");
    is_num(got.troubles[SSE_EXEC_RESERVED], 1, "which is told");
    IS(SSE_EXEC_EVENTS, 100, "data: \xff\n\ndata: b\n\n", "||b;",
       "so is broken UTF-8");
    is_num(got.troubles[SSE_EXEC_BROKEN], 1, "which is told");
    IS(SSE_EXEC_EVENTS, 4, "data: abcde\nid: 3\n\ndata: b\n\n", "||b;",
       "so is what is too large");
    is_num(got.troubles[SSE_EXEC_TOO_LARGE], 1, "which is told");
    IS(SSE_EXEC_EVENTS, 100, "data: a\n\ndata: b\n", "||a;",
       "an event without its end is none");
    is_num(got.troubles[SSE_EXEC_UNFINISHED], 1, "which is told");
}

/* Random lines and fields, some long, some broken. */
static apr_size_t make_text(char *text, apr_size_t size)
{
    static const char *const pieces[] = {
        "data: ",   "id: ", "event: n", "\n",         "\n\n",
        "\r\n",     "x",    "\xc3\xa4", "abc",        "sse-",
        "\xf0\x9f", ":",    "\r",       "longer text"};
    apr_size_t len = 0, n;
    const char *piece;

    while (len + 20 < size) {
        piece = pieces[(size_t)rand() % (sizeof(pieces) / sizeof(*pieces))];
        n = strlen(piece);
        memcpy(text + len, piece, n);
        len += n;
        if (rand() % 40 == 0) {
            text[len++] = '\0';
        }
    }
    return len;
}

static int same_when_cut(sse_exec_format_e format, const char *text,
                         apr_size_t len)
{
    parse(&got, format, 40, text, len, 0);
    parse(&other, format, 40, text, len, 17);
    return got.len == other.len && !memcmp(got.text, other.text, got.len);
}

/* From the end of some event on. */
static int same_from_within(sse_exec_format_e format, const char *text,
                            apr_size_t len)
{
    apr_size_t from, rest;
    int i;

    parse(&got, format, 40, text, len, 0);
    if (!got.n) {
        return 1;
    }
    for (i = rand() % got.n; i && got.upto[i] == got.upto[i - 1]; --i) {
    }
    from = (apr_size_t)got.upto[i];
    rest = from ? got.len - got.end[i] : got.len;
    parse(&other, format, 40, text + from, len - from, 0);
    return from <= len && other.len == rest &&
           !memcmp(got.text + got.len - rest, other.text, rest);
}

static void test_random(sse_exec_format_e format)
{
    char text[3000];
    apr_size_t len;
    int i, cut = 1, within = 1, valid = 1;

    for (i = 0; i < 500; ++i) {
        len = make_text(text, sizeof(text));
        cut &= same_when_cut(format, text, len);
        valid &= !strstr(got.text, "INVALID") && got.longest <= 40;
        within &= same_from_within(format, text, len);
    }
    ok(cut, "the same events however the output is cut");
    ok(valid, "all of them can be sent");
    ok(within, "the same from the end of any of them on");
}

static void test_skip(void)
{
    sse_exec_parser_t *parser;

    clear(&got);
    parser = sse_exec_parser_create(SSE_EXEC_LINES, 100, &events, &got);
    sse_exec_parser_skip(parser);
    feed(parser, "torn\nwhole\n", 11, 3);
    ok(!strcmp(got.text, "||whole;"), "a torn line is skipped");
    sse_exec_parser_destroy(parser);

    clear(&got);
    parser = sse_exec_parser_create(SSE_EXEC_EVENTS, 100, &events, &got);
    sse_exec_parser_skip(parser);
    feed(parser, "a: torn\ndata: x\n\ndata: whole\n\n", 31, 3);
    ok(!strcmp(got.text, "||whole;"), "a torn event is skipped");
    sse_exec_parser_destroy(parser);

    clear(&got);
    parser = sse_exec_parser_create(SSE_EXEC_EVENTS, 100, &events, &got);
    sse_exec_parser_skip(parser);
    feed(parser, "\ndata: half\n\ndata: whole\n\n", 26, 3);
    ok(!strcmp(got.text, "||whole;"), "also where it is torn at a line's end");
    sse_exec_parser_destroy(parser);
}

/* 10 MB without an end of a line. */
static void test_large(void)
{
    apr_size_t size = 10 * 1024 * 1024;
    char *text = malloc(size);

    memset(text, 'x', size);
    parse(&got, SSE_EXEC_LINES, 65536, text, size, 16384);
    is_num(got.n, 160, "a line of 10 MB is 160 events of 64 KB");
    is_num((int)got.longest, 65536, "none of them larger");
    memcpy(text, "data:", 5);
    memcpy(text + size - 12, "\n\ndata: b\n\n\n", 12);
    parse(&got, SSE_EXEC_EVENTS, 65536, text, size, 16384);
    ok(!strcmp(got.text, "||b;"), "an event of 10 MB is left out");
    is_num(got.troubles[SSE_EXEC_TOO_LARGE], 1, "which is told once");
    free(text);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    srand(1);
    test_lines();
    test_events();
    test_random(SSE_EXEC_LINES);
    test_random(SSE_EXEC_EVENTS);
    test_skip();
    test_large();
    clear(&got);
    clear(&other);
    free(got.text);
    free(other.text);
    apr_pool_destroy(pool);
    return done_testing();
}
