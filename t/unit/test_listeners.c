/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/notify/sse_listeners.c: who is told of what, and in which order.  The
 * listeners are this file's own: one more takes nothing but a file that adds
 * it. */

#include <stdarg.h>
#include <stdio.h>

#include "notify/sse_listeners.h"
#include "tap.h"

/* What was called, as words. */
static char called[256];

static void note(const char *format, ...)
{
    size_t len = strlen(called);
    va_list args;

    va_start(args, format);
    vsnprintf(called + len, sizeof(called) - len, format, args);
    va_end(args);
}

#define calls_are(want, what)                                                  \
    do {                                                                       \
        is_str(called, want, what);                                            \
        called[0] = '\0';                                                      \
    } while (0)

/* -- The listeners --------------------------------------------------------- */

/* Every event. */
static void every_opened(sse_stream_t *stream, request_rec *r)
{
    note("every:opened ");
}
static void every_closed(const sse_ended_t *ended)
{
    note("every:closed=%d ", (int)ended->close.reason);
}
static void every_crashed(const sse_crash_t *crash)
{
    note("every:crashed=%s ", crash->stream);
}
static void every_published(const sse_publisher_t *by,
                            const sse_append_t *items, int n)
{
    note("every:published=%d%s ", n, by->r ? "?" : "");
}
static void every_first(const sse_subscriber_t *subscriber)
{
    note("every:first=%.*s ", (int)subscriber->channel.len,
         subscriber->channel.ptr);
}
static void every_last(const sse_subscriber_t *subscriber)
{
    note("every:last=%.*s ", (int)subscriber->channel.len,
         subscriber->channel.ptr);
}

static const sse_listener_t every = {
    .mask = SSE_TELL_OPENED | SSE_TELL_CLOSED | SSE_TELL_CRASHED |
            SSE_TELL_PUBLISHED | SSE_TELL_FIRST | SSE_TELL_LAST,
    .opened = every_opened,
    .closed = every_closed,
    .crashed = every_crashed,
    .published = every_published,
    .first = every_first,
    .last = every_last};

/* Openings and ends, where it is told to want them. */
static apr_uint32_t wanted;

static int some_wants(sse_tell_e event) { return (wanted & event) != 0; }
static void some_opened(sse_stream_t *stream, request_rec *r)
{
    note("some:opened ");
}
static void some_closed(const sse_ended_t *ended) { note("some:closed "); }
static void some_published(const sse_publisher_t *by, const sse_append_t *items,
                           int n)
{
    note("some:published ");
}

static const sse_listener_t some = {.mask = SSE_TELL_OPENED | SSE_TELL_CLOSED,
                                    .wants = some_wants,
                                    .opened = some_opened,
                                    .closed = some_closed,
                                    .published = some_published};

/* First subscribers of some locations. */
static const char *way; /* of a request's location; NULL: not told */

static const char *routed_route(request_rec *r) { return way; }
static void routed_first(const sse_subscriber_t *subscriber)
{
    note("routed:first=%.*s ", (int)subscriber->route.len,
         subscriber->route.ptr);
}

static const sse_listener_t routed = {
    .mask = SSE_TELL_FIRST, .first = routed_first, .route = routed_route};

/* Some ends only, also where the opening was not told. */
static int picks;

static int picky_wants_end(const sse_ended_t *ended)
{
    note("picky? ");
    return picks;
}
static void picky_closed(const sse_ended_t *ended) { note("picky:closed "); }

static const sse_listener_t picky = {.wants_end = picky_wants_end,
                                     .closed = picky_closed};

/* Those that stand before all others. */
static void head_opened(sse_stream_t *stream, request_rec *r)
{
    note("head:opened ");
}
static void neck_opened(sse_stream_t *stream, request_rec *r)
{
    note("neck:opened ");
}

static const sse_listener_t head = {.mask = SSE_TELL_OPENED,
                                    .opened = head_opened};
static const sse_listener_t neck = {.mask = SSE_TELL_OPENED,
                                    .opened = neck_opened};

/* A listener comes by a file of its own. */
__attribute__((constructor)) static void add_picky(void)
{
    sse_listeners_add(&picky);
}

/* -- The tests ------------------------------------------------------------- */

