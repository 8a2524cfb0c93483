/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Channels that are deleted: what was published before that is sent, or a gap
 * is told; what is published after is nobody's who listened before.  A stream
 * that has yet to read something ends, whatever other channels it has, and its
 * client comes again. */

#include "hub.h"

static void delete_it(const char *channel)
{
    sse_id_t id;

    is_num(sse_store_forget(store, text(channel), &id), APR_SUCCESS,
           "it is deleted");
}

/* More of another channel's events than anybody reads through. */
static void publish_many(const char *channel)
{
    static sse_append_t items[4200];
    int i;

    for (i = 0; i < 4200; ++i) {
        items[i] = item(channel, "many", NULL, &keep_none);
    }
    is_num(sse_store_append(store, items, 4200), APR_SUCCESS, "many more");
}

/* One that is live, and one that reads its second piece. */
static void begin_behind(sse_stream_t *live, sse_stream_t *stream,
                         const char *channels, const char *name)
{
    sse_subscription_t *sub;

    begin(name);
    subscribe(live, channels, 0);
    publish_big("a", "x", &keep_all);
    sub = ask(channels, 0);
    publish_big("a", "y", &keep_all);
    publish(store, "a", "last", &keep_all);
    ring();
    attach(stream, sub);
    has(live, "1=x 2=y 3=last ", "one that is live");
    has(stream, "1=x ", "and one that catches up");
}

