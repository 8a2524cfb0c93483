/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A subscription whose client must miss nothing, as one that looks on: what it
 * is sent first, and that its stream ends where another one tells a gap. */

#include "hub.h"

static sse_subscription_t *ask_whole(const char *channels, sse_id_t after,
                                     const sse_id_t *since, const char *first)
{
    sse_slice_t keys[4];
    sse_start_t start = {keys,
                         keys_of(channels, keys),
                         origin + after,
                         last_of(store),
                         NULL,
                         since,
                         first ? sse_buf_text(first) : NULL,
                         1,
                         0};

    return sse_subscription_create(hub, &start);
}

static void test_first(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    sse_id_t since[2];

    begin("first");
    publish(store, "a", "x", &keep_all);
    publish(store, "b", "y", &keep_all);
    publish(store, "a", "z", &keep_all);
    since[0] = origin + 1;
    since[1] = origin + 2;
    sub = ask_whole("ab", 1, since, "id: 1\ndata: there\n\n");
    attach(&stream, sub);
    drain(&stream);
    ok(strstr(stream.text, "=there 3=z ") && !strstr(stream.text, "y"),
       "the snapshot, and of each channel what follows it");
    publish(store, "b", "more", &keep_all);
    ring();
    ok(strstr(stream.text, "4=more "), "then all that comes");
    finish(&stream, sub);
    sub = ask_whole("a", 1, NULL, "data: never\n\n");
    sse_subscription_source.on_ended(NULL, sub);
    ok(1, "one that is never attached keeps nothing");
    end();
}

static void test_catching_up(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    int i;

    begin("catching");
    for (i = 1; i <= 4; ++i) {
        publish_big("a", "x", &keep_all);
    }
    sub = ask_whole("a", 1, NULL, NULL);
    attach(&stream, sub);
    for (i = 5; i <= 7; ++i) {
        publish_big("a", "y", &keep_one);
    }
    ring();
    forget_old();
    has(&stream, "2=x ", "a first piece");
    drain(&stream);
    has(&stream, "end", "events are lost: the stream ends, without the next");
    drain_once(&stream);
    ring();
    has(&stream, "", "and that is all");
    finish(&stream, sub);
    end();
}

static void test_live(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    int i;

    begin("live");
    publish(store, "a", "x", &keep_all);
    sub = ask_whole("a", 0, NULL, NULL);
    attach(&stream, sub);
    drain(&stream);
    has(&stream, "1=x ", "live");
    for (i = 2; i <= 4; ++i) {
        publish(store, "a", "y", &keep_one);
    }
    forget_old();
    ring();
    drain(&stream);
    has(&stream, "end", "the log has lost some: it ends");
    finish(&stream, sub);
    end();
}

int main(void)
{
    test_begin();
    test_first();
    test_catching_up();
    test_live();
    return test_end();
}
