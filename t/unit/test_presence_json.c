/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Presence as JSON, whatever the names are. */

#include <apr_general.h>
#include <stdlib.h>

#include "hub/sse_presence_json.h"
#include "tap.h"

static apr_pool_t *pool;

static void is(sse_slice_t got, const char *want, const char *what)
{
    is_mem(got.ptr, got.len, want, strlen(want), what);
}

static void test_change(void)
{
    sse_slice_t channel = sse_slice("/a"), stream = sse_slice("1.2.3");
    apr_time_t time = APR_INT64_C(1764409200123456);

    is(sse_presence_json_change(channel, stream, sse_slice("ann"), time, NULL,
                                pool),
       "{\"channel\":\"/a\",\"stream\":\"1.2.3\",\"user\":\"ann\","
       "\"time\":1764409200.123456}",
       "somebody joins");
    is(sse_presence_json_change(channel, stream, sse_slice(""), time, "client",
                                pool),
       "{\"channel\":\"/a\",\"stream\":\"1.2.3\",\"user\":null,"
       "\"time\":1764409200.123456,\"reason\":\"client\"}",
       "somebody without a name leaves");
}

static void test_document(void)
{
    is(sse_presence_json_head(sse_slice("/a"), 3, 2, pool),
       "{\"channel\":\"/a\",\"streams\":3,\"users\":2", "a head");
    is(sse_presence_json_member(sse_slice("s"), sse_slice("u"), 1500000, 0,
                                pool),
       "{\"stream\":\"s\",\"user\":\"u\",\"since\":1.5}", "a member");
    is(sse_presence_json_member(sse_slice("s"), sse_slice("u"), 0, 1, pool),
       "{\"stream\":\"s\",\"user\":\"u\",\"since\":0.0,\"away\":true}",
       "one who is away");
}

static void test_text(void)
{
    char any[256];
    sse_slice_t bytes = {any, sizeof(any)}, json;
    int i;

    is(sse_presence_json_member(sse_slice("\"\\\n</x>"), sse_slice("\xc3\xa9"),
                                0, 0, pool),
       "{\"stream\":\"\\\"\\\\\\n</x>\",\"user\":\"\xc3\xa9\",\"since\":0.0}",
       "what JSON escapes");
    is(sse_presence_json_member(sse_slice("a\xff\xc3"),
                                sse_slice("\xed\xa0\x80"), 0, 0, pool),
       "{\"stream\":\"a\xef\xbf\xbd\xef\xbf\xbd\","
       "\"user\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"since\":0.0}",
       "what is no UTF-8 is replaced");
    for (i = 0; i < 256; ++i) {
        any[i] = (char)i;
    }
    json = sse_presence_json_member(bytes, bytes, 0, 0, pool);
    ok(json.len > 512 && sse_utf8_valid(json.ptr, json.len), "any bytes");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_change();
    test_document();
    test_text();
    apr_terminate();
    return done_testing();
}
