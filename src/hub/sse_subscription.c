/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_subscription_private.h"

#include <stdlib.h>
#include <string.h>

#include "stream/sse_gap.h"
#include "stream/sse_queue.h"

/* What a subscription that catches up is given at a time: as much as goes to
 * the core filter at once (sse_async_write.c).  More is no faster, and others
 * wait longer: with 64 KB a live event took twice the time beside a resume. */
#define CATCH_UP_BYTES   (16 * 1024)
#define CATCH_UP_RECORDS 1000
/* When so far behind the hub, go by the channels' history again instead of
 * reading through everybody's log. */
#define LOG_DISTANCE 4096
/* More keys than these are not put on the stack. */
#define FEW_KEYS 4

/* Its room, so that the next one behind it is aligned. */
static apr_size_t place_size(sse_slice_t key)
{
    return APR_ALIGN_DEFAULT(sizeof(sse_subscribed_t) + key.len);
}

static sse_subscribed_t *place_init(sse_subscribed_t *place,
                                    sse_subscription_t *sub, sse_slice_t key,
                                    sse_id_t since)
{
    memset(place, 0, sizeof(*place));
    place->listener.subscription = sub;
    place->since = since;
    place->len = key.len;
    memcpy(place->key, key.ptr, key.len);
    place->next = sub->places;
    sub->places = place;
    ++sub->n;
    return place;
}

sse_subscribed_t *sse_subscribed_create(sse_subscription_t *sub,
                                        sse_slice_t key, sse_id_t since)
{
    sse_subscribed_t *place = malloc(place_size(key));

    if (!place) {
        abort();
    }
    return place_init(place, sub, key, since);
}

sse_slice_t sse_subscribed_key(const sse_subscribed_t *place)
{
    sse_slice_t key = {place->key, place->len};

    return key;
}

sse_subscribed_t *sse_subscribed_find(const sse_subscription_t *sub,
                                      sse_slice_t key)
{
    sse_subscribed_t *place;

    for (place = sub->places; place; place = place->next) {
        if (place->len == key.len && !memcmp(place->key, key.ptr, key.len)) {
            break;
        }
    }
    return place;
}

void sse_subscribed_destroy(sse_subscription_t *sub, sse_subscribed_t *place)
{
    sse_subscribed_t **p = &sub->places;

    while (*p != place) {
        p = &(*p)->next;
    }
    *p = place->next;
    --sub->n;
    sse_hub_leave(sub->hub, &place->listener);
    if (!place->is_inner) {
        free(place);
    }
}

sse_subscription_t *sse_subscription_create(sse_hub_t *hub,
                                            const sse_slice_t *keys, int n,
                                            sse_id_t after, sse_id_t upto,
                                            const char *lost)
{
    apr_size_t size = APR_ALIGN_DEFAULT(sizeof(sse_subscription_t));
    sse_subscription_t *sub;
    sse_subscribed_t *place;
    char *room;
    int i;

    for (i = 0; i < n; ++i) {
        size += place_size(keys[i]);
    }
    sub = calloc(1, size);
    if (!sub) {
        abort();
    }
    sub->hub = hub;
    sub->after = after;
    sub->upto = upto;
    if (lost) {
        sub->lost = strdup(lost);
        sub->gap = after ? after : 1;
    }
    sub->is_free = !n;
    room = (char *)sub + APR_ALIGN_DEFAULT(sizeof(*sub));
    for (i = 0; i < n; ++i) {
        place = place_init((sse_subscribed_t *)(void *)room, sub, keys[i], 0);
        place->is_inner = 1;
        room += place_size(keys[i]);
    }
    return sub;
}

/** Channels for the store; the keys' bytes stay in the places. */
typedef struct {
    int n;
    sse_slice_t *keys;
    sse_id_t *lost;
    sse_slice_t few_keys[FEW_KEYS];
    sse_id_t few_lost[FEW_KEYS];
} keys_t;

