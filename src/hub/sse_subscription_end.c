/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_subscription_private.h"

/* Records of the log that are looked through at a time. */
#define PASSED_RECORDS 4096

/* A channel that is deleted ends for who listens to it where they have read
 * that far: at once for one that is live.  One that catches up has events to
 * read yet that came before; and where the log tells of the end, it may not
 * read the log, or too late.  So the end is noted by the hub's turn, and for
 * what that has passed already when a channel is joined, by a look back. */

int sse_subscribed_takes(const sse_subscribed_t *place, sse_id_t id)
{
    if (id <= place->since) {
        return 0;
    }
    if (!place->ended || id < place->ended) {
        return 1;
    }
    return place->again >= place->ended && id > place->again;
}

void sse_subscribed_end(sse_subscribed_t *place, sse_id_t id)
{
    if (!place->ended && id > place->since) {
        place->ended = id;
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
            sse_subscribed_end(place, record->id);
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
        rv = hub->provider->follow(hub->store, from, PASSED_RECORDS, on_passed,
                                   sub, &next, &missing);
    }
}

/* @return whether it was added again after that end, and so goes on */
static int go_on(sse_subscribed_t *place, sse_id_t ended)
{
    if (place->again < ended) {
        return 0;
    }
    place->since = place->again;
    place->lost = sse_id_later(place->lost, place->since);
    place->ended = place->again = 0;
    return 1;
}

int sse_subscription_leave(sse_subscription_t *sub, sse_subscribed_t *place)
{
    sse_subscribed_destroy(sub, place);
    if (sub->places || sub->is_free) {
        return 1;
    }
    sse_subscription_tell_gap(sub);
    sse_stream_dismiss(sub->stream, SSE_CLOSE_SERVER);
    return 0;
}

int sse_subscription_leave_ended(sse_subscription_t *sub)
{
    sse_subscribed_t *place, *next;

    for (place = sub->places; place; place = next) {
        next = place->next;
        if (!place->ended || place->ended > sub->after) {
            continue;
        }
        if (go_on(place, place->ended)) {
            /* That may have ended too. */
            sse_subscription_find_ends(sub, place->since);
            next = place;
        }
        else if (!sse_subscription_leave(sub, place)) {
            return 0;
        }
    }
    return 1;
}

void sse_hub_forget(sse_link_t *listener, sse_id_t id)
{
    sse_subscription_t *sub = listener->subscription;
    sse_subscribed_t *place =
        sse_owner_of(listener, sse_subscribed_t, listener);

    if (id <= sub->upto || id <= place->since) {
        return; /* it came after that */
    }
    sse_subscribed_end(place, id);
    if (sub->is_live && !sub->is_ending) {
        sub->is_ending = 1;
        sub->next_ending = sub->hub->ending;
        sub->hub->ending = sub;
    }
}

void sse_hub_end_all(sse_hub_t *hub)
{
    sse_subscription_t *sub;

    while ((sub = hub->ending) != NULL) {
        hub->ending = sub->next_ending;
        sub->is_ending = 0;
        if (sub->is_live) {
            sub->after = sse_id_later(sub->after, hub->position);
        }
        /* Else it has fallen behind since, and may have yet to read up to
         * there. */
        sse_subscription_leave_ended(sub);
    }
}

void sse_hub_end_not(sse_subscription_t *sub)
{
    sse_subscription_t **p = &sub->hub->ending;

    if (!sub->is_ending) {
        return;
    }
    while (*p != sub) {
        p = &(*p)->next_ending;
    }
    *p = sub->next_ending;
    sub->is_ending = 0;
}
