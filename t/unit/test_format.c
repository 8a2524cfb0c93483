/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* How a stream looks on the wire: text/event-stream, and what else the table
 * can carry. */

#include <apr_general.h>
#include <apr_strings.h>

#include "stream/format/sse_format.h"
#include "tap.h"

static const sse_format_t *const sse = &sse_format_sse;

static sse_record_t record(sse_id_t id)
{
    sse_record_t made = {.id = id, .fields = SSE_FIELDS_NONE};

    return made;
}

/* Checked, and released. */
static void is_text(sse_buf_t *buf, const char *want, const char *what)
{
    is_mem(buf->data, buf->len, want, strlen(want), what);
    sse_buf_release(buf);
}

static void test_event(void)
{
    sse_record_t event = record(12);
    sse_buf_t *buf;

    event.fields.event = sse_slice("x");
    event.fields.data = sse_slice("a\nb");
    buf = sse->event(&event);
    is_num(buf->id, 12, "an event of the store has its id");
    is_num(buf->events, 1, "and counts as an event");
    is_num(buf->refs, 1, "its maker has the one reference");
    is_text(buf, "id: 12\nevent: x\ndata: a\ndata: b\n\n", "an event");

    event.fields.data = sse_slice("");
    buf = sse->event(&event);
    is_num(buf->events, 1, "empty data is an event");
    sse_buf_release(buf);

    event = record(12);
    buf = sse->event(&event);
    ok(buf->id == 12 && !buf->events, "an id alone is none");
    is_text(buf, "id: 12\n\n", "and is sent");
}

/* An application's own. */
static void test_own(void)
{
    sse_record_t event = record(0);
    sse_buf_t *buf;

    event.fields.id = sse_slice("own");
    event.fields.data = sse_slice("a");
    buf = sse->event(&event);
    is_num(buf->id, 0, "an application's event has no id of the store's");
    is_mem(buf->data + buf->len, buf->id_len, "own", 3, "its own is kept");
    is_text(buf, "id: own\ndata: a\n\n", "and is sent");

    event = record(0);
    event.fields.retry = 10;
    buf = sse->event(&event);
    ok(!buf->events && !buf->id && !buf->id_len, "a retry alone is none");
    is_text(buf, "retry: 10\n\n", "and is sent");
}

static void test_around(void)
{
    apr_uint32_t refs = sse->heartbeat->refs;

    is_str(sse->content_type, "text/event-stream", "the head");
    is_text(sse->first(2000), "retry: 2000\n\n", "the first bytes: a retry");
    is_text(sse->first(0), ":\n\n", "or else a comment");
    is_text(sse_buf_acquire(sse->heartbeat), ":\n\n", "the heartbeat");
    is_num(sse->heartbeat->refs, refs, "which is shared, and stays");
    is_text(sse->goodbye(&(sse_goodbye_t){5, 7, 0, NULL, 0}),
            "id: 7\nretry: 5\n\n", "goodbye");
    is_text(sse->goodbye(&(sse_goodbye_t){5, 0, 4, "3", 1}), "retry: 5\n\n",
            "without an id");
    ok(!sse->goodbye(&(sse_goodbye_t){0, 0, 4, "3", 0}),
       "and nothing where there is nothing to say");
}

static void test_gap(void)
{
    sse_gap_t gap = {"5", 9, 8};
    sse_buf_t *buf = sse->gap(&gap);

    ok(buf->id == 8 && buf->events == 1, "a gap is an event with an id");
    is_text(buf,
            "id: 8\nevent: sse-gap\ndata: {\"after\":\"5\",\"oldest\":\"9\"}"
            "\n\n",
            "a gap");
    gap.after = "<a\">\xe2\x80\xa8";
    gap.oldest = gap.id = 0;
    is_text(sse->gap(&gap),
            "event: sse-gap\ndata: {\"after\":\"\\u003ca\\u0022\\u003e\\u2028\""
            ",\"oldest\":null}\n\n",
            "the client's own words may be put into a page");
    gap.after = "\xff";
    is_text(sse->gap(&gap),
            "event: sse-gap\ndata: {\"after\":\"(not UTF-8)\","
            "\"oldest\":null}\n\n",
            "and are left out where they are no text");
}

/* -- One that does nothing, and needs nothing of another file -------------- */

static sse_buf_t nothing = {.refs = 1};

static sse_buf_t *no_first(apr_int64_t retry)
{
    return sse_buf_acquire(&nothing);
}

static sse_buf_t *no_event(const sse_record_t *event)
{
    return sse_buf_event(event, 0);
}

static sse_buf_t *no_gap(const sse_gap_t *gap)
{
    return sse_buf_acquire(&nothing);
}

static sse_buf_t *no_goodbye(const sse_goodbye_t *how) { return NULL; }

static const char *const no_headers[] = {NULL};

static const sse_format_t silent = {"text/plain", no_headers, 0,
                                    no_first,     no_event,   &nothing,
                                    no_gap,       no_goodbye};

static void test_silent(void)
{
    sse_record_t event = record(3);
    sse_buf_t *buf;

    event.fields.data = sse_slice("a");
    buf = silent.event(&event);
    ok(buf->id == 3 && buf->events == 1 && !buf->len,
       "what is counted of an event does not come of its bytes");
    sse_buf_release(buf);
    is_text(silent.first(1), "", "a format may say nothing");
}

int main(void)
{
    apr_initialize();
    test_event();
    test_own();
    test_around();
    test_gap();
    test_silent();
    apr_terminate();
    return done_testing();
}