/* Those that have something for it up to that id. */
static void keys_init(keys_t *keys, const sse_subscription_t *sub,
                      sse_id_t upto)
{
    const sse_subscribed_t *place;

    keys->n = 0;
    keys->keys = keys->few_keys;
    keys->lost = keys->few_lost;
    if (sub->n > FEW_KEYS) {
        keys->keys = calloc((apr_size_t)sub->n, sizeof(*keys->keys));
        keys->lost = calloc((apr_size_t)sub->n, sizeof(*keys->lost));
        if (!keys->keys || !keys->lost) {
            abort();
        }
    }
    for (place = sub->places; place; place = place->next) {
        if (place->since < upto) {
            keys->lost[keys->n] = place->lost;
            keys->keys[keys->n++] = sse_subscribed_key(place);
        }
    }
}

static void keys_done(keys_t *keys)
{
    if (keys->keys != keys->few_keys) {
        free(keys->keys);
        free(keys->lost);
    }
}

/* What was missing is known from now on. */
static void keys_learn(const keys_t *keys, const sse_subscription_t *sub,
                       sse_id_t upto)
{
    sse_subscribed_t *place;
    int n = 0;

    for (place = sub->places; place; place = place->next) {
        if (place->since < upto) {
            place->lost = keys->lost[n++];
        }
    }
}

/* -- Gaps ------------------------------------------------------------------ */

static sse_id_t earlier(sse_id_t a, sse_id_t b) { return a < b ? a : b; }
static sse_id_t later(sse_id_t a, sse_id_t b) { return a > b ? a : b; }

/* A gap is told before the event that follows it, as then it is known from
 * where on nothing is missing; or when it is known that none does as yet. */

void sse_subscription_owe_gap(sse_subscription_t *sub, sse_id_t after)
{
    if (!sub->gap) {
        sub->gap = after;
    }
}

/* An earlier copy of the store was put back, whose newest id is last: what was
 * read beyond that, and what was still to come, are not its events. */
static void go_back(sse_subscription_t *sub, sse_id_t last)
{
    sse_subscribed_t *place;

    sub->after = earlier(sub->after, last);
    sub->upto = earlier(sub->upto, last);
    for (place = sub->places; place; place = place->next) {
        place->since = earlier(place->since, last);
        place->lost = earlier(place->lost, last);
        place->again = earlier(place->again, last);
        if (place->ended > last) {
            place->ended = 0;
        }
    }
}

/* That may have been since its request came, or since it read last. */
static void look_back(sse_subscription_t *sub)
{
    sse_id_t last = sse_hub_known(sub->hub, sub->upto);

    if (last < sub->upto) {
        sse_subscription_owe_gap(sub, sub->after);
        go_back(sub, last);
    }
}

/* @param id up to which all was given, or is missing */
static void push_gap(sse_subscription_t *sub, sse_id_t oldest, sse_id_t id)
{
    sse_buf_t *buf = sub->lost ? sse_gap_create(sub->lost, oldest, id)
                               : sse_gap_after(sub->gap, oldest, id);

    sub->gap = 0;
    free(sub->lost);
    sub->lost = NULL;
    sse_stream_push(sub->stream, buf, SSE_PUSH_ALWAYS);
    sse_buf_release(buf);
}

/* The first id kept of its channels; 0: none. */
static sse_id_t oldest_of(const sse_subscription_t *sub)
{
    sse_hub_t *hub = sub->hub;
    sse_position_t position;
    apr_status_t rv;
    keys_t keys;

    keys_init(&keys, sub, ~(sse_id_t)0);
    rv =
        hub->provider->look(hub->store, keys.keys, keys.n, sub->gap, &position);
    keys_done(&keys);
    if (rv != APR_SUCCESS) {
        sse_hub_complain(hub, rv, "looking for what is kept failed");
        return 0;
    }
    return position.oldest;
}

void sse_subscription_tell_gap(sse_subscription_t *sub)
{
    if (sub->gap) {
        push_gap(sub, oldest_of(sub),
                 sub->is_live ? later(sub->after, sub->hub->position)
                              : sub->after);
    }
}

/* -- Live ------------------------------------------------------------------ */

/* At first the hub may be behind what the client has seen, or behind what is
 * from before the channel was added. */
