/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_hub_private.h"

#include <stdlib.h>
#include <string.h>

#include "stream/sse_gap.h"
#include "stream/sse_queue.h"

/* What a subscription that catches up is given at a time: as much as goes to
 * the core filter at once (sse_async_conn.c).  More is no faster, and others
 * wait longer: with 64 KB a live event took twice the time beside a resume. */
#define CATCH_UP_BYTES   (16 * 1024)
#define CATCH_UP_RECORDS 1000
/* When so far behind the hub, go by the channels' history again instead of
 * reading through everybody's log. */
#define LOG_DISTANCE 4096
/* More keys than these are not put on the stack. */
#define FEW_KEYS 4

/** A channel that is listened to.  The first ones are part of the
 *  subscription's own memory: a stream's small pieces would keep the C library
 *  from giving memory back.  Those that come later are malloc'ed. */
typedef struct place_t {
    sse_listener_t listener;
    sse_id_t since; /* events up to this one are not for it */
    struct place_t *next;
    int is_inner; /* part of the subscription's memory */
    apr_size_t len;
    char key[];
} place_t;

/** Who listens: a stream and its channels.  malloc'ed; freed when its stream's
 *  source ends. */
struct sse_subscription_t {
    sse_hub_t *hub;       /* const */
    sse_stream_t *stream; /* loop; NULL before it is attached */
    sse_buf_t *first;     /* to be sent before all else, or NULL */
    sse_id_t after;       /* loop: the last id it was given while catching up */
    sse_id_t upto;        /* loop: history up to here, then the log */
    sse_id_t gap;         /* loop: after it a gap is yet to be told; 0: none */
    int is_live;          /* loop: fed by the hub's turns */
    int is_gap_told;      /* loop: what the first reading misses was told */
    int is_free;          /* const: it stays open without a channel */
    int n;                /* loop: places */
    place_t *places;      /* loop, once attached */
};

/* Its room, so that the next one behind it is aligned. */
static apr_size_t place_size(sse_slice_t key)
{
    return APR_ALIGN_DEFAULT(sizeof(place_t) + key.len);
}

static place_t *place_init(place_t *place, sse_subscription_t *sub,
                           sse_slice_t key, sse_id_t since)
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

static place_t *place_create(sse_subscription_t *sub, sse_slice_t key,
                             sse_id_t since)
{
    place_t *place = malloc(place_size(key));

    if (!place) {
        abort();
    }
    return place_init(place, sub, key, since);
}

static sse_slice_t key_of(const place_t *place)
{
    sse_slice_t key = {place->key, place->len};

    return key;
}

static place_t *place_find(const sse_subscription_t *sub, sse_slice_t key)
{
    place_t *place;

    for (place = sub->places; place; place = place->next) {
        if (place->len == key.len && !memcmp(place->key, key.ptr, key.len)) {
            break;
        }
    }
    return place;
}

static void place_destroy(sse_subscription_t *sub, place_t *place)
{
    place_t **p = &sub->places;

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
                                            sse_buf_t *first, int is_gap)
{
    apr_size_t size = APR_ALIGN_DEFAULT(sizeof(sse_subscription_t));
    sse_subscription_t *sub;
    place_t *place;
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
    sub->first = first;
    sub->after = after;
    sub->upto = upto;
    sub->is_gap_told = is_gap;
    sub->is_free = !n;
    room = (char *)sub + APR_ALIGN_DEFAULT(sizeof(*sub));
    for (i = 0; i < n; ++i) {
        place = place_init((place_t *)(void *)room, sub, keys[i], 0);
        place->is_inner = 1;
        room += place_size(keys[i]);
    }
    return sub;
}

/* Keys for the store, whose bytes stay in the places.
 * @param few room for some @return these, or more to be freed */
static sse_slice_t *keys_of(const sse_subscription_t *sub,
                            sse_slice_t few[FEW_KEYS])
{
    sse_slice_t *keys = few;
    const place_t *place;
    int n = 0;

    if (sub->n > FEW_KEYS) {
        keys = calloc((apr_size_t)sub->n, sizeof(*keys));
        if (!keys) {
            abort();
        }
    }
    for (place = sub->places; place; place = place->next) {
        keys[n++] = key_of(place);
    }
    return keys;
}

/* -- Gaps ------------------------------------------------------------------ */

static sse_id_t earlier(sse_id_t a, sse_id_t b) { return a < b ? a : b; }

/* A gap is told before the event that follows it, as then it is known from
 * where on nothing is missing; or when it is known that none does as yet. */

static void owe_gap(sse_subscription_t *sub, sse_id_t after)
{
    if (!sub->gap) {
        sub->gap = after;
    }
}

/* An earlier copy of the store was put back, whose newest id is last: what was
 * read beyond that, and what was still to come, are not its events. */
static void go_back(sse_subscription_t *sub, sse_id_t last)
{
    place_t *place;

    sub->after = earlier(sub->after, last);
    sub->upto = earlier(sub->upto, last);
    for (place = sub->places; place; place = place->next) {
        place->since = earlier(place->since, last);
    }
}

