/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The hub and its subscriptions over a real store, with streams that write down
 * what they are given and drain when they are told: what comes in which order,
 * once, and where a gap is told. */

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "hub/sse_hub.h"
#include "loop/sse_wakeup.h"
#include "loop/sse_workers.h"
#include "store.h"

/* One that catches up gets one event of these at a time. */
#define BIG 20000

module sse_module;
static const sse_history_t keep_one = {1, 0, 0};

/* -- What the hub stands on ------------------------------------------------ */

struct sse_stream_t {
    sse_subscription_t *sub; /* NULL: ended */
    int is_poked;
    char text[1024]; /* what it was given */
};

static sse_task_t *tasks;
static sse_wakeup_t *bell;
static sse_id_t origin; /* ids are told from here */

int sse_loop_post(sse_loop_t *loop, sse_task_t *task)
{
    sse_task_t **last = &tasks;

    if (task->queued) {
        return 0;
    }
    while (*last) {
        last = &(*last)->next;
    }
    task->queued = 1;
    task->next = NULL;
    *last = task;
    return 1;
}

/** @return whether it came to an end */
static int run_tasks(void)
{
    sse_task_t *task;
    int n;

    for (n = 0; (task = tasks) != NULL && n < 100; ++n) {
        tasks = task->next;
        task->queued = 0;
        task->run(task);
    }
    return !tasks;
}

uv_loop_t *sse_loop_uv(sse_loop_t *loop) { return NULL; }

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer) { return 0; }

int uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout,
                   uint64_t repeat)
{
    return 0;
}

apr_status_t sse_wakeup_open(sse_wakeup_t *wakeup, sse_loop_t *loop, int fd,
                             sse_wakeup_fn *fn)
{
    wakeup->fn = fn;
    bell = wakeup;
    return APR_SUCCESS;
}

apr_status_t sse_wakeup_listen(sse_wakeup_t *wakeup, int on)
{
    return APR_SUCCESS;
}

apr_status_t sse_workers_push(void (*fn)(void *baton), void *baton)
{
    return APR_SUCCESS;
}

int(ap_get_server_module_loglevel)(const server_rec *s, int index)
{
    return APLOG_ERR;
}

void ap_log_error_(const char *file, int line, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
    printf("# %s\n", fmt);
}

/* -- Streams --------------------------------------------------------------- */

static sse_id_t number(const char *text)
{
    return strtoull(text, NULL, 10) - origin;
}

/* A gap as "gap(after,oldest)", an event as "id=data". */
static void write_down(char *text, apr_size_t size, const char *block)
{
    const char *id = strstr(block, "id: "), *data = strstr(block, "data: ");
    const char *after = strstr(block, "\"after\":\"");
    const char *oldest = strstr(block, "\"oldest\":\"");

    if (after) {
        snprintf(text, size, "gap(%d,%d) ", (int)number(after + 9),
                 oldest ? (int)number(oldest + 10) : 0);
    }
    else {
        snprintf(text, size, "%d=%.*s ", id ? (int)number(id + 4) : 0,
                 data ? (int)strcspn(data + 6, ".\n") : 0,
                 data ? data + 6 : "");
    }
}

apr_status_t sse_stream_push(sse_stream_t *stream, sse_buf_t *buf,
                             sse_push_e how)
{
    apr_size_t len = strlen(stream->text);
    char *block;

    if (!stream->sub) {
        return APR_EOF;
    }
    block = strndup(buf->data, buf->len);
    write_down(stream->text + len, sizeof(stream->text) - len, block);
    free(block);
    return APR_SUCCESS;
}

apr_status_t sse_stream_end(sse_stream_t *stream, sse_close_reason_e reason,
                            apr_status_t status)
{
    apr_size_t len = strlen(stream->text);

    snprintf(stream->text + len, sizeof(stream->text) - len, "end");
    stream->sub = NULL;
    return APR_SUCCESS;
}

void sse_stream_poke(sse_stream_t *stream) { stream->is_poked = 1; }

void *sse_stream_source(const sse_stream_t *stream) { return stream->sub; }

sse_stream_t *sse_stream_acquire(sse_stream_t *stream) { return stream; }