int sse_hub_wants(const sse_listener_t *listener, sse_id_t id)
{
    const sse_subscription_t *sub = listener->subscription;
    const sse_subscribed_t *place =
        sse_owner_of(listener, const sse_subscribed_t, listener);

    return sub->is_live && id > sub->after && sse_subscribed_takes(place, id);
}

void sse_hub_push(sse_subscription_t *sub, sse_buf_t *buf)
{
    if (sub->gap) {
        push_gap(sub, buf->id, buf->id - 1);
    }
    sse_stream_push(sub->stream, buf, SSE_PUSH_POLICY);
}

/* The log has lost records, and maybe none of its channels: it goes by their
 * histories, which know, and then by the log again.  One that catches up finds
 * what is missing ahead of it by itself. */
static void pass_hole(sse_subscription_t *sub, sse_id_t upto)
{
    sse_id_t had = later(sub->after, sub->hub->position);

    if (sub->is_live && had < upto) {
        sub->is_live = 0;
        sub->after = had;
        sub->upto = upto;
        sse_stream_poke(sub->stream);
    }
}

/* Once, also to one that listens to several channels. */
void sse_hub_gap(sse_subscription_t *sub, sse_id_t upto)
{
    sse_id_t had = sub->hub->position;

    if (upto >= had) {
        pass_hole(sub, upto);
        return;
    }
    sse_subscription_owe_gap(sub, sub->is_live ? later(sub->after, had)
                                               : sub->after);
    if (sub->is_live) {
        sub->after = upto;
    }
    go_back(sub, upto);
}

void sse_hub_tell_gap(sse_subscription_t *sub)
{
    if (sub->is_live) {
        sse_subscription_tell_gap(sub);
    }
}

/* -- Catching up ----------------------------------------------------------- */

void sse_reading_keep(sse_reading_t *reading, const sse_record_t *record)
{
    sse_queue_add(&reading->found, sse_hub_format(record));
}

static apr_status_t on_history(void *baton, const sse_record_t *record)
{
    sse_reading_t *reading = baton;
    const sse_subscribed_t *place =
        sse_subscribed_find(reading->sub, record->channel);

    if (place && sse_subscribed_takes(place, record->id)) {
        sse_reading_keep(reading, record);
    }
    return APR_SUCCESS;
}

static apr_status_t on_log(void *baton, const sse_record_t *record)
{
    sse_reading_t *reading = baton;
    sse_subscription_t *sub = reading->sub;
    sse_subscribed_t *place;

    if (record->id > sub->hub->position || reading->is_at_end ||
        reading->found.bytes > CATCH_UP_BYTES) {
        return APR_EOF;
    }
    place = sse_subscribed_find(sub, record->channel);
    if (place && record->kind == SSE_RECORD_FORGET) {
        sse_subscribed_end(place, record->id);
        reading->is_at_end = 1;
    }
    else if (place && sse_subscribed_takes(place, record->id)) {
        sse_reading_keep(reading, record);
    }
    return APR_SUCCESS;
}

sse_id_t sse_reading_push(sse_reading_t *reading)
{
    sse_subscription_t *sub = reading->sub;
    sse_buf_t *buf = sse_queue_first(&reading->found);
    sse_id_t last = 0;

    if (buf && sub->gap) {
        push_gap(sub, buf->id, buf->id - 1);
    }
    while ((buf = sse_queue_take(&reading->found)) != NULL) {
        last = buf->id;
        sse_stream_push(sub->stream, buf, SSE_PUSH_ALWAYS);
        sse_buf_release(buf);
    }
    sse_queue_clear(&reading->found);
    return last;
}

/* @return whether anything was pushed */
static int push_found(sse_reading_t *reading, int gap, sse_id_t next)
{
    sse_subscription_t *sub = reading->sub;

    if (gap) {
        sse_subscription_owe_gap(sub, sub->after);
    }
    sub->after = next;
    return sse_reading_push(reading) != 0;
}