/* An id of before an earlier copy was put back, as that has it. */
static sse_id_t known(sse_hub_t *hub, sse_id_t id)
{
    sse_id_t last;

    if (id > hub->position &&
        hub->provider->last(hub->store, &last) == APR_SUCCESS) {
        return earlier(id, last);
    }
    return id; /* or the hub's next turn finds out */
}

/* What it was to read is of before that. */
static void look_back(sse_subscription_t *sub)
{
    sse_id_t last = known(sub->hub, sub->upto);

    if (last < sub->upto) {
        owe_gap(sub, sub->after);
        go_back(sub, last);
    }
}

static void push_gap(sse_subscription_t *sub, sse_id_t oldest)
{
    sse_buf_t *buf = sse_gap_after(sub->gap, oldest);

    sub->gap = 0;
    sse_stream_push(sub->stream, buf, SSE_PUSH_ALWAYS);
    sse_buf_release(buf);
}

/* The first id kept of its channels; 0: none. */
static sse_id_t oldest_of(const sse_subscription_t *sub)
{
    sse_slice_t few[FEW_KEYS] = {{NULL, 0}}, *keys = keys_of(sub, few);
    sse_hub_t *hub = sub->hub;
    sse_position_t position;
    apr_status_t rv =
        hub->provider->look(hub->store, keys, sub->n, sub->gap, &position);

    if (keys != few) {
        free(keys);
    }
    if (rv != APR_SUCCESS) {
        sse_hub_complain(hub, rv, "looking for what is kept failed");
        return 0;
    }
    return position.oldest;
}

static void tell_gap(sse_subscription_t *sub)
{
    if (sub->gap) {
        push_gap(sub, oldest_of(sub));
    }
}

/* -- Live ------------------------------------------------------------------ */

/* At first the hub may be behind what the client has seen. */
int sse_hub_wants(const sse_subscription_t *sub, sse_id_t id)
{
    return sub->is_live && id > sub->after;
}

void sse_hub_push(sse_subscription_t *sub, sse_buf_t *buf)
{
    if (sub->gap) {
        push_gap(sub, buf->id);
    }
    sse_stream_push(sub->stream, buf, SSE_PUSH_POLICY);
}

/* Once, also to one that listens to several channels.  What is missing ahead
 * of one that catches up it finds by itself. */
void sse_hub_gap(sse_subscription_t *sub, sse_id_t upto)
{
    sse_id_t had = sub->hub->position;

    if (sub->is_live && (sub->after < upto || upto < had)) {
        owe_gap(sub, sub->after > had ? sub->after : had);
        sub->after = upto;
    }
    if (upto < had) {
        owe_gap(sub, sub->after);
        go_back(sub, upto);
    }
}

void sse_hub_tell_gap(sse_subscription_t *sub)
{
    if (sub->is_live) {
        tell_gap(sub);
    }
}

void sse_hub_forget(sse_listener_t *listener, sse_id_t id)
{
    sse_subscription_t *sub = listener->subscription;
    place_t *place = sse_owner_of(listener, place_t, listener);

    if (id <= sub->upto || id <= place->since) {
        return; /* it came after that */
    }
    place_destroy(sub, place);
    if (!sub->places && !sub->is_free) {
        sse_stream_end(sub->stream, SSE_CLOSE_SERVER, APR_SUCCESS);
    }
}

/* -- Catching up ----------------------------------------------------------- */

/** What one reading found, held back until it is known whether a gap has to be
 *  told before it. */
typedef struct {
    sse_subscription_t *sub;
    sse_queue_t found;
    sse_task_t *change; /* only the change's channel, or NULL */
} reading_t;

static void keep(reading_t *reading, const sse_record_t *record)
{
    sse_queue_add(&reading->found, sse_hub_format(record));
}

static apr_status_t on_history(void *baton, const sse_record_t *record)
{
    reading_t *reading = baton;
    const place_t *place = place_find(reading->sub, record->channel);

    if (place && record->id > place->since) {
        keep(reading, record);
    }
    return APR_SUCCESS;
}

static apr_status_t on_log(void *baton, const sse_record_t *record)
{
    reading_t *reading = baton;
    sse_subscription_t *sub = reading->sub;
    place_t *place;

    if (record->id > sub->hub->position ||
        reading->found.bytes > CATCH_UP_BYTES) {
        return APR_EOF;
    }
    place = place_find(sub, record->channel);
    if (place && record->kind == SSE_RECORD_FORGET) {
        sse_hub_forget(&place->listener, record->id);
    }
    else if (place && record->id > place->since) {
        keep(reading, record);
    }
    return APR_SUCCESS;
}

/* @return whether anything was pushed */
static int push_found(reading_t *reading, int gap, sse_id_t next)
{
    sse_subscription_t *sub = reading->sub;
    sse_buf_t *buf = sse_queue_first(&reading->found);
    int pushed = buf != NULL;

    if (gap && !sub->is_gap_told) {
        owe_gap(sub, sub->after);
    }
    /* The next one is another gap. */
    sub->is_gap_told = 0;
    if (buf && sub->gap) {
        push_gap(sub, buf->id);
    }
    sub->after = next;
    while ((buf = sse_queue_take(&reading->found)) != NULL) {
        sse_stream_push(sub->stream, buf, SSE_PUSH_ALWAYS);
        sse_buf_release(buf);
    }
    sse_queue_clear(&reading->found);
    return pushed;
}

