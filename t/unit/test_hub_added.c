/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Channels that are added to a stream: what is published to them from then on
 * comes once, wherever the stream is. */

#include "hub.h"

static void add_channel(sse_stream_t *stream, const char *channel)
{
    is_num(sse_subscription_change(stream, text(channel), 1), APR_SUCCESS,
           "a channel is added");
}

/* Its events are published after that, and before the loop hears of it. */
static void test_added_late(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    int i;

    begin("late");
    for (i = 1; i <= 3; ++i) {
        publish_big("a", "x", &keep_all);
    }
    publish(store, "b", "before", &keep_all);
    subscribe(&stream, "a", 0);
    sub = stream.sub;
    add_channel(&stream, "b");
    publish(store, "b", "new", &keep_none);
    for (i = 6; i <= 8; ++i) {
        publish_big("a", "y", &keep_all);
    }
    publish(store, "b", "next", &keep_all);
    bell->fn(bell);
    for (i = 0; i < 4; ++i) {
        drain_once(&stream);
    }
    has(&stream, "1=x 2=x 3=x 6=y 7=y ", "its stream is beyond them by then");
    run_tasks();
    has(&stream, "5=new 7= ", "it gets them, and its place again");
    drain(&stream);
    has(&stream, "8=y 9=next ", "and what follows, once");
    publish(store, "b", "live", &keep_all);
    ring();
    has(&stream, "10=live ", "then what is new");
    finish(&stream, sub);
    end();
}

/* They are ahead of it. */
static void test_added_early(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    int i;

    begin("early");
    publish(store, "b", "before", &keep_all);
    for (i = 2; i <= 4; ++i) {
        publish_big("a", "x", &keep_all);
    }
    subscribe(&stream, "a", 0);
    sub = stream.sub;
    add_channel(&stream, "b");
    run_tasks();
    publish(store, "b", "new", &keep_none);
    publish_big("a", "y", &keep_all);
    ring();
    drain(&stream);
    has(&stream, "2=x 3=x 4=x 5=new 6=y ", "early: in their place, once");
    finish(&stream, sub);
    end();
}

static void test_added_live(void)
{
    sse_stream_t stream, free;
    sse_subscription_t *sub, *sub_free;

    begin("added-live");
    publish(store, "b", "before", &keep_all);
    subscribe(&stream, "a", 1);
    subscribe(&free, "", 1);
    sub = stream.sub;
    sub_free = free.sub;
    add_channel(&stream, "b");
    add_channel(&free, "b");
    publish(store, "b", "new", &keep_none);
    publish(store, "b", "newer", &keep_all);
    bell->fn(bell);
    run_tasks();
    has(&stream, "2=new 3=newer ", "live: what it would have missed");
    has(&free, "2=new 3=newer ", "live: the same on its first channel");
    add_channel(&stream, "c");
    publish(store, "c", "new", &keep_none);
    publish(store, "a", "x", &keep_all);
    bell->fn(bell);
    run_tasks();
    has(&stream, "5=x 4=new 5= ", "live: and its place again");
    publish(store, "c", "next", &keep_all);
    ring();
    has(&stream, "6=next ", "live: then what is new");
    finish(&stream, sub);
    finish(&free, sub_free);
    end();
}

/* The hub has yet to read what was published before it was added. */
static void test_added_behind(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin("added-behind");
    subscribe(&stream, "a", 0);
    sub = stream.sub;
    publish(store, "b", "before", &keep_all);
    publish(store, "a", "x", &keep_all);
    add_channel(&stream, "b");
    publish(store, "b", "new", &keep_all);
    run_tasks();
    ring();
    has(&stream, "2=x 3=new ", "behind: nothing from before it was added");
    finish(&stream, sub);
    end();
}

/* Deleted before the loop hears that it was added. */
static void test_added_ended(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    sse_id_t id;

    begin("added-ended");
    subscribe(&stream, "a", 0);
    sub = stream.sub;
    add_channel(&stream, "b");
    publish(store, "b", "last", &keep_all);
    sse_store_forget(store, text("b"), &id);
    bell->fn(bell);
    run_tasks();
    publish(store, "b", "again", &keep_all);
    publish(store, "a", "x", &keep_all);
    ring();
    has(&stream, "1=last 2= 4=x ", "it had its events, and is left");
    finish(&stream, sub);
    end();
}

/* And they are not even in the log any more. */
static void test_added_gap(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;
    int i;

    begin("added-gap");
    for (i = 1; i <= 3; ++i) {
        publish_big("a", "x", &keep_all);
    }
    subscribe(&stream, "a", 0);
    subscribe(&live, "a", 3);
    sub = stream.sub;
    sub_live = live.sub;
    add_channel(&stream, "b");
    add_channel(&live, "b");
    publish(store, "b", "new", &keep_none);
    publish_big("a", "y", &keep_all);
    publish_big("a", "y", &keep_all);
    bell->fn(bell);
    for (i = 0; i < 3; ++i) {
        drain_once(&stream);
    }
    has(&stream, "1=x 2=x 3=x 5=y ", "one that catches up");
    has(&live, "5=y 6=y ", "and one that is live");
    forget_old();
    run_tasks();
    drain(&stream);
    has(&stream, "gap(3,6) 6=y ", "both are told of a gap");
    has(&live, "gap(3,1) ", "each once");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* The log has a hole by then, and the channel has lost nothing. */
static void test_added_hole(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin("hole");
    subscribe(&stream, "a", 0);
    sub = stream.sub;
    add_channel(&stream, "b");
    publish(store, "b", "one", &keep_all);
    publish(store, "c", "other", &keep_none);
    publish(store, "b", "two", &keep_all);
    bell->fn(bell);
    forget_old();
    run_tasks();
    drain(&stream);
    has(&stream, "1=one 3=two ", "hole: all that was published, and no gap");
    publish(store, "b", "live", &keep_all);
    ring();
    has(&stream, "4=live ", "hole: then what is new");
    finish(&stream, sub);
    end();
}

int main(void)
{
    test_begin();
    test_added_late();
    test_added_early();
    test_added_live();
    test_added_behind();
    test_added_ended();
    test_added_gap();
    test_added_hole();
    return test_end();
}