static apr_status_t read_history(sse_reading_t *reading, sse_id_t *next,
                                 int *gap)
{
    sse_subscription_t *sub = reading->sub;
    apr_status_t rv;
    keys_t keys;

    if (!sub->n) {
        *next = sub->upto;
        return APR_SUCCESS;
    }
    keys_init(&keys, sub, sub->upto);
    rv = sub->hub->provider->history(sub->hub->store, keys.keys, keys.n,
                                     sub->after, sub->upto, CATCH_UP_BYTES,
                                     on_history, reading, keys.lost, next, gap);
    keys_learn(&keys, sub, sub->upto);
    keys_done(&keys);
    return rv;
}

/* Where the log has lost records, its channels may have lost none: their
 * histories know. */
static apr_status_t read_log(sse_reading_t *reading, sse_id_t *next, int *gap)
{
    sse_subscription_t *sub = reading->sub;
    sse_hub_t *hub = sub->hub;
    apr_status_t rv;

    rv = hub->provider->follow(hub->store, sub->after, CATCH_UP_RECORDS, on_log,
                               reading, next, gap);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        return rv;
    }
    if (!*gap || *next < sub->after) {
        return APR_SUCCESS;
    }
    sse_queue_clear(&reading->found);
    reading->is_at_end = *gap = 0;
    sub->upto = hub->position;
    return read_history(reading, next, gap);
}

static apr_status_t read_piece(sse_reading_t *reading, sse_id_t *next, int *gap)
{
    sse_subscription_t *sub = reading->sub;
    sse_hub_t *hub = sub->hub;

    if (sub->after >= sub->upto && hub->position > sub->after + LOG_DISTANCE) {
        sub->upto = hub->position;
    }
    if (sub->after < sub->upto) {
        return read_history(reading, next, gap);
    }
    return read_log(reading, next, gap);
}

static int is_caught_up(const sse_subscription_t *sub)
{
    return sub->after >= sub->upto && sub->after >= sub->hub->position;
}

/* Nothing was found for it: it reads on, but lets others have their turn. */
static void go_on(sse_subscription_t *sub, sse_id_t from)
{
    if (sub->after <= from) {
        /* The store may be another one: it sees that itself, or the hub's
         * turn does. */
        look_back(sub);
        sse_loop_post(sub->hub->loop, &sub->hub->turn_task);
    }
    sse_stream_poke(sub->stream);
}

void sse_reading_fail(sse_reading_t *reading, apr_status_t rv)
{
    sse_subscription_t *sub = reading->sub;

    sse_queue_clear(&reading->found);
    sse_hub_complain(sub->hub, rv, "reading the history failed");
    sse_stream_end(sub->stream, SSE_CLOSE_ERROR, rv);
}

static void catch_up(sse_subscription_t *sub)
{
    sse_reading_t reading = {sub, {0}, 0};
    sse_id_t from = sub->after, next = from;
    int gap = 0, found;
    apr_status_t rv;

    if (!is_caught_up(sub)) {
        rv = read_piece(&reading, &next, &gap);
        if (rv != APR_SUCCESS) {
            sse_reading_fail(&reading, rv);
            return;
        }
        found = push_found(&reading, gap, next);
        if (!sse_subscription_leave_ended(sub)) {
            return;
        }
        if (!is_caught_up(sub)) {
            if (!found) {
                go_on(sub, from);
            }
            return; /* on_drained() comes */
        }
    }
    sse_subscription_tell_gap(sub);
    sub->is_live = 1;
}

/* -- The stream's source --------------------------------------------------- */

static void on_attached(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;
    sse_subscribed_t *place;

    sub->stream = stream;
    for (place = sub->places; place; place = place->next) {
        sse_hub_join(sub->hub, sse_subscribed_key(place), &place->listener);
    }
    look_back(sub);
    sse_subscription_find_ends(sub, later(sub->upto, sub->after));
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

    while (sub->places) {
        sse_subscribed_destroy(sub, sub->places);
    }
    sse_hub_end_not(sub);
    free(sub->lost);
    free(sub);
}

const sse_source_t sse_hub_source = {on_attached, on_drained, on_ended};
