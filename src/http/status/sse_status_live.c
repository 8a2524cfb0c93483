/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status_live.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "http/sse_ask.h"
#include "http/sse_cors.h"
#include "http/sse_refusal.h"
#include "http/sse_reply.h"
#include "http/status/sse_status_numbers.h"
#include "hub/sse_hub.h"
#include "stream/open/sse_open.h"

#define EACH_MSEC 1000

/** A stream's source, malloc'ed. */
typedef struct watcher_t {
    LIST_ENTRY(watcher_t) link; /* loop */
    sse_stream_t *stream;       /* loop; NULL: it is not in the list */
} watcher_t;

static struct {
    sse_loop_t *loop;                /* const after child_init */
    LIST_HEAD(, watcher_t) watchers; /* loop; and so are all below */
    int has_timer;                   /* it was initialized */
    uv_timer_t timer;
    apr_pool_t *pool;  /* of an event that is being made; or NULL */
    sse_buf_t *newest; /* the event that was made last; or NULL */
    apr_uint64_t made; /* when, by the loop's clock */
} self = {.watchers = LIST_HEAD_INITIALIZER(self.watchers)};

void sse_status_live_init(sse_loop_t *loop) { self.loop = loop; }

/* -- The event ------------------------------------------------------------- */

static void forget_newest(void)
{
    if (self.newest) {
        sse_buf_release(self.newest);
        self.newest = NULL;
    }
}

/* It is no event of a channel: clients have been delivered none by it. */
static void make_newest(void)
{
    sse_record_t record = {.fields = SSE_FIELDS_NONE};
    sse_text_t text = {0};
    sse_status_t status;

    if (!self.pool) {
        apr_pool_create(&self.pool, NULL);
        apr_pool_tag(self.pool, "sse_status_live");
    }
    text.pool = self.pool;
    sse_status_read(&status, self.pool);
    sse_status_json(&status, &text);
    record.fields.event = sse_slice("status");
    record.fields.data = (sse_slice_t){text.ptr, text.len};
    forget_newest();
    self.newest = sse_format_sse.event(&record);
    self.newest->events = 0;
    self.made = sse_loop_now(self.loop);
    apr_pool_clear(self.pool);
}

/* A client that does not read is left out: it gets the next one. */
static void send_newest(watcher_t *watcher)
{
    sse_stream_push(watcher->stream, self.newest, SSE_PUSH_BOUNDED);
}

static void on_tick(uv_timer_t *timer)
{
    watcher_t *watcher;

    make_newest();
    LIST_FOREACH(watcher, &self.watchers, link) { send_newest(watcher); }
}

/* -- The source ------------------------------------------------------------ */

static void start_timer(void)
{
    if (!self.has_timer) {
        uv_timer_init(sse_loop_uv(self.loop), &self.timer);
        self.has_timer = 1;
    }
    uv_timer_start(&self.timer, on_tick, EACH_MSEC, EACH_MSEC);
}

static void on_attached(sse_stream_t *stream, void *baton)
{
    watcher_t *watcher = baton;

    if (LIST_EMPTY(&self.watchers)) {
        start_timer();
    }
    watcher->stream = stream;
    LIST_INSERT_HEAD(&self.watchers, watcher, link);
    if (!self.newest || sse_loop_now(self.loop) - self.made >= EACH_MSEC) {
        make_newest();
    }
    send_newest(watcher);
}

static void on_drained(sse_stream_t *stream, void *baton) {}

/* It was sent the numbers of now as it was attached. */
static int is_caught_up(sse_stream_t *stream, void *baton, sse_id_t *upto)
{
    *upto = 0;
    return 1;
}

/* Of a stream that was never attached, on the request's thread. */
static void on_ended(sse_stream_t *stream, void *baton)
{
    watcher_t *watcher = baton;

    if (watcher->stream) {
        LIST_REMOVE(watcher, link);
        if (LIST_EMPTY(&self.watchers)) {
            uv_timer_stop(&self.timer);
            forget_newest();
        }
    }
    free(watcher);
}

static const sse_source_t source = {on_attached, on_drained, is_caught_up,
                                    on_ended};

/* -- The request ----------------------------------------------------------- */

int sse_status_live(request_rec *r)
{
    sse_stream_plan_t plan = {.format = &sse_format_sse,
                              .channels = "-",
                              .source = &source,
                              .can_poll = 1};

    if (sse_ask_refuses_stream(r)) {
        return HTTP_LOOP_DETECTED;
    }
    sse_cors_answer(r);
    if (r->header_only) {
        sse_open_head(r, plan.format);
        return OK;
    }
    if (!sse_hub()) {
        return sse_reply_error(r, HTTP_SERVICE_UNAVAILABLE,
                               "this child of the server cannot have streams; "
                               "the server's error log says why");
    }
    plan.baton = calloc(1, sizeof(watcher_t));
    if (!plan.baton) {
        abort(); /* out of memory */
    }
    sse_open_opts(r, &plan.opts);
    return sse_refusal_answer(r, sse_open_run(r, &plan));
}
