/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_hub_private.h"

#include <stdlib.h>
#include <string.h>

#include "stream/sse_gap.h"
#include "stream/sse_queue.h"

/* What a subscription that catches up is given at a time. */
#define CATCH_UP_BYTES   (64 * 1024)
#define CATCH_UP_RECORDS 1000
/* When so far behind the hub, go by the channels' history again instead of
 * reading through everybody's log. */
#define LOG_DISTANCE 4096

/** Who listens: a stream and its channels.  malloc'ed; freed when its stream's
 *  source ends. */
struct sse_subscription_t {
    sse_hub_t *hub;       /* const */
    sse_stream_t *stream; /* loop; NULL before it is attached */
    sse_buf_t *first;     /* to be sent before all else, or NULL */
    sse_id_t after;       /* loop: the last id it was given while catching up */
    sse_id_t upto;        /* loop: history up to here, then the log */
    int is_live;          /* loop: fed by the hub's turns */
    int is_gap_told;      /* loop: this catching up has a gap, and said so */
    int n;                /* const */
    sse_slice_t *keys;    /* const; n, their bytes behind the listeners */
    sse_listener_t listeners[];
};

static apr_size_t size_of_keys(const sse_slice_t *keys, int n)
{
    apr_size_t size = 0;
    int i;

    for (i = 0; i < n; ++i) {
        size += sizeof(keys[i]) + keys[i].len;
    }
    return size;
}

static void copy_keys(sse_subscription_t *sub, const sse_slice_t *keys, int n)
{
    char *bytes;
    int i;

    sub->keys = (sse_slice_t *)(void *)&sub->listeners[n];
    bytes = (char *)&sub->keys[n];
    for (i = 0; i < n; ++i) {
        sub->keys[i].ptr = memcpy(bytes, keys[i].ptr, keys[i].len);
        sub->keys[i].len = keys[i].len;
        bytes += keys[i].len;
        sub->listeners[i].subscription = sub;
        sub->listeners[i].node = NULL;
    }
    sub->n = n;
}

sse_subscription_t *sse_subscription_create(sse_hub_t *hub,
                                            const sse_slice_t *keys, int n,
                                            sse_id_t after, sse_id_t upto,
                                            sse_buf_t *first, int is_gap)
{
    sse_subscription_t *sub =
        malloc(sizeof(*sub) + (apr_size_t)n * sizeof(sub->listeners[0])
               + size_of_keys(keys, n));

    if (!sub) {
        abort();
    }
    memset(sub, 0, sizeof(*sub));
    sub->hub = hub;
    sub->first = first;
    sub->after = after;
    sub->upto = upto;
    sub->is_gap_told = is_gap;
    copy_keys(sub, keys, n);
    return sub;
}

/* -- Live ---------------------------------------------------------------------- */

/* At first the hub may be behind what the client has seen. */
int sse_hub_wants(const sse_subscription_t *sub, sse_id_t id)
{
    return sub->is_live && id > sub->after;
}

void sse_hub_push(sse_subscription_t *sub, sse_buf_t *buf)
{
    sse_stream_push(sub->stream, buf, SSE_PUSH_POLICY);
}

static void push_gap(sse_subscription_t *sub, sse_id_t after, sse_id_t oldest)
{
    sse_buf_t *buf = sse_gap_after(after, oldest);

    sse_stream_push(sub->stream, buf, SSE_PUSH_ALWAYS);
    sse_buf_release(buf);
}

void sse_hub_gap(sse_subscription_t *sub, sse_id_t oldest)
{
    /* Once, also to one that listens to several channels. */
    if (sub->is_live && sub->after < sub->hub->position) {
        sub->after = sub->hub->position;
        push_gap(sub, sub->after, oldest);
    }
}

static int is_listening(const sse_subscription_t *sub)
{
    int i;

    for (i = 0; i < sub->n; ++i) {
        if (sub->listeners[i].node) {
            return 1;
        }
    }
    return 0;
}

void sse_hub_forget(sse_listener_t *listener, sse_id_t id)
{
    sse_subscription_t *sub = listener->subscription;

    if (id <= sub->upto) {
        return; /* it came after that */
    }
    sse_channels_remove(sub->hub->channels, listener);
    if (!is_listening(sub)) {
        sse_stream_end(sub->stream, SSE_CLOSE_SERVER, APR_SUCCESS);
    }
}

/* -- Catching up ------------------------------------------------------------------ */

/** What one reading found, held back until it is known whether a gap has to be
 *  told before it. */
typedef struct {
    sse_subscription_t *sub;
    sse_queue_t found;
} reading_t;

