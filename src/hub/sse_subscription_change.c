/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_subscription_private.h"

#include <stdlib.h>
#include <string.h>

/* Records of the log that are looked through at a time. */
#define MISSED_RECORDS 4096
/* And bytes of the history. */
#define MISSED_BYTES (1024 * 1024)

/** A change on its way to the loop.  malloc'ed. */
typedef struct {
    sse_task_t task;
    sse_stream_t *stream; /* a reference */
    int add;
    sse_id_t since;
    apr_size_t len;
    char key[];
} change_t;

/** What was published to a new channel since the request to add it, and which
 *  its stream has passed already. */
typedef struct {
    sse_reading_t reading;
    const sse_member_t *member;
    sse_id_t upto;
    sse_id_t ended_by; /* the record that deleted the channel; 0: none */
} missed_t;

static apr_status_t on_missed(void *baton, const sse_record_t *record)
{
    missed_t *missed = baton;
    const sse_member_t *member = missed->member;

    if (record->id > missed->upto) {
        return APR_EOF;
    }
    if (record->channel.len != member->len ||
        memcmp(record->channel.ptr, member->key, member->len) != 0) {
        return APR_SUCCESS;
    }
    if (record->kind == SSE_RECORD_FORGET) {
        missed->ended_by = record->id;
        return APR_EOF;
    }
    sse_reading_keep(&missed->reading, record);
    return APR_SUCCESS;
}

/* The log has a hole, maybe with none of this channel: its history knows. */
static apr_status_t read_kept(missed_t *missed)
{
    sse_subscription_t *sub = missed->reading.sub;
    sse_slice_t key = sse_members_key(missed->member);
    sse_id_t next = missed->member->since, from = 0;
    apr_status_t rv = APR_SUCCESS;
    int gap;

    sse_queue_clear(&missed->reading.found);
    while (rv == APR_SUCCESS && next > from && next < missed->upto) {
        from = next;
        rv = sse_store_history(sub->hub->store, &key, 1, from, missed->upto,
                               MISSED_BYTES, on_missed, missed, NULL, &next,
                               &gap);
        if (gap) {
            sse_subscription_owe_gap(sub, from);
        }
    }
    return rv;
}

static apr_status_t read_missed(missed_t *missed)
{
    sse_subscription_t *sub = missed->reading.sub;
    sse_id_t next = missed->member->since, from;
    apr_status_t rv = APR_SUCCESS;
    int gap;

    while (rv == APR_SUCCESS && next < missed->upto) {
        from = next;
        rv = sse_store_follow(sub->hub->store, from, MISSED_RECORDS, on_missed,
                              missed, &next, &gap);
        if (gap && next >= from) {
            return read_kept(missed);
        }
        if (gap) {
            sse_subscription_owe_gap(sub, from);
        }
        if (next <= from) {
            break; /* the store has gone back: there is nothing more */
        }
    }
    return APR_STATUS_IS_EOF(rv) ? APR_SUCCESS : rv;
}

static void push_missed(sse_subscription_t *sub, sse_member_t *member)
{
    missed_t missed = {{sub, {0}, 0, 0}, member, sub->after, 0};
    sse_id_t last;
    apr_status_t rv;

    if (sub->state == SSE_SUB_LIVE) {
        missed.upto = sse_id_later(sub->after, sub->hub->position);
    }
    rv = read_missed(&missed);
    if (rv != APR_SUCCESS) {
        sse_reading_fail(&missed.reading, rv);
        return;
    }
    last = sse_reading_push(&missed.reading);
    if (last && last < missed.upto) {
        sse_subscription_push_id(sub, missed.upto);
    }
    sse_subscription_end_turn(sub);
    if (missed.ended_by) {
        sse_subscription_leave(sub, member, missed.ended_by);
    }
    else if (sub->state != SSE_SUB_LIVE) {
        sse_subscription_find_deletions(
            sub, sse_id_later(member->since, sub->after));
    }
}

static void apply(sse_subscription_t *sub, change_t *change)
{
    sse_slice_t key = {change->key, change->len};
    sse_member_t *member = sse_members_find(&sub->members, key);

    change->since = sse_hub_known(sub->hub, change->since);
    if (change->add && member) {
        member->again = change->since; /* a deletion may be yet to be read */
    }
    else if (change->add) {
        member = sse_members_add(&sub->members, sub, key, change->since, NULL);
        if (sub->stream) { /* else on_attached() will */
            sse_subscription_join(sub, member);
            push_missed(sub, member);
        }
    }
    else if (member) {
        sse_subscription_remove(sub, member);
    }
}

static void on_change(sse_task_t *task)
{
    change_t *change = sse_owner_of(task, change_t, task);
    sse_subscription_t *sub = sse_stream_source(change->stream);

    if (sub && sub->state != SSE_SUB_ENDED) {
        apply(sub, change);
    }
    sse_stream_release(change->stream);
    free(change);
}

apr_status_t sse_subscription_change(sse_stream_t *stream, sse_slice_t key,
                                     int add)
{
    sse_hub_t *hub = sse_hub();
    change_t *change = calloc(1, sizeof(*change) + key.len);
    apr_status_t rv;

    if (!change) {
        abort();
    }
    rv = sse_store_last(hub->store, &change->since);
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