static sse_ended_t ended = {.was_opened = 1,
                            .close = {.reason = SSE_CLOSE_CLIENT}};

static void tell_all(void)
{
    sse_crash_t crash = {.stream = "x"};
    const sse_publisher_t by = {NULL, NULL};
    sse_append_t items[2];

    sse_listeners_opened(NULL, NULL);
    sse_listeners_published(&by, items, 2);
    sse_listeners_first(&(sse_subscriber_t){.channel = sse_slice("/a")});
    sse_listeners_last(&(sse_subscriber_t){.channel = sse_slice("/b")});
    sse_listeners_crashed(&crash);
}

static void test_nobody(void)
{
    apr_uint32_t event, any = 0;

    for (event = SSE_TELL_OPENED; event <= SSE_TELL_LAST; event <<= 1) {
        any |= (apr_uint32_t)sse_listeners_want((sse_tell_e)event);
    }
    is_num(any, 0, "a listener to some ends wants no event each time");
    tell_all();
    calls_are("", "nothing is called for what nobody wants");
    is_num(sse_listeners_want_end(&ended), 0,
           "nor is the end of a stream told");
    calls_are("picky? ", "who listens to some ends was asked");
    picks = 1;
    is_num(sse_listeners_want_end(&ended), 1, "and may want it");
    called[0] = '\0';
    sse_listeners_closed(&ended);
    calls_are("picky:closed ", "and is told");
    picks = 0;
}

static void test_mask(void)
{
    sse_listeners_add(&some);
    sse_listeners_add(&some);
    is_num(sse_listeners_want(SSE_TELL_OPENED), 0, "not wanted at present");
    wanted = SSE_TELL_OPENED | SSE_TELL_PUBLISHED;
    is_num(sse_listeners_want(SSE_TELL_OPENED), 1, "then it is");
    is_num(sse_listeners_want(SSE_TELL_CLOSED), 0, "but the other is not");
    is_num(sse_listeners_want(SSE_TELL_PUBLISHED), 0,
           "what is not in the mask is not wanted");
    tell_all();
    calls_are("some:opened ", "told of what it wants, once");
    is_num(sse_listeners_want_end(&ended), 0, "not of ends");
    calls_are("picky? ", "as was asked");
}

static void test_order(void)
{
    sse_listeners_add(&every);
    wanted = SSE_TELL_OPENED | SSE_TELL_CLOSED;
    tell_all();
    calls_are("some:opened every:opened every:published=2 every:first=/a "
              "every:last=/b every:crashed=x ",
              "all events, in the order of registration");
    is_num(sse_listeners_want_end(&ended), 1, "an end is wanted");
    calls_are("", "without asking who listens to some");
    sse_listeners_closed(&ended);
    calls_are("every:closed=1 some:closed picky:closed ",
              "an end is told in the reverse order");
    ended.was_opened = 0;
    is_num(sse_listeners_want_end(&ended), 0,
           "the end of what was not told as open");
    calls_are("picky? ", "concerns those alone who listen to some");
    sse_listeners_closed(&ended);
    calls_are("picky:closed ", "and is told to them");
}

static void test_head(void)
{
    sse_listeners_add_head(&head);
    sse_listeners_add_head(&neck);
    sse_listeners_add_head(&head);
    wanted = SSE_TELL_OPENED;
    sse_listeners_opened(NULL, NULL);
    calls_are("head:opened neck:opened some:opened every:opened ",
              "those at the head are told before all others, in their order");
}

static void test_routes(void)
{
    sse_subscriber_t subscriber = {.channel = sse_slice("/a")};

    is_str(sse_listeners_route(NULL), "", "who wants all needs no route");
    sse_listeners_add(&routed);
    is_str(sse_listeners_route(NULL), "", "nor what a listener does not want");
    sse_listeners_first(&subscriber);
    calls_are("every:first=/a ", "of which it is not told");
    way = "to b";
    is_str(sse_listeners_route(NULL), "to b", "the route of a location");
    subscriber.route = sse_slice(way);
    sse_listeners_first(&subscriber);
    calls_are("every:first=/a routed:first=to b ", "comes back to it");
}

int main(void)
{
    test_nobody();
    test_mask();
    test_order();
    test_head();
    test_routes();
    return done_testing();
}
