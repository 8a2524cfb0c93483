/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The answer to a long poll, piece by piece, and as a whole to a JSON parser of
 * somebody else's. */

#include <apr_general.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "event/sse_json_text.h"
#include "stream/format/sse_format.h"
#include "tap.h"

static const sse_format_t *const json = &sse_format_json;

static sse_record_t record(sse_id_t id, const char *data)
{
    sse_record_t made = {.id = id, .fields = SSE_FIELDS_NONE};

    made.channel = (sse_slice_t){"ns\0/events/x", 12};
    made.fields.data = sse_slice(data);
    return made;
}

/* Checked, and released. */
static void is_text(sse_buf_t *buf, const char *want, const char *what)
{
    is_mem(buf->data, buf->len, want, strlen(want), what);
    sse_buf_release(buf);
}

static void test_elements(void)
{
    sse_record_t event = record(12, "a");
    sse_buf_t *buf = json->event(&event);

    is_num(buf->id, 12, "an event has its id");
    is_num(buf->events, 1, "and counts as one");
    is_text(buf,
            ",{\"id\":\"12\",\"channel\":\"/events/x\",\"event\":\"message\","
            "\"data\":\"a\"}",
            "an event, behind its separator");

    event.fields.event = sse_slice("t\"");
    event.fields.data = sse_slice("");
    is_text(json->event(&event),
            ",{\"id\":\"12\",\"channel\":\"/events/x\",\"event\":\"t\\\"\","
            "\"data\":\"\"}",
            "with a type; empty data is data");

    event.channel = (sse_slice_t){"ns\0\1/events/x", 13};
    event.fields.event = sse_slice("join");
    is_text(json->event(&event),
            ",{\"id\":\"12\",\"channel\":\"/events/x\",\"event\":\"join\","
            "\"data\":\"\"}",
            "comings and goings have the channel's own name");
}

static void test_own(void)
{
    sse_record_t event = {.fields = SSE_FIELDS_NONE};
    sse_buf_t *buf;

    event.fields.id = sse_slice("own");
    event.fields.data = sse_slice("a");
    buf = json->event(&event);
    is_mem(buf->data + buf->len, buf->id_len, "own", 3, "an own id is kept");
    is_text(buf,
            ",{\"id\":\"own\",\"channel\":null,\"event\":\"message\",\"data\":"
            "\"a\"}",
            "and sent; there is no channel");
    event.fields.id = sse_slice(NULL);
    is_text(json->event(&event),
            ",{\"id\":null,\"channel\":null,\"event\":\"message\",\"data\":"
            "\"a\"}",
            "or none");

    event.fields.data = sse_slice(NULL);
    event.fields.retry = 7;
    is_text(json->event(&event), "\n", "what is no event is white space");
    event.id = 9;
    buf = json->event(&event);
    ok(buf->id == 9 && !buf->events, "which may have an id");
    sse_buf_release(buf);
}

static void test_lines(void)
{
    static const struct {
        const char *data, *want;
    } cases[] = {{"a\nb", "a\\nb"},
                 {"a\r\nb", "a\\nb"},
                 {"a\rb\r", "a\\nb\\n"},
                 {"\r\r\n\n\r", "\\n\\n\\n\\n"},
                 {"\t\x01\x7f\\/<'", "\\t\\u0001\\u007f\\\\/<'"}};
    char want[200];
    unsigned int i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        sse_record_t event = record(1, cases[i].data);

        snprintf(want, sizeof(want),
                 ",{\"id\":\"1\",\"channel\":\"/events/x\",\"event\":"
                 "\"message\",\"data\":\"%s\"}",
                 cases[i].want);
        is_text(json->event(&event), want, cases[i].want);
    }
}

static void test_around(void)
{
    is_str(json->content_type, "application/json", "the type");
    is_num(json->separator, 1, "a list, with a comma");
    is_text(json->first(2000), "{\"events\":[", "the first bytes");
    is_text(sse_buf_acquire(json->heartbeat), "\n", "the heartbeat");
    is_text(json->goodbye(&(sse_goodbye_t){0, 7, 5, "3", 0}),
            "],\"last\":\"7\"}\n", "the end: where it stands");
    is_text(json->goodbye(&(sse_goodbye_t){0, 0, 5, "3", 0}),
            "],\"last\":\"5\"}\n", "or the last id sent");
    is_text(json->goodbye(&(sse_goodbye_t){9, 0, 0, "\"\xff", 0}),
            "],\"last\":\"\\\"\xef\xbf\xbd\",\"retry\":9}\n",
            "or what was given, whatever that is; and a pause");
    is_text(json->goodbye(&(sse_goodbye_t){0, 0, 0, NULL, 1}),
            "{\"events\":[],\"last\":\"\"}\n", "or nothing: the whole answer");
}

static void test_gap(void)
{
    sse_gap_t gap = {"<\">", 5, 4};
    sse_buf_t *buf = json->gap(&gap);

    ok(buf->id == 4 && buf->events == 1, "a gap is an element, with an id");
    is_text(buf,
            ",{\"id\":\"4\",\"channel\":null,\"event\":\"sse-gap\",\"data\":\""
            "{\\\"after\\\":\\\"\\\\u003c\\\\u0022\\\\u003e\\\","
            "\\\"oldest\\\":\\\"5\\\"}\"}",
            "whose data is that of a stream");
}

/* A whole answer, of events with every byte there is. */
static void test_whole(void)
{
    char all[600], *out = all, text[8000];
    sse_record_t event;
    sse_buf_t *buf;
    apr_size_t len = 0;
    const char *data;
    json_t *root;
    int i;

    for (i = 1; i < 0x80; ++i) {
        if (i != '\r') {
            *out++ = (char)i;
        }
    }
    memcpy(out, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10);
    event = record(3, all);
    for (i = 0; i < 4; ++i) {
        buf = !i       ? json->first(0)
              : i == 3 ? json->goodbye(&(sse_goodbye_t){0, 3, 0, NULL, 0})
                       : json->event(&event);
        memcpy(text + len, buf->data + (i == 1), buf->len - (i == 1));
        len += buf->len - (i == 1);
        sse_buf_release(buf);
    }
    root = json_loadb(text, len, 0, NULL);
    ok(root != NULL, "a whole answer is JSON");
    is_num(json_array_size(json_object_get(root, "events")), 2, "with both");
    data = json_string_value(json_object_get(
        json_array_get(json_object_get(root, "events"), 1), "data"));
    is_str(data ? data : "", all, "and every byte as it was");
    json_decref(root);
}

/* What is no UTF-8 in a string. */
static void test_quote(void)
{
    sse_slice_t text = {"a\xff\"\xc3\xa9\n", 6};
    char out[40];
    apr_size_t len = sse_json_quote(text, out);

    is_mem(out, len, "\"a\xef\xbf\xbd\\\"\xc3\xa9\\n\"", 12, "is replaced");
    ok(sse_json_quoted_size(text) >= len, "and there is room for it");
    is_num(sse_json_quoted_size(sse_slice("a\"\n\x01")), 13,
           "else just as much as is needed");
}

int main(void)
{
    apr_initialize();
    test_elements();
    test_own();
    test_lines();
    test_around();
    test_gap();
    test_whole();
    test_quote();
    apr_terminate();
    return done_testing();
}