static void keep(reading_t *reading, const sse_record_t *record)
{
    sse_queue_add(&reading->found, sse_hub_format(record));
}

static apr_status_t on_history(void *baton, const sse_record_t *record)
{
    keep(baton, record);
    return APR_SUCCESS;
}

static sse_listener_t *listener_of(sse_subscription_t *sub, sse_slice_t key)
{
    int i;

    for (i = 0; i < sub->n; ++i) {
        if (sub->listeners[i].node && sub->keys[i].len == key.len
            && !memcmp(sub->keys[i].ptr, key.ptr, key.len)) {
            return &sub->listeners[i];
        }
    }
    return NULL;
}

static apr_status_t on_log(void *baton, const sse_record_t *record)
{
    reading_t *reading = baton;
    sse_subscription_t *sub = reading->sub;
    sse_listener_t *listener;

    if (record->id > sub->hub->position
        || reading->found.bytes > CATCH_UP_BYTES) {
        return APR_EOF;
    }
    listener = listener_of(sub, record->channel);
    if (listener && record->kind == SSE_RECORD_FORGET) {
        sse_hub_forget(listener, record->id);
    }
    else if (listener) {
        keep(reading, record);
    }
    return APR_SUCCESS;
}

static void push_found(reading_t *reading, int gap, sse_id_t next)
{
    sse_subscription_t *sub = reading->sub;
    sse_buf_t *buf = sse_queue_first(&reading->found);

    if (gap && !sub->is_gap_told) {
        sub->is_gap_told = 1;
        push_gap(sub, sub->after, buf ? buf->id : 0);
    }
    sub->after = next;
    while ((buf = sse_queue_take(&reading->found)) != NULL) {
        sse_stream_push(sub->stream, buf, SSE_PUSH_ALWAYS);
        sse_buf_release(buf);
    }
    sse_queue_clear(&reading->found);
}

static apr_status_t read_piece(reading_t *reading, sse_id_t *next, int *gap)
{
    sse_subscription_t *sub = reading->sub;
    sse_hub_t *hub = sub->hub;
    apr_status_t rv;

    if (sub->after >= sub->upto && hub->position > sub->after + LOG_DISTANCE) {
        sub->upto = hub->position;
    }
    if (sub->after < sub->upto) {
        return hub->provider->history(hub->store, sub->keys, sub->n,
                                      sub->after, sub->upto, CATCH_UP_BYTES,
                                      on_history, reading, next, gap);
    }
    rv = hub->provider->follow(hub->store, sub->after, CATCH_UP_RECORDS,
                               on_log, reading, next, gap);
    return APR_STATUS_IS_EOF(rv) ? APR_SUCCESS : rv;
}

static int is_caught_up(const sse_subscription_t *sub)
{
    return sub->after >= sub->upto && sub->after >= sub->hub->position;
}

static void catch_up(sse_subscription_t *sub)
{
    reading_t reading = {sub, {0}};
    sse_id_t next = sub->after;
    int gap = 0, found;
    apr_status_t rv;

    if (!is_caught_up(sub)) {
        rv = read_piece(&reading, &next, &gap);
        if (rv != APR_SUCCESS) {
            sse_queue_clear(&reading.found);
            sse_hub_complain(sub->hub, rv, "reading the history failed");
            sse_stream_end(sub->stream, SSE_CLOSE_ERROR, rv);
            return;
        }
        found = reading.found.count || gap;
        push_found(&reading, gap, next);
        if (!is_caught_up(sub)) {
            if (!found) {
                sse_stream_poke(sub->stream);
            }
            return; /* on_drained() comes */
        }
    }
    sub->is_live = 1;
    sub->is_gap_told = 0;
}

/* -- The stream's source -------------------------------------------------------- */

static void on_attached(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;
    int i;

    sub->stream = stream;
    for (i = 0; i < sub->n; ++i) {
        sse_channels_add(sub->hub->channels, sub->keys[i], &sub->listeners[i]);
    }
    if (sub->first) {
        sse_stream_push(stream, sub->first, SSE_PUSH_ALWAYS);
    }
    catch_up(sub);
}

static void on_drained(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;

    if (!sub->is_live) {
        catch_up(sub);
    }
}

/* Where the stream was never attached, no listener is on a channel, and this
 * may be the request's thread. */
static void on_ended(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;
    int i;

    for (i = 0; i < sub->n; ++i) {
        if (sub->listeners[i].node) {
            sse_channels_remove(sub->hub->channels, &sub->listeners[i]);
        }
    }
    if (sub->first) {
        sse_buf_release(sub->first);
    }
    free(sub);
}

const sse_source_t sse_hub_source = {on_attached, on_drained, on_ended};