static void test_ended_log(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;

    begin_behind(&live, &stream, "a", "log");
    sub = stream.sub;
    sub_live = live.sub;
    delete_it("a");
    publish(store, "a", "again", &keep_all);
    ring();
    has(&live, "end", "log: live, it ends");
    has(&stream, "1= end", "log: with something to read, it does as well");
    sub = come_again(&stream, sub, "a");
    drain(&stream);
    has(&stream, "gap(1,5) 5=again ", "log: who comes again is told of a gap");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* It has another one. */
static void test_ended_one(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;

    begin_behind(&live, &stream, "ab", "one");
    sub = stream.sub;
    sub_live = live.sub;
    publish(store, "b", "v", &keep_all);
    delete_it("a");
    publish(store, "a", "again", &keep_all);
    publish(store, "b", "w", &keep_all);
    delete_it("a");
    publish(store, "a", "once more", &keep_all);
    ring();
    drain(&stream);
    has(&live, "4=v 7=w ", "one: live, it gives nothing any more");
    has(&stream, "1= end", "one: one that catches up ends");
    sub = come_again(&stream, sub, "ab");
    drain(&stream);
    has(&stream, "gap(1,4) 4=v 7=w 9=once more ", "one: and comes again");
    publish(store, "a", "z", &keep_all);
    publish(store, "b", "z", &keep_all);
    ring();
    has(&live, "11=z ", "one: its stream goes on");
    has(&stream, "10=z 11=z ", "one: with both channels");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* While what is to be read is in the history, which goes. */
static void test_ended_history(void)
{
    sse_stream_t stream, both;
    sse_subscription_t *sub, *sub_both;
    int i;

    begin("history");
    for (i = 1; i <= 3; ++i) {
        publish_big("a", "x", &keep_all);
    }
    publish(store, "b", "v", &keep_all);
    subscribe(&stream, "a", 0);
    subscribe(&both, "ab", 0);
    sub = stream.sub;
    sub_both = both.sub;
    delete_it("a");
    publish(store, "a", "again", &keep_all);
    ring();
    has(&stream, "1=x 1= end", "history: the end");
    has(&both, "1=x 1= end", "history: also with another channel");
    sub = come_again(&stream, sub, "a");
    drain(&stream);
    has(&stream, "gap(1,6) 6=again ", "history: then a gap");
    sub_both = come_again(&both, sub_both, "ab");
    drain(&both);
    has(&both, "gap(1,4) 4=v 6=again ", "history: and what else there is");
    finish(&stream, sub);
    finish(&both, sub_both);
    end();
}

/* So far behind that the log is not read. */
static void test_ended_far(void)
{
    sse_stream_t stream, both, live;
    sse_subscription_t *sub, *sub_both, *sub_live;

    begin_behind(&live, &stream, "a", "far");
    sub = stream.sub;
    sub_live = live.sub;
    subscribe(&both, "ac", 0);
    sub_both = both.sub;
    has(&both, "1=x ", "far: one that has two");
    delete_it("a");
    publish(store, "c", "v", &keep_all);
    publish(store, "a", "again", &keep_all);
    publish_many("b");
    ring();
    has(&stream, "1= end", "far: it ends");
    has(&both, "1= end", "far: each");
    sub = come_again(&stream, sub, "a");
    sub_both = come_again(&both, sub_both, "ac");
    drain(&stream);
    drain(&both);
    has(&stream, "gap(1,6) 6=again ", "far: then a gap");
    has(&both, "gap(1,5) 5=v 6=again ", "far: and what else there is");
    publish(store, "a", "z", &keep_all);
    publish(store, "c", "w", &keep_all);
    ring();
    has(&both, "4207=z 4208=w ", "far: and what is new");
    finish(&stream, sub);
    finish(&both, sub_both);
    finish(&live, sub_live);
    end();
}

/* It had everything. */
static void test_ended_nothing(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;

    begin("nothing");
    subscribe(&live, "b", 0);
    sub_live = live.sub;
    publish(store, "a", "x", &keep_all);
    sub = ask("a", 0);
    publish_big("b", "x", &keep_none);
    publish_big("b", "y", &keep_none);
    ring();
    attach(&stream, sub);
    delete_it("a");
    publish_many("c");
    ring();
    has(&stream, "1=x 1= end", "nothing: it cannot know");
    sub = come_again(&stream, sub, "a");
    drain(&stream);
    has(&stream, "", "nothing: no gap, where nothing is missing");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* Nothing came between its request and the deletion: as one that is live. */
static void test_ended_new(void)
{
    sse_stream_t stream, other, live;
    sse_subscription_t *sub, *sub_other, *sub_live;

    begin("new");
    subscribe(&live, "b", 0);
    sub_live = live.sub;
    publish(store, "b", "x", &keep_all);
    ring();
    sub = ask("a", 1);
    sub_other = ask("ab", 1);
    delete_it("a");
    ring();
    attach(&stream, sub);
    has(&stream, "end", "new: it ends, and needs no id");
    attach(&other, sub_other);
    publish(store, "b", "y", &keep_all);
    ring();
    has(&other, "3=y ", "new: with another channel it goes on");
    finish(&stream, sub);
    finish(&other, sub_other);
    finish(&live, sub_live);
    end();
}

/* The log does not tell any more. */
static void test_ended_lost(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;

    begin_behind(&live, &stream, "a", "lost");
    sub = stream.sub;
    sub_live = live.sub;
    delete_it("a");
    ring();
    publish(store, "a", "again", &keep_all);
    ring();
    forget_old();
    has(&stream, "1= end", "lost: the end");
    sub = come_again(&stream, sub, "a");
    drain(&stream);
    has(&stream, "gap(1,5) 5=again ", "lost: then a gap");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* Before the loop has the stream, and after its request came. */
static void test_ended_early(void)
{
    sse_stream_t stream, far, live;
    sse_subscription_t *sub, *sub_far, *sub_live;

    begin("early");
    subscribe(&live, "b", 0);
    sub_live = live.sub;
    publish_big("a", "x", &keep_all);
    sub = ask("a", 0);
    sub_far = ask("a", 1);
    publish_big("a", "y", &keep_all);
    publish(store, "a", "last", &keep_all);
    delete_it("a");
    publish(store, "a", "again", &keep_all);
    ring();
    attach(&stream, sub);
    has(&stream, "0= end", "early: it ends when it joins");
    sub = come_again(&stream, sub, "a");
    drain(&stream);
    has(&stream, "gap(0,5) 5=again ", "early: then a gap");
    publish_many("c");
    bell->fn(bell);
    run_tasks();
    attach(&far, sub_far);
    has(&far, "1= end", "early: also far behind");
    sub_far = come_again(&far, sub_far, "a");
    drain(&far);
    has(&far, "gap(1,5) 5=again ", "early: likewise");
    finish(&stream, sub);
    finish(&far, sub_far);
    finish(&live, sub_live);
    end();
}

/* Its request came after that: it is another channel's. */
static void test_ended_before(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;

    begin("before");
    subscribe(&live, "b", 0);
    sub_live = live.sub;
    publish(store, "a", "x", &keep_all);
    delete_it("a");
    publish_big("a", "y", &keep_all);
    publish_big("a", "y", &keep_all);
    subscribe(&stream, "a", 2);
    sub = stream.sub;
    ring();
    drain(&stream);
    publish(store, "a", "z", &keep_all);
    ring();
    has(&stream, "3=y 4=y 5=z ", "before: a new channel's events");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* A turn finds that events are missing, and then the end. */
static void test_ended_gap(void)
{
    sse_stream_t stream;
    sse_subscription_t *sub;

    begin("gap");
    subscribe(&stream, "a", 0);
    sub = stream.sub;
    publish(store, "a", "x", &keep_none);
    forget_old();
    delete_it("a");
    ring();
    has(&stream, "0= end", "gap: it ends");
    sub = come_again(&stream, sub, "a");
    drain(&stream);
    has(&stream, "gap(0,0) ", "gap: then it is told");
    finish(&stream, sub);
    end();
}

static void add_channel(sse_stream_t *stream, const char *channel)
{
    is_num(sse_subscription_change(stream, text(channel), 1), APR_SUCCESS,
           "a channel is added");
}

/* And added again before its end has been read. */
static void test_ended_again(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;

    begin_behind(&live, &stream, "ab", "again");
    sub = stream.sub;
    sub_live = live.sub;
    delete_it("a");
    publish(store, "a", "nobody's", &keep_all);
    add_channel(&live, "a");
    add_channel(&stream, "a");
    run_tasks();
    publish(store, "a", "again", &keep_all);
    ring();
    has(&live, "6=again ", "again: live, what is new");
    has(&stream, "1= end", "again: catching up, it ends");
    sub = come_again(&stream, sub, "ab");
    drain(&stream);
    has(&stream, "gap(1,5) 5=nobody's 6=again ", "again: and comes again");
    delete_it("a");
    publish(store, "a", "z", &keep_all);
    publish(store, "b", "z", &keep_all);
    ring();
    has(&live, "9=z ", "again: ended again, it is left");
    has(&stream, "9=z ", "again: by each");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* Twice, before the end of either has been read. */
static void test_ended_twice(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;

    begin_behind(&live, &stream, "ab", "twice");
    sub = stream.sub;
    sub_live = live.sub;
    delete_it("a");
    ring();
    has(&stream, "1= end", "twice: it ends");
    add_channel(&live, "a");
    run_tasks();
    publish(store, "a", "again", &keep_all);
    delete_it("a");
    publish(store, "a", "z", &keep_all);
    ring();
    drain(&live);
    publish(store, "a", "z", &keep_all);
    ring();
    has(&live, "5=again ", "twice: what was for it, and no more");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* Added and deleted where its stream, far behind, will not read the log. */
static void test_ended_added(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;

    begin_behind(&live, &stream, "a", "ended-added");
    sub = stream.sub;
    sub_live = live.sub;
    add_channel(&stream, "b");
    publish(store, "b", "gone", &keep_all);
    delete_it("b");
    publish(store, "b", "again", &keep_all);
    publish_many("c");
    bell->fn(bell);
    run_tasks();
    bell->fn(bell);
    run_tasks();
    forget_old();
    drain(&stream);
    publish(store, "b", "z", &keep_all);
    publish(store, "a", "z", &keep_all);
    ring();
    has(&stream, "1= end", "added: it ends");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* The same, where it has read on by the histories when it is added. */
static void test_ended_added_late(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;
    int i;

    begin_behind(&live, &stream, "a", "ended-late");
    sub = stream.sub;
    sub_live = live.sub;
    add_channel(&stream, "b");
    publish(store, "b", "gone", &keep_all);
    delete_it("b");
    publish_many("c");
    for (i = 0; i < 5; ++i) {
        bell->fn(bell);
    }
    drain_once(&stream);
    has(&stream, "2=y ", "late: it reads on");
    run_tasks();
    has(&stream, "2= end", "late: it ends");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

/* An earlier copy of the store knows nothing of that. */
static void test_ended_undone(void)
{
    sse_stream_t stream, live;
    sse_subscription_t *sub, *sub_live;
    char *cp;

    begin_behind(&live, &stream, "a", "undone");
    sub = stream.sub;
    sub_live = live.sub;
    cp = apr_psprintf(pool, "cp -a '%s' '%s.copy'", dir, dir);
    is_num(system(cp), 0, "a copy of the store");
    delete_it("a");
    ring();
    has(&live, "end", "undone: live, it has ended");
    test_remove(dir);
    rename(apr_pstrcat(pool, dir, ".copy", NULL), dir);
    open_again();
    ring();
    has(&stream, "1= end", "undone: each has");
    sub = come_again(&stream, sub, "a");
    drain(&stream);
    has(&stream, "2=y 3=last ", "undone: what is there again");
    publish(store, "a", "z", &keep_all);
    ring();
    has(&stream, "4=z ", "undone: with what is new");
    finish(&stream, sub);
    finish(&live, sub_live);
    end();
}

int main(void)
{
    test_begin();
    test_ended_log();
    test_ended_one();
    test_ended_history();
    test_ended_far();
    test_ended_nothing();
    test_ended_new();
    test_ended_lost();
    test_ended_early();
    test_ended_before();
    test_ended_gap();
    test_ended_again();
    test_ended_twice();
    test_ended_added();
    test_ended_added_late();
    test_ended_undone();
    return test_end();
}
