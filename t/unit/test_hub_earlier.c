/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A store goes back while streams are open: what was published last is gone, as
 * when an earlier copy takes its place. */

#include "hub.h"

static void copy_store(void)
{
    char *cp = apr_psprintf(pool, "cp -a '%s' '%s.copy'", dir, dir);

    is_num(system(cp), 0, "a copy of the store");
}

/* What was published since is lost. */
static void put_back(void)
{
    test_remove(dir);
    rename(apr_pstrcat(pool, dir, ".copy", NULL), dir);
    open_again();
}

/* Four events, a copy, and four that it does not have. */
static void publish_earlier(void)
{
    int i;

    for (i = 1; i <= 4; ++i) {
        publish_big("a", "x", &keep_all);
    }
    copy_store();
    for (i = 5; i <= 8; ++i) {
        publish_big("a", "lost", &keep_all);
    }
}

static void begin_earlier(const char *name)
{
    begin(name);
    publish_earlier();
}

/* It has yet to read what is in the copy, and all that is not. */
static void test_earlier_before(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin_earlier("before");
    subscribe(&stream, "a", 0);
    sub = stream.sub;
    has(&stream, "1=x ", "the first piece");
    put_back();
    publish(store, "a", "y", &keep_all);
    ring();
    drain(&stream);
    has(&stream, "gap(1,2) 2=x 3=x 4=x 5=y ", "earlier: a gap, then the copy");
    publish(store, "a", "z", &keep_all);
    ring();
    has(&stream, "6=z ", "earlier: and what is new");
    finish(&stream, sub);
    end();
}

/* It has read more than is in the copy. */
static void test_earlier_beyond(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;
    int i;

    begin_earlier("beyond");
    subscribe(&stream, "a", 4);
    sub = stream.sub;
    drain_once(&stream);
    has(&stream, "5=lost 6=lost ", "what the copy has not");
    put_back();
    publish(store, "b", "y", &keep_all);
    ring();
    drain(&stream);
    has(&stream, "gap(6,1) ", "beyond: a gap");
    for (i = 6; i <= 8; ++i) {
        publish(store, "a", "z", &keep_all);
    }
    ring();
    has(&stream, "6=z 7=z 8=z ", "beyond: and what is new");
    finish(&stream, sub);
    end();
}

/* It meets the other store before the hub has a turn. */
static void test_earlier_unheard(void)
{
    sse_stream_t stream, second, live;
    sse_subscription_t *sub, *sub_second, *sub_live;

    begin_earlier("unheard");
    subscribe(&live, "a", 8);
    subscribe(&stream, "a", 4);
    subscribe(&second, "a", 2);
    sub = stream.sub;
    sub_second = second.sub;
    sub_live = live.sub;
    publish_big("a", "lost", &keep_all);
    ring();
    has(&live, "9=lost ", "one that is live");
    drain_once(&stream);
    has(&stream, "5=lost 6=lost ", "and one that catches up");
    put_back();
    drain(&second);
    has(&second, "3=x 4=x gap(4,1) ",
        "unheard: a gap, though nothing was published");
    drain(&stream);
    has(&stream, "gap(6,1) ", "unheard: one that is beyond it");
    has(&live, "gap(9,1) ", "unheard: and one that is live");
    publish(store, "a", "z", &keep_all);
    ring();
    has(&stream, "5=z ", "unheard: and what is new");
    has(&second, "5=z ", "unheard: for all");
    has(&live, "5=z ", "unheard: of them");
    finish(&stream, sub);
    finish(&second, sub_second);
    finish(&live, sub_live);
    end();
}

/* The hub has not heard of anything, and so will not see that it went back. */
static void test_earlier_behind(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;

    begin("behind");
    subscribe(&live, "b", 0);
    sub_live = live.sub;
    publish_earlier();
    subscribe(&stream, "a", 4);
    sub = stream.sub;
    has(&stream, "5=lost ", "one that is ahead of the hub");
    put_back();
    drain(&stream);
    has(&stream, "gap(5,1) ", "behind: a gap");
    publish(store, "a", "z", &keep_all);
    publish(store, "b", "z", &keep_all);
    ring();
    has(&stream, "5=z ", "behind: and what is new");
    has(&live, "6=z ", "behind: also for who was never ahead");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* The request came before, the stream after. */
static void test_earlier_asked(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;

    begin_earlier("asked");
    sub = ask("a", 7);
    subscribe(&live, "b", 8);
    sub_live = live.sub;
    put_back();
    ring();
    has(&live, "gap(8,0) ", "one that is live");
    attach(&stream, sub);
    drain(&stream);
    has(&stream, "gap(7,1) ", "asked: a gap");
    publish(store, "a", "z", &keep_all);
    ring();
    has(&stream, "5=z ", "asked: and what is new");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* A channel that was added with an id of the other store. */
static void test_earlier_added(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;
    sse_id_t id;

    begin_earlier("added");
    subscribe(&stream, "a", 4);
    subscribe(&live, "", 8);
    sub = stream.sub;
    sub_live = live.sub;
    sse_subscription_change(&stream, text("b"), 1);
    sse_subscription_change(&live, text("b"), 1);
    run_tasks();
    sse_subscription_change(&live, text("c"), 1); /* on its way */
    put_back();
    publish_big("b", "y", &keep_all);
    ring();
    publish(store, "c", "y", &keep_all);
    ring();
    drain(&stream);
    has(&stream, "5=lost gap(5,1) ", "added: a gap");
    has(&live, "gap(8,5) 6=y ", "added: also to one that is live");
    sse_store_forget(store, text("b"), &id);
    sse_store_forget(store, text("c"), &id);
    ring();
    publish(store, "a", "z", &keep_all);
    publish(store, "b", "z", &keep_all);
    publish(store, "c", "z", &keep_all);
    ring();
    has(&stream, "9=z ", "added: a channel that is ended is left");
    has(&live, "", "added: each");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

int main(void)
{
    test_begin();
    test_earlier_before();
    test_earlier_beyond();
    test_earlier_unheard();
    test_earlier_behind();
    test_earlier_asked();
    test_earlier_added();
    return test_end();
}
