/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/notify/webhook/sse_hook_json.c: each body, byte by byte, and that jansson
 * reads it, whatever text a client sends. */

#include <apr_general.h>
#include <apr_strings.h>
#include <jansson.h>

#include "notify/sse_notes.h"
#include "notify/webhook/sse_hook_json.h"
#include "tap.h"

const char *sse_close_name(sse_close_reason_e reason)
{
    return reason == SSE_CLOSE_CRASH ? "crash" : "client";
}

static sse_hook_text_t text;

static sse_call_t call_of(sse_call_type_e type, const char *id)
{
    sse_call_t call = {.type = type,
                       .time = APR_TIME_C(1796031234) * 1000000 + 70,
                       .id = sse_slice(id)};

    return call;
}

static void body_is(const sse_call_t *call, const char *want, const char *what)
{
    json_t *json = json_loadb(call->body.ptr, call->body.len, 0, NULL);

    is_mem(call->body.ptr, call->body.len, want, strlen(want), what);
    ok(json != NULL, "jansson reads it");
    json_decref(json);
}

#define NOBODY                                                                 \
    ",\"host\":\"h\",\"channels\":[],\"stream\":null,\"uri\":null,"            \
    "\"remote\":null,\"user\":null,\"session\":null,\"fields\":{}"

#define SOMEBODY                                                               \
    ",\"host\":\"h\",\"channels\":[\"/a\",\"/b c\"],\"stream\":\"s.1\","       \
    "\"uri\":\"/a?x=1\",\"remote\":\"192.0.2.1\",\"user\":\"ann\","            \
    "\"session\":\"\",\"fields\":{\"remote\":\"192.0.2.1\",\"b\":\"\"}"

static sse_hook_about_t somebody(void)
{
    static const sse_slice_t channels[] = {{"/a", 2}, {"/b c", 4}};
    static const sse_hook_value_t values[] = {{"remote", {"192.0.2.1", 9}},
                                              {"b", {"", 0}}};
    sse_hook_about_t about = {.host = sse_slice("h"),
                              .channels = channels,
                              .n_channels = 2,
                              .stream = sse_slice("s.1"),
                              .uri = sse_slice("/a?x=1"),
                              .remote = sse_slice("192.0.2.1"),
                              .user = sse_slice("ann"),
                              .session = sse_slice(""),
                              .values = values,
                              .n_values = 2};

    return about;
}

static void test_plain(void)
{
    sse_hook_about_t about = {.host = sse_slice("h")};
    sse_call_t call = call_of(SSE_CALL_FIRST, "1.first");

    sse_hook_json_plain(&text, &call, &about);
    body_is(&call,
            "{\"type\":\"first\",\"id\":\"1.first\",\"time\":1796031234."
            "000070" NOBODY "}",
            "what has no value is null");
    about = somebody();
    call = call_of(SSE_CALL_OPEN, "s.1.open");
    sse_hook_json_plain(&text, &call, &about);
    body_is(&call,
            "{\"type\":\"open\",\"id\":\"s.1.open\",\"time\":1796031234."
            "000070" SOMEBODY "}",
            "an opening");
}

static void test_close(void)
{
    sse_hook_about_t about = somebody();
    sse_call_t call = call_of(SSE_CALL_CLOSE, "s.1.close");
    sse_close_t close = {.reason = SSE_CLOSE_CLIENT,
                         .by_client = 1,
                         .opened = 1000000,
                         .closed = 3500999,
                         .events = 3,
                         .bytes = 112,
                         .last_event_id = "17"};

    sse_hook_json_close(&text, &call, &about, &close);
    body_is(&call,
            "{\"type\":\"close\",\"id\":\"s.1.close\",\"time\":1796031234."
            "000070" SOMEBODY ",\"reason\":\"client\",\"by_client\":true,"
            "\"duration_ms\":2500,\"events\":3,\"bytes\":112,"
            "\"last_event_id\":\"17\"}",
            "an end");
    close.closed = 0;
    close.by_client = 0;
    close.last_event_id = NULL;
    sse_hook_json_close(&text, &call, &about, &close);
    body_is(&call,
            "{\"type\":\"close\",\"id\":\"s.1.close\",\"time\":1796031234."
            "000070" SOMEBODY ",\"reason\":\"client\",\"by_client\":false,"
            "\"duration_ms\":0,\"events\":3,\"bytes\":112,"
            "\"last_event_id\":null}",
            "a clock that went back; no event");
}

