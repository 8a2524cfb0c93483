/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A subscription that is not live reads from the store. */

#include "hub/sse_subscription_private.h"

#include <stdlib.h>

#include "shared/sse_counters.h"

/* A piece: as much as goes to the core filter at once (sse_async_write.c).
 * With 64 KB reading is no faster, and live events of other streams take twice
 * the time. */
#define PIECE_BYTES   (16 * 1024)
#define PIECE_RECORDS 1000
/* When so far behind the hub, read the channels' histories instead of the log,
 * which has everybody's events. */
#define LOG_DISTANCE 4096

/* -- A piece --------------------------------------------------------------- */

/* With "drop", once its client was live, events are left out that have waited
 * for the queue's time; and then all that have waited for half of that, or else
 * a client that is always too slow would get a gap before every event. */
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
    ++reading->skipped;
    return 1;
}

void sse_reading_keep(sse_reading_t *reading, const sse_record_t *record)
{
    sse_subscription_t *sub = reading->sub;

    sse_queue_add(&reading->found,
                  sse_formats_get(&sub->hub->formats,
                                  sse_stream_format(sub->stream), record));
}

static apr_status_t on_history(void *baton, const sse_record_t *record)
{
    sse_reading_t *reading = baton;
    const sse_member_t *member =
        sse_members_find(&reading->sub->members, record->channel);

    if (member && record->kind == SSE_RECORD_EVENT &&
        record->id > member->since && !is_stale(reading, record)) {
        sse_reading_keep(reading, record);
    }
    return APR_SUCCESS;
}

static apr_status_t on_log(void *baton, const sse_record_t *record)
{
    sse_reading_t *reading = baton;

    if (record->id > reading->sub->hub->position ||
        reading->found.bytes > PIECE_BYTES) {
        return APR_EOF;
    }
    return on_history(reading, record);
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

static apr_status_t read_log(sse_reading_t *reading, sse_id_t *next, int *gap)
{
    sse_subscription_t *sub = reading->sub;
    sse_hub_t *hub = sub->hub;
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
    reading->skipped = 0;
    *gap = 0;
    sse_subscription_transit(sub, SSE_SUB_HISTORY);
    sub->upto = hub->position;
    return read_history(reading, next, gap);
}

/* Beyond "after" no gap is told as yet; what is told already stays known. */
static void forget_losses(sse_subscription_t *sub)
{
    sse_member_t *member;

    SLIST_FOREACH(member, &sub->members.list, next)
    {
        member->lost = sse_id_later(sse_id_earlier(member->lost, sub->after),
                                    member->since);
    }
}

/* The histories have lost something: if the log still has all, take that, and
 * tell of no gap. */
static apr_status_t read_lingering(sse_reading_t *reading, sse_id_t *next,
                                   int *gap)
{
    sse_subscription_t *sub = reading->sub;
    sse_reading_t log = {sub, {0}, stale_before(sub, sub->is_skipping), 0};
    sse_id_t upto;
    int missing;
    apr_status_t rv;

    rv = sse_store_follow(sub->hub->store, sub->after, PIECE_RECORDS, on_log,
                          &log, &upto, &missing);
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
    sse_hub_t *hub = sub->hub;
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
    /* Not what was deleted before its request came, though the log has that. */
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

/* Nothing was found: read on, but let others have their turn. */
static void go_on(sse_subscription_t *sub, sse_id_t from)
{
    if (sub->after <= from) {
        /* Has the store gone back?  Look here, and by a turn of the hub. */
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

static void on_drained(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;
    sse_reading_t reading = {sub, {0}, stale_before(sub, sub->is_skipping), 0};
    sse_id_t from = sub->after, next = from;
    int gap = 0, found;
    apr_status_t rv;

    if (sub->state == SSE_SUB_LIVE || sub->state == SSE_SUB_ENDED) {
        return;
    }
    if (!is_caught_up(sub)) {
        sse_hub_know_time(sub->hub);
        rv = read_piece(&reading, &next, &gap);
        if (rv != APR_SUCCESS) {
            sse_reading_fail(&reading, rv);
            return;
        }
        if (gap || reading.skipped) {
            sse_subscription_owe_gap(sub, from);
        }
        if (reading.skipped) {
            sse_counters_add(SSE_COUNTER_DROPPED, reading.skipped);
        }
        sub->after = next;
        found = sse_reading_push(&reading) != 0;
        if (!is_caught_up(sub)) {
            if (!found) {
                go_on(sub, from);
            }
            return; /* on_drained() comes */
        }
    }
    sse_subscription_tell_gap(sub);
    if (sub->state == SSE_SUB_ENDED) {
        return;
    }
    sse_subscription_transit(sub, SSE_SUB_LIVE);
    sub->has_been_live = 1;
    sub->is_skipping = 0;
}

static void on_attached(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;
    sse_member_t *member;

    sub->stream = stream;
    SLIST_FOREACH(member, &sub->members.list, next)
    {
        sse_subscription_join(sub, member);
    }
    if (sub->first) {
        sse_stream_push(stream, sub->first, SSE_PUSH_ALWAYS);
        sse_buf_release(sub->first);
        sub->first = NULL;
    }
    sse_subscription_transit(sub, SSE_SUB_HISTORY);
    sse_subscription_look_back(sub);
    sse_subscription_find_deletions(sub, sse_id_later(sub->upto, sub->after));
    on_drained(stream, sub);
}

/* Without a channel, ids are an application's, and the last one sent counts. */
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

/* May be on the request's thread, if the stream was never attached: then no
 * member is linked. */
static void on_ended(sse_stream_t *stream, void *baton)
{
    sse_subscription_t *sub = baton;

    while (!SLIST_EMPTY(&sub->members.list)) {
        sse_subscription_remove(sub, SLIST_FIRST(&sub->members.list));
    }
    if (sub->first) {
        sse_buf_release(sub->first);
    }
    sse_presence_release(sub->who);
    free(sub->lost);
    free(sub);
}

const sse_source_t sse_subscription_source = {on_attached, on_drained,
                                              is_all_given, on_ended};
