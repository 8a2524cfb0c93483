/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file hub.h
 * What the tests of the hub share: it and its subscriptions over a real store,
 * with a loop that runs when it is told, and streams that write down what they
 * are given, have room for as much as they are told, and drain when they are
 * told.
 *
 * Threads: one.
 */

#ifndef SSE_TEST_HUB_H
#define SSE_TEST_HUB_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "config/sse_config.h"
#include "hub/sse_hub.h"
#include "hub/sse_hub_private.h"
#include "hub/sse_start.h"
#include "hub/sse_subscription.h"
#include "loop/sse_log.h"
#include "loop/sse_broadcast.h"
#include "loop/sse_workers.h"
#include "shared/sse_counters.h"
#include "store.h"
#include "store/sse_store_provider.h"

/* One that catches up gets one event of these at a time. */
#define BIG 20000

module sse_module;
static const sse_history_t keep_one = {1, 0, 0};

/* -- What the hub stands on ------------------------------------------------ */

struct sse_stream_t {
    sse_subscription_t *sub; /* NULL: ended */
    int is_poked;
    int waiting; /* events it was given since it was drained */
    int room;    /* for so many; 0: for all */
    sse_stream_opts_t opts;
    const sse_format_t *format; /* NULL: SSE's; else its bytes are text */
    sse_id_t last_id;           /* the client's */
    char text[1024];            /* what it was given */
};

static STAILQ_HEAD(, sse_task_t) tasks = STAILQ_HEAD_INITIALIZER(tasks);
static sse_broadcast_t *bell;
static sse_id_t origin; /* ids are told from here */

int sse_loop_post(sse_loop_t *loop, sse_task_t *task)
{
    if (task->queued) {
        return 0;
    }
    task->queued = 1;
    STAILQ_INSERT_TAIL(&tasks, task, link);
    return 1;
}

/** @return whether it came to an end */
static inline int run_tasks(void)
{
    sse_task_t *task;
    int n;

    for (n = 0; (task = STAILQ_FIRST(&tasks)) != NULL && n < 100; ++n) {
        STAILQ_REMOVE_HEAD(&tasks, link);
        task->queued = 0;
        task->run(task);
    }
    return STAILQ_EMPTY(&tasks);
}

uv_loop_t *sse_loop_uv(sse_loop_t *loop) { return NULL; }

apr_uint64_t sse_loop_now(sse_loop_t *loop) { return 0; }

uint64_t uv_hrtime(void)
{
    static uint64_t ticks = 1000 * 1000;

    return ++ticks;
}

static apr_int64_t counted[SSE_COUNTERS];

void sse_counters_add(sse_counter_e number, apr_int64_t by)
{
    counted[number] += by;
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer) { return 0; }

int uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout,
                   uint64_t repeat)
{
    return 0;
}

apr_status_t sse_broadcast_open(sse_broadcast_t *wakeup, sse_loop_t *loop,
                                int fd, sse_broadcast_fn *fn)
{
    wakeup->fn = fn;
    bell = wakeup;
    return APR_SUCCESS;
}

apr_status_t sse_broadcast_listen(sse_broadcast_t *wakeup, int on)
{
    return APR_SUCCESS;
}

apr_status_t sse_workers_try(sse_workers_e kind, sse_job_t *job)
{
    return APR_SUCCESS;
}

const char *sse_conf_namespace(const server_rec *s, apr_pool_t *p)
{
    return "";
}

int(ap_get_server_module_loglevel)(const server_rec *s, int index)
{
    return APLOG_ERR;
}

void sse_log_later(const char *file, int line, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
    printf("# %s\n", fmt);
}

void ap_log_error_(const char *file, int line, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
    printf("# %s\n", fmt);
}

/* -- The store, which says when it is called from within itself ------------ */

static int is_reading, was_reentered;
static const sse_store_provider_t *real;

/* What was given to the store to call. */
typedef struct {
    sse_store_fn *fn;
    void *baton;
} call_t;

static apr_status_t on_call(void *baton, const sse_record_t *record)
{
    const call_t *call = baton;
    apr_status_t rv;

    ++is_reading;
    rv = call->fn(call->baton, record);
    --is_reading;
    return rv;
}

