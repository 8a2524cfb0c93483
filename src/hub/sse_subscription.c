/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_subscription_private.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "shared/sse_counters.h"

/* Records of the log that are looked through at a time. */
#define PASSED_RECORDS 4096

/* -- States ---------------------------------------------------------------- */

#define CAN(state) (1u << SSE_SUB_##state)

/* Which states may follow.  LIVE to LOG: its stream's queue is full; to
 * HISTORY: the log has a hole. */
static const unsigned int next_states[] = {
    [SSE_SUB_NEW] = CAN(HISTORY) | CAN(ENDED),
    [SSE_SUB_HISTORY] = CAN(LOG) | CAN(LINGERING) | CAN(LIVE) | CAN(ENDED),
    [SSE_SUB_LOG] = CAN(HISTORY) | CAN(LIVE) | CAN(ENDED),
    [SSE_SUB_LINGERING] = CAN(HISTORY) | CAN(LIVE) | CAN(ENDED),
    [SSE_SUB_LIVE] = CAN(HISTORY) | CAN(LOG) | CAN(ENDED),
    [SSE_SUB_ENDED] = CAN(ENDED),
};

void sse_subscription_transit(sse_subscription_t *sub, sse_sub_state_e state)
{
    if (!(next_states[sub->state] & 1u << state)) {
        abort();
    }
    sub->state = state;
}

static void end(sse_subscription_t *sub)
{
    sse_subscription_transit(sub, SSE_SUB_ENDED);
    sse_stream_dismiss(sub->stream, SSE_CLOSE_SERVER, 0);
}

/* -- Making it ------------------------------------------------------------- */

