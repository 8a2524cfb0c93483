/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_subscription_private.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

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
    place->since = place->lost = since;
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
                                            const sse_start_t *start)
{
    apr_size_t size = APR_ALIGN_DEFAULT(sizeof(sse_subscription_t));
    sse_subscription_t *sub;
    sse_subscribed_t *place;
    char *room;
    int i;

    for (i = 0; i < start->n; ++i) {
        size += place_size(start->keys[i]);
    }
    sub = calloc(1, size);
    if (!sub) {
        abort();
    }
    sub->hub = hub;
    sub->after = start->after;
    sub->upto = sub->began = start->upto;
    if (start->lost) {
        sub->lost = strdup(start->lost);
        sub->gap = start->after ? start->after : 1;
    }
    sub->is_free = !start->n;
    room = (char *)sub + APR_ALIGN_DEFAULT(sizeof(*sub));
    for (i = 0; i < start->n; ++i) {
        place = place_init((sse_subscribed_t *)(void *)room, sub,
                           start->keys[i], 0);
        place->is_inner = 1;
        room += place_size(start->keys[i]);
    }
    return sub;
}

/* -- Its channels, for the store ------------------------------------------- */

void sse_keys_init(sse_keys_t *keys, const sse_subscription_t *sub,
                   sse_id_t upto)
{
    const sse_subscribed_t *place;

    keys->n = 0;
    keys->keys = keys->few_keys;
    keys->lost = keys->few_lost;
    if (sub->n > SSE_FEW_KEYS) {
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

void sse_keys_done(sse_keys_t *keys)
{
    if (keys->keys != keys->few_keys) {
        free(keys->keys);
        free(keys->lost);
    }
}

void sse_keys_learn(const sse_keys_t *keys, const sse_subscription_t *sub,
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

    sub->after = sse_id_earlier(sub->after, last);
    sub->upto = sse_id_earlier(sub->upto, last);
    sub->began = sse_id_earlier(sub->began, last);
    sub->by_log = 0;
    for (place = sub->places; place; place = place->next) {
        place->since = sse_id_earlier(place->since, last);
        place->lost = sse_id_earlier(place->lost, last);
        place->again = sse_id_earlier(place->again, last);
    }
}

void sse_subscription_look_back(sse_subscription_t *sub)
{
    sse_id_t last = sse_hub_known(sub->hub, sub->upto);

    if (last < sub->upto) {
        sse_subscription_owe_gap(sub, sub->after);
        go_back(sub, last);
    }
}

void sse_subscription_push_gap(sse_subscription_t *sub, sse_id_t oldest,
                               sse_id_t id)
{
    char after[24];
    sse_gap_t gap = {sub->lost ? sub->lost : after, oldest, id};
    sse_buf_t *buf;

    apr_snprintf(after, sizeof(after), "%" APR_UINT64_T_FMT, sub->gap);
    buf = sse_stream_format(sub->stream)->gap(&gap);
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
    sse_keys_t keys;

    sse_keys_init(&keys, sub, ~(sse_id_t)0);
    rv = sse_store_look(hub->store, keys.keys, keys.n, sub->gap, &position);
    sse_keys_done(&keys);
    if (rv != APR_SUCCESS) {
        sse_hub_complain(hub, rv, "looking for what is kept failed");
        return 0;
    }
    return position.oldest;
}

void sse_subscription_tell_gap(sse_subscription_t *sub)
{
    if (sub->gap) {
        sse_subscription_push_gap(
            sub, oldest_of(sub),
            sub->is_live ? sse_id_later(sub->after, sub->hub->position)
                         : sub->after);
    }
}

/* -- Live ------------------------------------------------------------------ */

/* At first the hub may be behind what the client has seen, or behind what is
 * from before the channel was added. */
const sse_format_t *sse_hub_wants(const sse_link_t *listener, sse_id_t id)
{
    const sse_subscription_t *sub = listener->subscription;
    const sse_subscribed_t *place =
        sse_owner_of(listener, const sse_subscribed_t, listener);

    return sub->is_live && id > sub->after && sse_subscribed_takes(place, id)
               ? sse_stream_format(sub->stream)
               : NULL;
}

/* What was before that event it has, and all else it reads: its stream's queue
 * is not empty, and so on_drained() comes. */
static void fall_behind(sse_subscription_t *sub, sse_id_t id)
{
    sub->is_live = 0;
    sub->after = id - 1;
}

void sse_hub_push(sse_subscription_t *sub, sse_buf_t *buf, sse_id_t id)
{
    if (sub->gap) {
        sse_subscription_push_gap(sub, id, id - 1);
    }
    if (sse_stream_push(sub->stream, buf, SSE_PUSH_BOUNDED) == APR_EAGAIN) {
        fall_behind(sub, id);
    }
}

/* The log has lost records, and maybe none of its channels: it goes by their
 * histories, which know, and then by the log again.  One that catches up finds
 * what is missing ahead of it by itself. */
static void pass_hole(sse_subscription_t *sub, sse_id_t upto)
{
    sse_id_t had = sse_id_later(sub->after, sub->hub->position);

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
    sse_subscription_owe_gap(sub, sub->is_live ? sse_id_later(sub->after, had)
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

/* Records of the log that are looked through at a time. */
#define PASSED_RECORDS 4096

/* -- A channel's end ------------------------------------------------------- */

int sse_subscribed_takes(const sse_subscribed_t *place, sse_id_t id)
{
    return id > place->since;
}

void sse_subscription_push_id(sse_subscription_t *sub, sse_id_t id)
{
    sse_record_t record = {id, 0, SSE_RECORD_EVENT, {NULL, 0}, SSE_FIELDS_NONE};
    sse_buf_t *buf = sse_stream_format(sub->stream)->event(&record);

    sse_stream_push(sub->stream, buf, SSE_PUSH_ALWAYS);
    sse_buf_release(buf);
}

void sse_subscription_leave(sse_subscription_t *sub, sse_subscribed_t *place,
                            sse_id_t id)
{
    if (place->again >= id) {
        place->since = place->again;
        place->lost = sse_id_later(place->lost, place->again);
        return;
    }
    sse_subscribed_destroy(sub, place);
    if (!sub->places && !sub->is_free) {
        sse_stream_dismiss(sub->stream, SSE_CLOSE_SERVER);
    }
}

/* What it has yet to read of the channel is gone with the history.  Its client
 * comes back, and is told of a gap then, or gets what there is of its other
 * channels; but an application's stream has no history to come back to. */
static void end_behind(sse_subscription_t *sub, sse_subscribed_t *place,
                       sse_id_t id)
{
    if (sub->is_free) {
        sse_subscription_owe_gap(sub, sub->after);
        sse_subscription_leave(sub, place, id);
        return;
    }
    if (!sub->gap) {
        sse_subscription_push_id(sub, sub->after);
    }
    sse_stream_dismiss(sub->stream, SSE_CLOSE_SERVER);
}

void sse_hub_forget(sse_link_t *listener, sse_id_t id)
{
    sse_subscription_t *sub = listener->subscription;
    sse_subscribed_t *place =
        sse_owner_of(listener, sse_subscribed_t, listener);

    if (id <= sub->upto || id <= place->since) {
        return; /* it came after that */
    }
    if (sub->is_live) {
        sse_subscription_leave(sub, place, id);
    }
    else {
        end_behind(sub, place, id);
    }
}

static apr_status_t on_passed(void *baton, const sse_record_t *record)
{
    sse_subscription_t *sub = baton;
    sse_subscribed_t *place;

    if (record->id > sub->hub->position) {
        return APR_EOF;
    }
    if (record->kind == SSE_RECORD_FORGET) {
        place = sse_subscribed_find(sub, record->channel);
        if (place) {
            sse_hub_forget(&place->listener, record->id);
        }
    }
    return APR_SUCCESS;
}

/* If the store cannot be read, what comes next finds that too. */
void sse_subscription_find_ends(sse_subscription_t *sub, sse_id_t after)
{
    sse_hub_t *hub = sub->hub;
    sse_id_t next = after, from = 0;
    apr_status_t rv = APR_SUCCESS;
    int missing;

    while (rv == APR_SUCCESS && next > from && next < hub->position) {
        from = next;
        rv = sse_store_follow(hub->store, from, PASSED_RECORDS, on_passed, sub,
                              &next, &missing);
    }
}