void sse_stream_release(sse_stream_t *stream) {}

/* -- The tests' words ------------------------------------------------------ */

static apr_pool_t *pool;
static sse_store_t *store;
static sse_hub_t *hub;
static const char *dir;

/* A store with nothing in it, and a child of its own. */
static void begin(const char *name)
{
    pool = test_pool();
    store = test_store(name, "64m", pool);
    dir = apr_pstrcat(pool, test_dir, "/", name, NULL);
    origin = last_of(store);
    sse_hub_create(&hub, NULL, P, store, -1, NULL, pool);
}

static void end(void)
{
    tasks = NULL;
    apr_pool_destroy(pool);
}

static void publish_big(const char *channel, const char *name,
                        const sse_history_t *history)
{
    char data[BIG + 1];

    snprintf(data, sizeof(data), "%s%0*d", name, BIG - (int)strlen(name), 0);
    data[strlen(name)] = '.';
    if (!publish(store, channel, data, history)) {
        printf("# not published\n");
    }
}

/* What was published is heard of. */
static void ring(void)
{
    bell->fn(bell);
    run_tasks();
}

/* What has left its history leaves the log too. */
static void forget_old(void)
{
    tidy_all(store, apr_time_now() + 2 * SSE_STORE_LINGER);
}

/* Not yet attached: a request at this moment, by who has seen that event. */
static sse_subscription_t *ask(const char *channels, sse_id_t after)
{
    sse_slice_t keys[4];
    int n = 0;

    for (; *channels; ++channels) {
        keys[n].ptr = channels;
        keys[n++].len = 1;
    }
    return sse_subscription_create(hub, keys, n, origin + after, last_of(store),
                                   NULL, 0);
}

static void attach(sse_stream_t *stream, sse_subscription_t *sub)
{
    memset(stream, 0, sizeof(*stream));
    stream->sub = sub;
    sse_hub_source.on_attached(stream, sub);
}

/* Each letter of channels is one. */
static void subscribe(sse_stream_t *stream, const char *channels,
                      sse_id_t after)
{
    attach(stream, ask(channels, after));
}

static void finish(sse_stream_t *stream, sse_subscription_t *sub)
{
    sse_hub_source.on_ended(stream, sub);
    stream->sub = NULL;
}

/* What it had is written, and nothing more. */
static void drain_once(sse_stream_t *stream)
{
    if (stream->sub) {
        stream->is_poked = 0;
        sse_hub_source.on_drained(stream, stream->sub);
    }
}

/* Until nothing more comes. */
static void drain(sse_stream_t *stream)
{
    apr_size_t before;
    int n = 0;

    do {
        before = strlen(stream->text);
        drain_once(stream);
    } while ((strlen(stream->text) != before || stream->is_poked) &&
             ++n < 100 && run_tasks());
    ok(n < 100, "it comes to an end");
}

/* What it has got since this was asked last. */
static void has(sse_stream_t *stream, const char *want, const char *what)
{
    is_str(stream->text, want, what);
    stream->text[0] = 0;
}

/* -- Gaps ------------------------------------------------------------------ */

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

/* -- An earlier copy of the store is put back ------------------------------ */

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
    apr_sleep(50000); /* it is looked for only now and then */
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
    sse_subscription_change(hub, &stream, text("b"), 1);
    sse_subscription_change(hub, &live, text("b"), 1);
    run_tasks();
    sse_subscription_change(hub, &live, text("c"), 1); /* on its way */
    put_back();
    publish_big("b", "y", &keep_all);
    ring();
    publish(store, "c", "y", &keep_all);
    ring();
    drain(&stream);
    has(&stream, "5=lost gap(5,1) ", "added: a gap");
    has(&live, "gap(8,5) 6=y ", "added: also to one that is live");
    P->forget(store, text("b"), &id);
    P->forget(store, text("c"), &id);
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
    test_second_gap();
    test_lingering();
    test_nothing_follows();
    test_live();
    test_earlier_before();
    test_earlier_beyond();
    test_earlier_unheard();
    test_earlier_behind();
    test_earlier_asked();
    test_earlier_added();
    return test_end();
}