static apr_status_t read_history(reading_t *reading, sse_id_t *next, int *gap)
{
    sse_subscription_t *sub = reading->sub;
    sse_slice_t few[FEW_KEYS] = {{NULL, 0}}, *keys;
    apr_status_t rv;

    if (!sub->n) {
        *next = sub->upto;
        return APR_SUCCESS;
    }
    keys = keys_of(sub, few);
    rv = sub->hub->provider->history(sub->hub->store, keys, sub->n, sub->after,
                                     sub->upto, CATCH_UP_BYTES, on_history,
                                     reading, next, gap);
    if (keys != few) {
        free(keys);
    }
    return rv;
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
        return read_history(reading, next, gap);
    }
    rv = hub->provider->follow(hub->store, sub->after, CATCH_UP_RECORDS, on_log,
                               reading, next, gap);
    return APR_STATUS_IS_EOF(rv) ? APR_SUCCESS : rv;
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

static void catch_up(sse_subscription_t *sub)
{
    reading_t reading = {sub, {0}, NULL};
    sse_id_t from = sub->after, next = from;
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
        found = push_found(&reading, gap, next);
        if (!is_caught_up(sub)) {
            if (!found) {
                go_on(sub, from);
            }
            return; /* on_drained() comes */
        }
    }
    tell_gap(sub);
    sub->is_live = 1;
}

/* -- The stream's source --------------------------------------------------- */

static void on_attached(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;
    place_t *place;

    sub->stream = stream;
    for (place = sub->places; place; place = place->next) {
        sse_hub_join(sub->hub, key_of(place), &place->listener);
    }
    if (sub->first) {
        sse_stream_push(stream, sub->first, SSE_PUSH_ALWAYS);
    }
    look_back(sub);
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
        place_destroy(sub, sub->places);
    }
    if (sub->first) {
        sse_buf_release(sub->first);
    }
    free(sub);
}

/* -- Changing a live stream's channels ------------------------------------- */

/** A change on its way to the loop.  malloc'ed. */
typedef struct {
    sse_task_t task;
    sse_stream_t *stream; /* a reference */
    int add;
    sse_id_t since;
    apr_size_t len;
    char key[];
} change_t;

/* What was published before the hub's last turn, but after the change was
 * asked for. */
static apr_status_t on_missed(void *baton, const sse_record_t *record)
{
    reading_t *reading = baton;
    change_t *change = sse_owner_of(reading->change, change_t, task);

    if (record->id > reading->sub->hub->position) {
        return APR_EOF;
    }
    if (record->kind == SSE_RECORD_EVENT &&
        record->channel.len == change->len &&
        !memcmp(record->channel.ptr, change->key, change->len)) {
        keep(reading, record);
    }
    return APR_SUCCESS;
}

static void push_missed(sse_subscription_t *sub, change_t *change)
{
    reading_t reading = {sub, {0}, &change->task};
    sse_id_t next = change->since, from;
    int missing;

    /* Where an earlier store was put back, there is nothing up to there. */
    do {
        from = next;
    } while (sub->is_live && next < sub->hub->position &&
             sub->hub->provider->follow(sub->hub->store, from, LOG_DISTANCE,
                                        on_missed, &reading, &next,
                                        &missing) == APR_SUCCESS &&
             next > from);
    push_found(&reading, 0, sub->after);
}

static void apply(sse_subscription_t *sub, change_t *change)
{
    sse_slice_t key = {change->key, change->len};
    place_t *place = place_find(sub, key);

    if (change->add && !place) {
        change->since = known(sub->hub, change->since);
        place = place_create(sub, key, change->since);
        if (sub->stream) { /* else on_attached() will */
            sse_hub_join(sub->hub, key_of(place), &place->listener);
            push_missed(sub, change);
        }
    }
    else if (!change->add && place) {
        place_destroy(sub, place);
    }
}

static void on_change(sse_task_t *task)
{
    change_t *change = sse_owner_of(task, change_t, task);
    sse_subscription_t *sub = sse_stream_source(change->stream);

    if (sub) {
        apply(sub, change);
    }
    sse_stream_release(change->stream);
    free(change);
}

apr_status_t sse_subscription_change(sse_hub_t *hub, sse_stream_t *stream,
                                     sse_slice_t key, int add)
{
    change_t *change = calloc(1, sizeof(*change) + key.len);
    apr_status_t rv;

    if (!change) {
        abort();
    }
    rv = hub->provider->last(hub->store, &change->since);
    if (rv != APR_SUCCESS) {
        free(change);
        return rv;
    }
    change->task.run = on_change;
    change->stream = sse_stream_acquire(stream);
    change->add = add;
    change->len = key.len;
    memcpy(change->key, key.ptr, key.len);
    sse_loop_post(hub->loop, &change->task);
    return APR_SUCCESS;
}

const sse_source_t sse_hub_source = {on_attached, on_drained, on_ended};
