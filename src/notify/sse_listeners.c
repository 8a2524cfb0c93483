/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_listeners.h"

#include <stdlib.h>

/* const once the children are made */
static const sse_listener_t *all[SSE_LISTENERS_MAX];
static int count, heads;

/* @return 0: it is there already */
static int insert(const sse_listener_t *listener, int at)
{
    int i;

    for (i = 0; i < count; ++i) {
        if (all[i] == listener) {
            return 0;
        }
    }
    if (count == SSE_LISTENERS_MAX) {
        abort();
    }
    for (i = count++; i > at; --i) {
        all[i] = all[i - 1];
    }
    all[at] = listener;
    return 1;
}

void sse_listeners_add(const sse_listener_t *listener)
{
    insert(listener, count);
}

void sse_listeners_add_head(const sse_listener_t *listener)
{
    heads += insert(listener, heads);
}

static int wants(const sse_listener_t *listener, sse_tell_e event)
{
    return listener->mask & event &&
           (!listener->wants || listener->wants(event));
}

int sse_listeners_want(sse_tell_e event)
{
    int i;

    for (i = 0; i < count && !wants(all[i], event); ++i) {
    }
    return i < count;
}

static int wants_end(const sse_listener_t *listener, const sse_ended_t *ended)
{
    return listener->wants_end
               ? listener->wants_end(ended)
               : ended->was_opened && wants(listener, SSE_TELL_CLOSED);
}

int sse_listeners_want_end(const sse_ended_t *ended)
{
    int i;

    for (i = count - 1; i >= 0 && !wants_end(all[i], ended); --i) {
    }
    return i >= 0;
}

void sse_listeners_closed(const sse_ended_t *ended)
{
    int i;

    for (i = count - 1; i >= 0; --i) {
        if (all[i]->wants_end ||
            (ended->was_opened && wants(all[i], SSE_TELL_CLOSED))) {
            all[i]->closed(ended);
        }
    }
}

#define TELL(event, call)                                                      \
    do {                                                                       \
        int i;                                                                 \
                                                                               \
        for (i = 0; i < count; ++i) {                                          \
            if (wants(all[i], event)) {                                        \
                all[i]->call;                                                  \
            }                                                                  \
        }                                                                      \
    } while (0)

void sse_listeners_opened(sse_stream_t *stream, request_rec *r)
{
    TELL(SSE_TELL_OPENED, opened(stream, r));
}

void sse_listeners_crashed(const sse_crash_t *crash)
{
    TELL(SSE_TELL_CRASHED, crashed(crash));
}

void sse_listeners_published(const sse_publisher_t *by,
                             const sse_append_t *items, int n)
{
    TELL(SSE_TELL_PUBLISHED, published(by, items, n));
}

/* One with a route is told of those subscriptions that have one. */
#define TELL_SUBSCRIBER(event, fn)                                             \
    do {                                                                       \
        int i;                                                                 \
                                                                               \
        for (i = 0; i < count; ++i) {                                          \
            if ((!all[i]->route || subscriber->route.len) &&                   \
                wants(all[i], event)) {                                        \
                all[i]->fn(subscriber);                                        \
            }                                                                  \
        }                                                                      \
    } while (0)

void sse_listeners_first(const sse_subscriber_t *subscriber)
{
    TELL_SUBSCRIBER(SSE_TELL_FIRST, first);
}

void sse_listeners_last(const sse_subscriber_t *subscriber)
{
    TELL_SUBSCRIBER(SSE_TELL_LAST, last);
}

const char *sse_listeners_route(request_rec *r)
{
    const char *route = NULL, *text;
    int i;

    for (i = 0; i < count; ++i) {
        if (!wants(all[i], SSE_TELL_FIRST) && !wants(all[i], SSE_TELL_LAST)) {
            continue;
        }
        text = all[i]->route ? all[i]->route(r) : "";
        if (text && (!route || !*route)) {
            route = text;
        }
    }
    return route;
}