static void test_crash(void)
{
    sse_hook_about_t about = somebody();
    sse_call_t call, open = call_of(SSE_CALL_OPEN, "s.1.open");

    sse_hook_json_plain(&text, &open, &about);
    open.body.ptr = strndup(open.body.ptr, open.body.len);
    call = call_of(SSE_CALL_CLOSE, "s.1.close");
    call.time += 1500000;
    sse_hook_json_crash(&text, &call, &open);
    body_is(&call,
            "{\"type\":\"close\",\"id\":\"s.1.close\",\"time\":1796031235."
            "500070" SOMEBODY ",\"reason\":\"crash\",\"by_client\":false,"
            "\"duration_ms\":1500,\"events\":null,\"bytes\":null,"
            "\"last_event_id\":null}",
            "an end that is made of its opening");
    free((void *)open.body.ptr);
}

static void test_publish(void)
{
    sse_hook_about_t about = {.host = sse_slice("h")};
    sse_call_t call = call_of(SSE_CALL_PUBLISH, "7.publish");
    sse_append_t item = {.id = 7};

    item.fields.data = sse_slice("a\nb\t\"\\\x7f");
    sse_hook_json_publish(&text, &call, &about, &item);
    body_is(&call,
            "{\"type\":\"publish\",\"id\":\"7.publish\",\"time\":"
            "1796031234.000070" NOBODY ",\"event\":{\"id\":\"7\",\"event\":"
            "\"message\",\"data\":\"a\\nb\\t\\\"\\\\\\u007f\"}}",
            "an event without a type");
    item.fields.event = sse_slice("note");
    item.fields.data = sse_slice("");
    sse_hook_json_publish(&text, &call, &about, &item);
    body_is(&call,
            "{\"type\":\"publish\",\"id\":\"7.publish\",\"time\":"
            "1796031234.000070" NOBODY ",\"event\":{\"id\":\"7\",\"event\":"
            "\"note\",\"data\":\"\"}}",
            "one with a type");
}

/* What a client may send as a URI or a header. */
static void repaired(const char *bytes, const char *want)
{
    sse_hook_about_t about = {.host = sse_slice(bytes)};
    sse_call_t call = call_of(SSE_CALL_LAST, "1");
    json_t *json;

    sse_hook_json_plain(&text, &call, &about);
    json = json_loadb(call.body.ptr, call.body.len, 0, NULL);
    if (ok(json != NULL, "jansson reads it")) {
        is_str(json_string_value(json_object_get(json, "host")), want, want);
    }
    json_decref(json);
}

#define BAD "\xef\xbf\xbd"

static void test_utf8(void)
{
    repaired("caf\xc3\xa9 \xf0\x9f\x98\x80", "caf\xc3\xa9 \xf0\x9f\x98\x80");
    repaired("\xff", BAD);
    repaired("a\xff\xfe"
             "b",
             "a" BAD BAD "b");
    repaired("caf\xe9\"\n", "caf" BAD "\"\n");
    repaired("\xc3\xa9\xc3", "\xc3\xa9" BAD);
    repaired("\xed\xa0\x80", BAD BAD BAD);
    repaired("\xf0\x9f\x98", BAD BAD BAD);
    repaired("\xe2\x82\xac\\\x80", "\xe2\x82\xac\\" BAD);
    repaired("\xc0\xaf", BAD BAD);
}

/* Every byte, alone and behind a lead byte. */
static void test_every_byte(void)
{
    sse_hook_about_t about = {.n_channels = 0};
    sse_call_t call = call_of(SSE_CALL_LAST, "1");
    char bytes[4] = {'a'};
    int c, lead, bad = 0;
    json_t *json;

    for (lead = 0; lead < 256; lead += 16) {
        for (c = 0; c < 256; ++c) {
            bytes[1] = (char)(lead | 3);
            bytes[2] = (char)c;
            bytes[3] = 'z';
            about.user = (sse_slice_t){bytes, 4};
            sse_hook_json_plain(&text, &call, &about);
            json =
                json_loadb(call.body.ptr, call.body.len, JSON_ALLOW_NUL, NULL);
            bad += !json;
            json_decref(json);
        }
    }
    is_num(bad, 0, "no byte breaks a body");
}

static void test_channel(void)
{
    static const char key[] = "host\0/a\0b";
    sse_slice_t name = sse_store_name((sse_slice_t){key, sizeof(key) - 1});

    is_mem(name.ptr, name.len, "/a\0b", 4, "a channel's name");
}

int main(void)
{
    apr_initialize();
    test_plain();
    test_close();
    test_crash();
    test_publish();
    test_utf8();
    test_every_byte();
    test_channel();
    sse_hook_json_free(&text);
    ok(!text.room.ptr && !text.len, "and it is freed");
    apr_terminate();
    return done_testing();
}