sse_subscription_t *sse_subscription_create(sse_hub_t *hub,
                                            const sse_start_t *start)
{
    apr_size_t size = APR_ALIGN_DEFAULT(sizeof(sse_subscription_t));
    sse_subscription_t *sub;
    sse_member_t *member;
    char *room;
    int i;

    for (i = 0; i < start->n; ++i) {
        size += sse_members_size(start->keys[i]);
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
    sub->is_whole = start->is_whole;
    sub->first = start->first;
    room = (char *)sub + APR_ALIGN_DEFAULT(sizeof(*sub));
    for (i = 0; i < start->n; ++i) {
        member = sse_members_add(&sub->members, sub, start->keys[i],
                                 start->since ? start->since[i] : 0, room);
        member->lost = sse_id_later(member->lost, start->known);
        room += sse_members_size(start->keys[i]);
    }
    return sub;
}

void sse_subscription_set_who(sse_subscription_t *sub, sse_presence_who_t *who)
{
    sub->who = who;
}

void sse_subscription_join(sse_subscription_t *sub, sse_member_t *member)
{
    sse_slice_t key = sse_members_key(member);

    sse_hub_join(sub->hub, key, &member->link);
    if (sub->who) {
        member->presence =
            sse_presence_join(sub->who, sse_stream_id(sub->stream), key);
    }
}

/* Its stream is open, or was. */
void sse_subscription_remove(sse_subscription_t *sub, sse_member_t *member)
{
    sse_hub_leave(sub->hub, &member->link);
    if (member->presence) {
        sse_presence_leave(member->presence, sse_stream_reason(sub->stream));
    }
    sse_members_remove(&sub->members, member);
}

/* -- Gaps ------------------------------------------------------------------ */

/* A gap is told before the event that follows it, as that is from where on
 * nothing is missing; or once no event follows as yet. */

void sse_subscription_owe_gap(sse_subscription_t *sub, sse_id_t after)
{
    if (!sub->gap) {
        sub->gap = after;
    }
}

/* The store has gone back, and last is its newest id: what was read beyond
 * that, or was still to come, is no longer there. */
static void go_back(sse_subscription_t *sub, sse_id_t last)
{
    sub->after = sse_id_earlier(sub->after, last);
    sub->upto = sse_id_earlier(sub->upto, last);
    sub->began = sse_id_earlier(sub->began, last);
    if (sub->state == SSE_SUB_LINGERING) {
        sse_subscription_transit(sub, SSE_SUB_HISTORY);
    }
    sse_members_go_back(&sub->members, last);
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

    if (sub->is_whole) {
        sub->gap = 0;
        end(sub);
        return;
    }
    apr_snprintf(after, sizeof(after), "%" APR_UINT64_T_FMT, sub->gap);
    buf = sse_stream_format(sub->stream)->gap(&gap);
    sse_counters_add(SSE_COUNTER_GAPS, 1);
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

    sse_members_keys(&sub->members, ~(sse_id_t)0, &keys);
    rv = sse_store_look(hub->store, keys.keys, keys.n, sub->gap, &position);
    sse_members_free_keys(&keys);
    if (rv != APR_SUCCESS) {
        sse_hub_complain(hub, rv, "looking for what is kept failed");
        return 0;
    }
    return position.oldest;
}

/* All up to this id was given. */
static sse_id_t given(const sse_subscription_t *sub)
{
    return sub->state == SSE_SUB_LIVE
               ? sse_id_later(sub->after, sub->hub->position)
               : sub->after;
}

void sse_subscription_tell_gap(sse_subscription_t *sub)
{
    if (sub->gap) {
        sse_subscription_push_gap(sub, oldest_of(sub), given(sub));
    }
}

/* -- Live ------------------------------------------------------------------ */

/* The hub may still be behind "after" and "since". */
const sse_format_t *sse_subscription_wants(const sse_link_t *link, sse_id_t id)
{
    const sse_subscription_t *sub = link->subscription;
    const sse_member_t *member = sse_owner_of(link, const sse_member_t, link);

    return sub->state == SSE_SUB_LIVE && id > sub->after && id > member->since
               ? sse_stream_format(sub->stream)
               : NULL;
}

/* Where the queue refuses an event, it is not empty, so on_drained() comes. */
void sse_subscription_push(sse_subscription_t *sub, sse_buf_t *buf, sse_id_t id)
{
    if (sub->gap) {
        sse_subscription_push_gap(sub, id, id - 1);
    }
    if (sse_stream_push(sub->stream, buf, SSE_PUSH_BOUNDED) == APR_EAGAIN) {
        sse_subscription_transit(sub, SSE_SUB_LOG);
        sub->after = id - 1;
    }
}

/* The log's hole may have none of its channels' events: the histories know.
 * One that is not live will come upon the hole by itself.  Repeating this, as
 * for one that has several channels, has no effect. */
void sse_subscription_skip(sse_subscription_t *sub, sse_id_t upto)
{
    sse_id_t had = given(sub);
    int is_live = sub->state == SSE_SUB_LIVE;

    if (upto < sub->hub->position) {
        sse_subscription_owe_gap(sub, had);
        sub->after = is_live ? upto : sub->after;
        go_back(sub, upto);
    }
    else if (is_live && had < upto) {
        sse_subscription_transit(sub, SSE_SUB_HISTORY);
        sub->after = had;
        sub->upto = upto;
        sse_stream_poke(sub->stream);
    }
}

void sse_subscription_end_turn(sse_subscription_t *sub)
{
    if (sub->state == SSE_SUB_LIVE) {
        sse_subscription_tell_gap(sub);
    }
}

/* -- A deleted channel ----------------------------------------------------- */

void sse_subscription_push_id(sse_subscription_t *sub, sse_id_t id)
{
    sse_record_t record = {id, 0, SSE_RECORD_EVENT, {NULL, 0}, SSE_FIELDS_NONE};
    sse_buf_t *buf = sse_stream_format(sub->stream)->event(&record);

    sse_stream_push(sub->stream, buf, SSE_PUSH_ALWAYS);
    sse_buf_release(buf);
}

void sse_subscription_leave(sse_subscription_t *sub, sse_member_t *member,
                            sse_id_t id)
{
    if (member->again >= id) {
        member->since = member->again;
        member->lost = sse_id_later(member->lost, member->again);
        return;
    }
    sse_subscription_remove(sub, member);
    if (!sub->members.n && !sub->is_free) {
        end(sub);
    }
}

/* What is yet to be read of the channel went with its history.  The client
 * comes again for what there is, after a gap if something is missing.  But that
 * of an application's stream has nothing to come back to. */
static void end_behind(sse_subscription_t *sub, sse_member_t *member,
                       sse_id_t id)
{
    if (sub->is_free) {
        sse_subscription_owe_gap(sub, sub->after);
        sse_subscription_leave(sub, member, id);
        return;
    }
    if (!sub->gap) {
        sse_subscription_push_id(sub, sub->after);
    }
    end(sub);
}

void sse_subscription_forget(sse_link_t *link, sse_id_t id)
{
    sse_subscription_t *sub = link->subscription;
    sse_member_t *member = sse_owner_of(link, sse_member_t, link);

    if (sub->state == SSE_SUB_ENDED || id <= sub->began ||
        id <= member->since) {
        return; /* the channel was joined after the deletion */
    }
    /* Also one that is about to be live has had all that came before. */
    if (sub->state == SSE_SUB_LIVE || id <= sub->after + 1) {
        sse_subscription_leave(sub, member, id);
    }
    else {
        end_behind(sub, member, id);
    }
}

static apr_status_t on_passed(void *baton, const sse_record_t *record)
{
    sse_subscription_t *sub = baton;
    sse_member_t *member;

    if (record->id > sub->hub->position) {
        return APR_EOF;
    }
    if (record->kind == SSE_RECORD_FORGET) {
        member = sse_members_find(&sub->members, record->channel);
        if (member) {
            sse_subscription_forget(&member->link, record->id);
        }
    }
    return APR_SUCCESS;
}

/* If the store cannot be read, what is read next sees to that. */
void sse_subscription_find_deletions(sse_subscription_t *sub, sse_id_t after)
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