static apr_status_t guarded_last(sse_store_t *s, sse_id_t *id)
{
    was_reentered |= is_reading;
    return real->last(s, id);
}

static apr_status_t guarded_look(sse_store_t *s, const sse_slice_t *channels,
                                 int n, sse_id_t after,
                                 sse_position_t *position)
{
    was_reentered |= is_reading;
    return real->look(s, channels, n, after, position);
}

static apr_status_t guarded_history(sse_store_t *s, const sse_slice_t *channels,
                                    int n, sse_id_t after, sse_id_t upto,
                                    apr_size_t max_bytes, sse_store_fn *fn,
                                    void *baton, sse_id_t *known,
                                    sse_id_t *next, int *gap)
{
    call_t call = {fn, baton};

    was_reentered |= is_reading;
    return real->history(s, channels, n, after, upto, max_bytes, on_call, &call,
                         known, next, gap);
}

static apr_status_t guarded_follow(sse_store_t *s, sse_id_t after, int max,
                                   sse_store_fn *fn, void *baton,
                                   sse_id_t *next, int *missing)
{
    call_t call = {fn, baton};

    was_reentered |= is_reading;
    return real->follow(s, after, max, on_call, &call, next, missing);
}

/* A provider that stands in front of the store's. */
static inline void guard(sse_store_t *s)
{
    static sse_store_provider_t guarded;

    real = s->provider;
    guarded = *real;
    guarded.last = guarded_last;
    guarded.look = guarded_look;
    guarded.history = guarded_history;
    guarded.follow = guarded_follow;
    was_reentered = 0;
    s->provider = &guarded;
}

/* -- Streams --------------------------------------------------------------- */

static sse_id_t last_id; /* the last id that a stream was given */

static inline sse_id_t number(const char *text)
{
    return strtoull(text, NULL, 10) - origin;
}

/* A gap as "gap(after,oldest)", an event as "id=data".  A gap's own id is the
 * one in front of what follows it: see come_back(). */
