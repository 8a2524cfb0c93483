/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Where the hub tells a gap, and what of. */

#include "hub.h"

/* What it was to read is gone, what came after is there. */
static void test_second_gap(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    int i;

    begin("second");
    for (i = 1; i <= 4; ++i) {
        publish_big("a", "x", &keep_all);
    }
    subscribe(&stream, "a", 1);
    sub = stream.sub;
    has(&stream, "2=x ", "a first piece");
    for (i = 5; i <= 7; ++i) {
        publish_big("a", "y", &keep_one);
    }
    ring();
    forget_old();
    drain(&stream);
    has(&stream, "gap(2,7) 7=y ", "a gap has the first id kept");
    publish(store, "a", "z", &keep_one);
    ring();
    has(&stream, "8=z ", "and the stream goes on");
    finish(&stream, sub);
    end();
}

/* It is in no history any more, but still in the log. */
static void test_lingering(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    int i;

    begin("lingering");
    for (i = 1; i <= 4; ++i) {
        publish_big("a", "x", &keep_all);
    }
    subscribe(&stream, "a", 1);
    sub = stream.sub;
    for (i = 5; i <= 7; ++i) {
        publish_big("a", "y", &keep_one);
    }
    ring();
    drain(&stream);
    has(&stream, "2=x gap(2,5) 5=y 6=y 7=y ",
        "a gap is told before what follows it");
    finish(&stream, sub);
    end();
}

/* What is missing on one channel is told once, however many pieces there are
 * to be read of another; what goes then is told. */
static void test_once(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    int i;

    begin("once");
    for (i = 1; i <= 4; ++i) {
        publish_big("a", "x", &keep_all);
    }
    publish(store, "b", "gone", &keep_none);
    forget_old();
    subscribe(&stream, "ab", 0);
    sub = stream.sub;
    drain_once(&stream);
    drain_once(&stream);
    has(&stream, "gap(0,1) 1=x 2=x 3=x ", "one gap");
    publish_big("a", "y", &keep_one);
    publish(store, "b", "more", &keep_one);
    forget_old();
    ring();
    drain(&stream);
    has(&stream, "gap(3,6) 6=y 7=more ", "and another, of what went then");
    finish(&stream, sub);
    end();
}

/* Nothing follows the gap. */
static void test_nothing_follows(void)
{
    sse_stream_t stream, both;
    sse_subscription_t *sub, *sub_both;
    int i;

    begin("nothing");
    publish(store, "b", "kept", &keep_all);
    for (i = 2; i <= 4; ++i) {
        publish_big("a", "x", &keep_all);
    }
    subscribe(&stream, "a", 1);
    subscribe(&both, "ab", 1);
    sub = stream.sub;
    sub_both = both.sub;
    publish_big("a", "y", &keep_none);
    forget_old();
    ring();
    drain(&stream);
    has(&stream, "2=x gap(2,0) ", "a gap, and nothing is kept");
    drain(&both);
    has(&both, "2=x gap(2,1) ", "or something else is");
    publish(store, "a", "z", &keep_one);
    ring();
    has(&stream, "6=z ", "then what is new");
    has(&both, "6=z ", "to both");
    finish(&stream, sub);
    finish(&both, sub_both);
    end();
}

/* The child slept for longer than the log remembers. */
static void test_live(void)
{
    sse_stream_t a, b;
    sse_subscription_t *sub_a, *sub_b;
    int i;

    begin("live");
    publish(store, "b", "kept", &keep_all);
    subscribe(&a, "a", 1);
    subscribe(&b, "ab", 1);
    sub_a = a.sub;
    sub_b = b.sub;
    for (i = 2; i <= 4; ++i) {
        publish(store, "a", "x", &keep_one);
    }
    publish(store, "c", "x", &keep_one);
    publish(store, "a", "y", &keep_none);
    forget_old();
    ring();
    has(&a, "gap(1,0) ", "live: a gap, and nothing is kept");
    has(&b, "gap(1,1) ", "live: or something else is");
    for (i = 7; i <= 9; ++i) {
        publish(store, "a", "z", &keep_one);
    }
    forget_old();
    ring();
    has(&a, "gap(6,9) 9=z ", "live: a gap before what follows");
    has(&b, "gap(6,9) 9=z ", "live: once, on whichever channel");
    finish(&a, sub_a);
    finish(&b, sub_b);
    end();
}

/* What its request found missing is told when it is known what follows: more
 * may go before the stream reads. */
static void test_first(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    int i;

    begin("first");
    for (i = 1; i <= 3; ++i) {
        publish_big("a", "x", &keep_one);
    }
    forget_old();
    lost = "its own words";
    sub = ask("a", 1);
    lost = NULL;
    publish_big("a", "y", &keep_one);
    forget_old();
    attach(&stream, sub);
    drain(&stream);
    has(&stream, "gap(its own words,4) 4=y ", "the first gap");
    finish(&stream, sub);

    lost = "none of ours";
    subscribe(&stream, "b", 4);
    lost = NULL;
    has(&stream, "gap(none of ours,0) ", "and where nothing follows");
    finish(&stream, stream.sub);
    end();
}

int main(void)
{
    test_begin();
    test_second_gap();
    test_lingering();
    test_first();
    test_once();
    test_nothing_follows();
    test_live();
    return test_end();
}
