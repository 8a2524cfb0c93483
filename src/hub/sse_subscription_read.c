/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A subscription that is not live reads on from the store: one that joins, or
 * that has fallen behind. */

#include "hub/sse_subscription.h"
#include "hub/sse_subscription_private.h"

#include <stdlib.h>

/* What it is given at a time: as much as goes to the core filter at once
 * (sse_async_write.c).  More is no faster, and others wait longer: with 64 KB a
 * live event took twice the time beside a resume. */
#define PIECE_BYTES   (16 * 1024)
#define PIECE_RECORDS 1000
/* When so far behind the hub, go by the channels' history instead of reading
 * through everybody's log. */
#define LOG_DISTANCE 4096

/* -- A piece --------------------------------------------------------------- */

/* What one reading finds is held back until it is known whether a gap has to be
 * told before it.
 *
 * With "drop", events are left out that have waited for the queue's time since
 * their client was live: the newest are worth more.  Then all are that have
 * waited for half of that, or else a client that is always too slow would be
 * told of a gap for every event. */
static apr_time_t stale_before(const sse_subscription_t *sub, int is_skipping)
{
    const sse_stream_opts_t *opts = sse_stream_settings(sub->stream);

    if (!opts->queue_drop || !opts->queue_time || !sub->has_been_live) {
        return 0;
    }
    return apr_time_now() -
           (is_skipping ? opts->queue_time / 2 : opts->queue_time);
}

static int is_stale(sse_reading_t *reading, const sse_record_t *record)
{
    sse_subscription_t *sub = reading->sub;

    if (record->time >= reading->stale || reading->found.count) {
        sub->is_skipping = 0;
        return 0;
    }
    if (!sub->is_skipping) {
        sub->is_skipping = 1;
        reading->stale = stale_before(sub, 1);
    }
    reading->has_skipped = 1;
    return 1;
}

void sse_reading_keep(sse_reading_t *reading, const sse_record_t *record)
{
    sse_subscription_t *sub = reading->sub;

    sse_queue_add(&reading->found,
                  sse_formats_get(&sub->hub->formats,
                                  sse_stream_format(sub->stream), record));
}

static void find(sse_reading_t *reading, const sse_record_t *record)
{
    if (!is_stale(reading, record)) {
        sse_reading_keep(reading, record);
    }
}

static apr_status_t on_history(void *baton, const sse_record_t *record)
{
    sse_reading_t *reading = baton;
    const sse_member_t *member =
        sse_members_find(&reading->sub->members, record->channel);

    if (member && record->id > member->since) {
        find(reading, record);
    }
    return APR_SUCCESS;
}

static apr_status_t on_log(void *baton, const sse_record_t *record)
{
    sse_reading_t *reading = baton;
    sse_subscription_t *sub = reading->sub;
    const sse_member_t *member;

    if (record->id > sub->hub->position || reading->found.bytes > PIECE_BYTES) {
        return APR_EOF;
    }
    member = sse_members_find(&sub->members, record->channel);
    if (member && record->kind == SSE_RECORD_EVENT &&
        record->id > member->since) {
        find(reading, record);
    }
    return APR_SUCCESS;
}

sse_id_t sse_reading_push(sse_reading_t *reading)
{
    sse_subscription_t *sub = reading->sub;
    sse_buf_t *buf = sse_queue_first(&reading->found);
    sse_id_t last = 0;

    if (buf && sub->gap) {
        sse_subscription_push_gap(sub, buf->id, buf->id - 1);
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
    sse_keys_t keys;

    if (!sub->members.n) {
        *next = sub->upto;
        return APR_SUCCESS;
    }
    sse_members_keys(&sub->members, sub->upto, &keys);
    rv = sse_store_history(sub->hub->store, keys.keys, keys.n, sub->after,
                           sub->upto, PIECE_BYTES, on_history, reading,
                           keys.lost, next, gap);
    sse_members_learn(&sub->members, sub->upto, &keys);
    sse_members_free_keys(&keys);
    return rv;
}

/* Where the log has lost records, its channels may have lost none: their
 * histories know. */
static apr_status_t read_log(sse_reading_t *reading, sse_id_t *next, int *gap)
{
    sse_subscription_t *sub = reading->sub;
    struct sse_hub_t *hub = sub->hub;
    apr_status_t rv;

    rv = sse_store_follow(hub->store, sub->after, PIECE_RECORDS, on_log,
                          reading, next, gap);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        return rv;
    }
    if (!*gap || *next < sub->after) {
        return APR_SUCCESS;
    }
    sse_queue_clear(&reading->found);
    *gap = 0;
    sse_subscription_transit(sub, SSE_SUB_HISTORY);
    sub->upto = hub->position;
    return read_history(reading, next, gap);
}

/* What it has told of as missing is still known then. */
static void forget_losses(sse_subscription_t *sub)
{
    sse_member_t *member;

    SLIST_FOREACH(member, &sub->members.list, next)
    {
        member->lost = sse_id_later(sse_id_earlier(member->lost, sub->after),
                                    member->since);
    }
}

/* Some of it is in its channels' histories no more, and may be in the log
 * still.  Then that was found, and nothing is missing. */