static inline void write_down(char *text, apr_size_t size, const char *block)
{
    const char *id = strstr(block, "id: "), *data = strstr(block, "data: ");
    const char *after = strstr(block, "\"after\":\"");
    const char *oldest = strstr(block, "\"oldest\":\"");

    if (id) {
        last_id = number(id + 4);
    }
    if (after && after[9] > '9') { /* words */
        snprintf(text, size, "gap(%.*s,%d) ", (int)strcspn(after + 9, "\""),
                 after + 9, oldest ? (int)number(oldest + 10) : 0);
    }
    else if (after) {
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
    if (how == SSE_PUSH_BOUNDED && stream->room &&
        stream->waiting >= stream->room) {
        return APR_EAGAIN;
    }
    ++stream->waiting;
    block = strndup(buf->data, buf->len);
    if (stream->format) {
        snprintf(stream->text + len, sizeof(stream->text) - len, "%s", block);
    }
    else {
        write_down(stream->text + len, sizeof(stream->text) - len, block);
    }
    if (strstr(block, "id: ")) {
        stream->last_id = last_id;
    }
    free(block);
    return APR_SUCCESS;
}

apr_status_t sse_stream_end(sse_stream_t *stream, sse_close_reason_e reason,
                            apr_status_t status)
{
    apr_size_t len = strlen(stream->text);

    if (!stream->sub) {
        return APR_EOF;
    }
    snprintf(stream->text + len, sizeof(stream->text) - len, "end");
    stream->sub = NULL;
    return APR_SUCCESS;
}

void sse_stream_dismiss(sse_stream_t *stream, sse_close_reason_e reason,
                        sse_id_t upto)
{
    sse_stream_end(stream, reason, APR_SUCCESS);
}

const sse_stream_opts_t *sse_stream_settings(const sse_stream_t *stream)
{
    return &stream->opts;
}

const sse_format_t *sse_stream_format(const sse_stream_t *stream)
{
    return stream->format ? stream->format : &sse_format_sse;
}

const char *sse_stream_id(const sse_stream_t *stream) { return "stream"; }

sse_close_reason_e sse_stream_reason(const sse_stream_t *stream)
{
    return SSE_CLOSE_NONE;
}

/* -- Presence: nobody is a member ------------------------------------------ */

sse_presence_entry_t *sse_presence_join(sse_presence_who_t *who,
                                        const char *stream, sse_slice_t key)
{
    return NULL;
}

void sse_presence_leave(sse_presence_entry_t *entry, sse_close_reason_e reason)
{
}

void sse_presence_release(sse_presence_who_t *who) {}

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
static inline void begin(const char *name)
{
    pool = test_pool();
    store = test_store(name, "64m", pool);
    dir = apr_pstrcat(pool, test_dir, "/", name, NULL);
    origin = last_of(store);
    guard(store);
    sse_hub_create(&hub, NULL, store, -1, NULL, pool);
    sse_hub_use(hub);
}

/** What is in the directory now is the store from here on. */
static inline void open_again(void)
{
    store = test_store(strrchr(dir, '/') + 1, "64m", pool);
    hub->store = store;
}

static inline void end(void)
{
    ok(!was_reentered, "the store was not called from within itself");
    STAILQ_INIT(&tasks);
    sse_formats_clear(&hub->formats);
    apr_pool_destroy(pool);
}

static inline void publish_big(const char *channel, const char *name,
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
static inline void ring(void)
{
    bell->fn(bell);
    run_tasks();
}

/* What has left its history leaves the log too. */
static inline void forget_old(void)
{
    tidy_all(store, apr_time_now() + 2 * SSE_STORE_LINGER);
}

/* Not yet attached: a request at this moment, by who has seen that event. */
static const char *lost; /* what who asks is told to have lost */

/* Each letter of channels is one. */
static inline int keys_of(const char *channels, sse_slice_t *keys)
{
    int n;

    for (n = 0; channels[n]; ++n) {
        keys[n].ptr = channels + n;
        keys[n].len = 1;
    }
    return n;
}

static inline sse_subscription_t *ask(const char *channels, sse_id_t after)
{
    sse_slice_t keys[4];
    sse_start_t start = {keys,
                         keys_of(channels, keys),
                         origin + after,
                         last_of(store),
                         lost,
                         NULL,
                         NULL,
                         0,
                         0};

    return sse_subscription_create(hub, &start);
}

static inline void attach(sse_stream_t *stream, sse_subscription_t *sub)
{
    memset(stream, 0, sizeof(*stream));
    stream->sub = sub;
    sse_subscription_source.on_attached(stream, sub);
}

static inline void subscribe(sse_stream_t *stream, const char *channels,
                             sse_id_t after)
{
    attach(stream, ask(channels, after));
}

static inline void finish(sse_stream_t *stream, sse_subscription_t *sub)
{
    sse_subscription_source.on_ended(stream, sub);
    stream->sub = NULL;
}

/* Its stream has ended, and its client comes again, with the id that it has.
 * @return the subscription of its new stream */
static inline sse_subscription_t *
come_again(sse_stream_t *stream, sse_subscription_t *sub, const char *channels)
{
    char *id =
        apr_psprintf(pool, "%" APR_UINT64_T_FMT, origin + stream->last_id);
    sse_stream_plan_t plan = {0};
    sse_slice_t keys[4];

    finish(stream, sub);
    if (sse_start_plan(&plan, keys, keys_of(channels, keys), id,
                       SSE_REPLAY_NONE) != APR_SUCCESS) {
        printf("# not subscribed\n");
    }
    attach(stream, plan.baton);
    return plan.baton;
}

/* What it had is written, and nothing more. */
static inline void drain_once(sse_stream_t *stream)
{
    if (stream->sub) {
        stream->is_poked = stream->waiting = 0;
        sse_subscription_source.on_drained(stream, stream->sub);
    }
}

/* Until nothing more comes. */
static inline void drain(sse_stream_t *stream)
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
static inline void has(sse_stream_t *stream, const char *want, const char *what)
{
    is_str(stream->text, want, what);
    stream->text[0] = 0;
}

#endif /* SSE_TEST_HUB_H */
