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
    drain(&a);
    drain(&b);
    has(&a, "gap(1,0) ", "live: a gap, and nothing is kept");
    has(&b, "gap(1,1) ", "live: or something else is");
    for (i = 7; i <= 9; ++i) {
        publish(store, "a", "z", &keep_one);
    }
    forget_old();
    ring();
    drain(&a);
    drain(&b);
    has(&a, "gap(6,9) 9=z ", "live: a gap before what follows");
    has(&b, "gap(6,9) 9=z ", "live: once, on whichever channel");
    publish(store, "a", "new", &keep_one);
    ring();
    has(&a, "10=new ", "live: it is live again");
    finish(&a, sub_a);
    finish(&b, sub_b);
    end();
}

/* The log has a hole, of which the channel has lost nothing. */
static void test_hole(void)
{
    sse_stream_t kept, quiet;
    sse_subscription_t *sub_kept, *sub_quiet;
    int i;

    begin("hole");
    publish(store, "a", "before", &keep_all);
    publish(store, "b", "before", &keep_all);
    subscribe(&kept, "a", 2);
    subscribe(&quiet, "b", 2);
    sub_kept = kept.sub;
    sub_quiet = quiet.sub;
    for (i = 3; i <= 5; ++i) {
        publish(store, "a", "x", &keep_all);
        publish(store, "c", "not kept", &keep_none);
    }
    forget_old();
    publish(store, "b", "y", &keep_all);
    ring();
    drain(&kept);
    drain(&quiet);
    has(&kept, "3=x 5=x 7=x ", "hole: what is kept comes, and no gap");
    has(&quiet, "9=y ", "hole: nor one of a channel that lost nothing");
    publish(store, "a", "z", &keep_all);
    ring();
    has(&kept, "10=z ", "hole: both are live again");
    has(&quiet, "", "hole: and get what is theirs");
    finish(&kept, sub_kept);
    finish(&quiet, sub_quiet);
    end();
}

/* @return whether one who comes back with the last id is told of a gap */
static int gap_again(const char *channels)
{
    sse_position_t position;
    sse_slice_t keys[4];
    int n = 0;

    for (; *channels; ++channels) {
        keys[n].ptr = channels;
        keys[n++].len = 1;
    }
    is_num(sse_store_look(store, keys, n, origin + last_id, &position),
           APR_SUCCESS, "looked");
    return position.gap;
}

/* What was told once is not told again, whether or not an event has followed
 * when the client comes back. */
static void test_comes_back(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin("again");
    publish(store, "a", "x", &keep_none);
    publish(store, "a", "y", &keep_none);
    subscribe(&stream, "a", 0);
    sub = stream.sub;
    has(&stream, "gap(0,0) ", "back: a gap, and nothing follows");
    is_num(gap_again("a"), 0, "back: it is told once");
    finish(&stream, sub);

    publish(store, "b", "kept", &keep_all);
    subscribe(&stream, "ab", 0);
    sub = stream.sub;
    has(&stream, "gap(0,3) 3=kept ", "back: a gap, and what is kept");
    is_num(gap_again("ab"), 0, "back: with the event's id");
    finish(&stream, sub);

    lost = "none of ours";
    subscribe(&stream, "b", 3);
    lost = NULL;
    has(&stream, "gap(none of ours,3) ", "back: with an id of none of ours");
    is_num(gap_again("b"), 0, "back: it is told once");
    finish(&stream, stream.sub);
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
    test_hole();
    test_comes_back();
    return test_end();
}