static apr_status_t read_lingering(sse_reading_t *reading, sse_id_t *next,
                                   int *gap)
{
    sse_subscription_t *sub = reading->sub;
    struct sse_hub_t *hub = sub->hub;
    sse_reading_t log = {sub, {0}, stale_before(sub, sub->is_skipping), 0};
    sse_id_t upto;
    int missing;
    apr_status_t rv;

    rv = sse_store_follow(hub->store, sub->after, PIECE_RECORDS, on_log, &log,
                          &upto, &missing);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        return rv;
    }
    if (missing || upto <= sub->after) {
        sse_queue_clear(&log.found);
        return APR_SUCCESS;
    }
    sse_queue_clear(&reading->found);
    *reading = log;
    *next = upto;
    *gap = 0;
    forget_losses(sub);
    sse_subscription_transit(sub, SSE_SUB_LINGERING);
    return APR_SUCCESS;
}

static apr_status_t read_piece(sse_reading_t *reading, sse_id_t *next, int *gap)
{
    sse_subscription_t *sub = reading->sub;
    struct sse_hub_t *hub = sub->hub;
    apr_status_t rv;

    if (sub->state == SSE_SUB_HISTORY && sub->after >= sub->upto) {
        sse_subscription_transit(sub, SSE_SUB_LOG);
    }
    if (sub->state == SSE_SUB_LOG &&
        hub->position > sub->after + LOG_DISTANCE) {
        sse_subscription_transit(sub, SSE_SUB_HISTORY);
        sub->upto = hub->position;
    }
    if (sub->state != SSE_SUB_HISTORY) {
        return read_log(reading, next, gap);
    }
    rv = read_history(reading, next, gap);
    /* What was deleted before its request came may be in the log as well. */
    if (rv == APR_SUCCESS && *gap && sub->after >= sub->began) {
        rv = read_lingering(reading, next, gap);
    }
    return rv;
}

/* -- Catching up ----------------------------------------------------------- */

static int is_caught_up(const sse_subscription_t *sub)
{
    return sub->after >= sub->upto && sub->after >= sub->hub->position;
}

/* Nothing was found for it: it reads on, but lets others have their turn. */
static void go_on(sse_subscription_t *sub, sse_id_t from)
{
    if (sub->after <= from) {
        /* The store may have gone back: the subscription sees that itself, or
         * the hub's turn does. */
        sse_subscription_look_back(sub);
        sse_loop_post(sub->hub->loop, &sub->hub->turn_task);
    }
    sse_stream_poke(sub->stream);
}

void sse_reading_fail(sse_reading_t *reading, apr_status_t rv)
{
    sse_subscription_t *sub = reading->sub;

    sse_queue_clear(&reading->found);
    sse_hub_complain(sub->hub, rv, "reading the history failed");
    sse_subscription_transit(sub, SSE_SUB_ENDED);
    sse_stream_end(sub->stream, SSE_CLOSE_ERROR, rv);
}

static void catch_up(sse_subscription_t *sub)
{
    sse_reading_t reading = {sub, {0}, stale_before(sub, sub->is_skipping), 0};
    sse_id_t from = sub->after, next = from;
    int gap = 0, found;
    apr_status_t rv;

    if (!is_caught_up(sub)) {
        rv = read_piece(&reading, &next, &gap);
        if (rv != APR_SUCCESS) {
            sse_reading_fail(&reading, rv);
            return;
        }
        found = push_found(&reading, gap || reading.has_skipped, next);
        if (!is_caught_up(sub)) {
            if (!found) {
                go_on(sub, from);
            }
            return; /* on_drained() comes */
        }
    }
    sse_subscription_tell_gap(sub);
    sse_subscription_transit(sub, SSE_SUB_LIVE);
    sub->has_been_live = 1;
    sub->is_skipping = 0;
}

/* -- The stream's source --------------------------------------------------- */

static void on_drained(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;

    if (sub->state != SSE_SUB_LIVE && sub->state != SSE_SUB_ENDED) {
        catch_up(sub);
    }
}

static void on_attached(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;
    sse_member_t *member;

    sub->stream = stream;
    SLIST_FOREACH(member, &sub->members.list, next)
    {
        sse_hub_join(sub->hub, sse_members_key(member), &member->link);
    }
    sse_subscription_transit(sub, SSE_SUB_HISTORY);
    sse_subscription_look_back(sub);
    sse_subscription_find_deletions(sub, sse_id_later(sub->upto, sub->after));
    on_drained(stream, sub);
}

/* What is live has had all up to the hub's position, between its turns.  Where
 * there is no channel the ids are an application's. */
static int is_all_given(sse_stream_t *stream, void *baton, sse_id_t *upto)
{
    const sse_subscription_t *sub = baton;

    if (sub->state != SSE_SUB_LIVE) {
        return 0;
    }
    if (!sub->is_free) {
        *upto = sse_id_later(sub->after, sub->hub->position);
    }
    return !sub->gap;
}

/* Where the stream was never attached, no member is linked, and this may be the
 * request's thread. */
static void on_ended(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;

    while (!SLIST_EMPTY(&sub->members.list)) {
        sse_subscription_remove(sub, SLIST_FIRST(&sub->members.list));
    }
    free(sub->lost);
    free(sub);
}

const sse_source_t sse_subscription_source = {on_attached, on_drained,
                                              is_all_given, on_ended};
