/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_lane.h"

#include <apr_strings.h>
#include <http_log.h>

#include "loop/sse_complain.h"
#include "notify/webhook/sse_hook_outbox.h"
#include "notify/webhook/sse_hook_target.h"
#include "notify/webhook/sse_hook_transfer.h"
#include "shared/sse_counters.h"

APLOG_USE_MODULE(sse);

/* The log says so where there is no answer after that. */
#define SLOW apr_time_from_sec(3)

/* One transfer's place. */
typedef struct slot_t {
    SLIST_ENTRY(slot_t) next; /* of those that are free */
    sse_lane_t *lane;
    sse_transfer_t *transfer; /* NULL: not made yet */
    sse_letter_t *letter;     /* NULL: it is free */
    apr_time_t began;         /* to send it */
} slot_t;

struct sse_lane_t {
    const sse_lane_env_t *env;
    sse_slice_t line;
    sse_hook_target_t target;
    const char *name;    /* for the log */
    const char *missing; /* NULL; or calls are dropped: this directive has the
                            target no longer */
    sse_outbox_t *box;   /* NULL where missing is set */
    slot_t *slots;       /* as many as the target may have connections */
    SLIST_HEAD(, slot_t) free_slots;
    apr_uint64_t waiting;   /* of those that the sender has read */
    int is_behind;          /* reads the spool by itself */
    sse_spool_at_t at;      /* then: read up to here */
    apr_uint64_t refused;   /* not logged yet */
    apr_uint64_t expired;   /* not logged yet */
    sse_answer_t last;      /* the last failure */
    sse_complaint_t fails;  /* calls wait */
    sse_complaint_t lost;   /* calls are refused, dropped */
    sse_complaint_t old;    /* calls are given up */
    apr_time_t slow_at;     /* when to look for slow answers; 0: never */
    sse_complaint_t slow;   /* it does not answer for long */
    sse_complaint_t page;   /* it answers with HTML */
    sse_complaint_t memory; /* there is none */
};

#define NOT_AGAIN ".  Not logged again for a minute"

/* -- The log --------------------------------------------------------------- */

static void log_waiting(sse_lane_t *lane)
{
    if (sse_complain_is_due(&lane->fails)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, lane->env->server,
                     "webhooks to %s fail, %" APR_UINT64_T_FMT
                     " wait: %s; %s.  Each is tried for 15 minutes" NOT_AGAIN,
                     lane->name, lane->waiting, lane->last.why,
                     lane->last.advice);
    }
}

static void log_working(sse_lane_t *lane)
{
    if (sse_outbox_is_well(lane->box) && sse_complain_is_over(&lane->fails)) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, lane->env->server,
                     "webhooks to %s work again, %" APR_UINT64_T_FMT " wait",
                     lane->name, lane->waiting);
    }
}

static void log_refused(sse_lane_t *lane, const sse_answer_t *answer)
{
    if (sse_complain_is_due(&lane->lost)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, lane->env->server,
                     "webhooks to %s were refused, %" APR_UINT64_T_FMT
                     " of them, and are not sent again: %s; %s" NOT_AGAIN,
                     lane->name, lane->refused, answer->why, answer->advice);
        lane->refused = 0;
    }
}

static void log_expired(sse_lane_t *lane)
{
    if (lane->expired && sse_complain_is_due(&lane->old)) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, 0, lane->env->server,
            "webhooks to %s were given up after 15 minutes, %" APR_UINT64_T_FMT
            " of them, and %" APR_UINT64_T_FMT " wait: %s; %s" NOT_AGAIN,
            lane->name, lane->expired, lane->waiting, lane->last.why,
            lane->last.advice);
        lane->expired = 0;
    }
}

static void log_page(sse_lane_t *lane, const sse_answer_t *answer)
{
    if (sse_complain_is_due(&lane->page)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, lane->env->server,
                     "a webhook to %s counts as sent, but the answer is a page "
                     "in HTML, %s; see that the URL in SSEHook is that of a "
                     "program which takes webhooks" NOT_AGAIN,
                     lane->name, answer->why);
    }
}

static void log_slow(sse_lane_t *lane)
{
    if (sse_complain_is_due(&lane->slow)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, lane->env->server,
                     "webhooks to %s are slow, %" APR_UINT64_T_FMT
                     " wait: there is no answer yet after %d s; see what the "
                     "target is doing, and let it answer first and work "
                     "afterwards.  After 30 s it counts as failed" NOT_AGAIN,
                     lane->name, lane->waiting, (int)apr_time_sec(SLOW));
    }
}

static void log_missing(sse_lane_t *lane)
{
    if (sse_complain_is_due(&lane->lost)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, lane->env->server,
                     "webhooks to %s are dropped, %" APR_UINT64_T_FMT
                     " so far: they waited from before a restart, and no %s "
                     "has that target any more" NOT_AGAIN,
                     lane->name, lane->waiting, lane->missing);
    }
}

static void log_memory(sse_lane_t *lane)
{
    if (sse_complain_is_due(&lane->memory)) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, APR_ENOMEM, lane->env->server,
            "webhooks to %s wait: there is no memory to send them" NOT_AGAIN,
            lane->name);
    }
}

void sse_lane_log_unread(const sse_lane_env_t *env, apr_status_t rv)
{
    static sse_complaint_t complaint;

    if (sse_complain_is_due(&complaint)) {
        ap_log_error(
            APLOG_MARK, APLOG_ERR, rv, env->server,
            "cannot read webhooks that wait in the store's directory, and "
            "passes them over; see the disk, and that nobody changes the files "
            "hooks.* there" NOT_AGAIN);
    }
}

/* -- Calls ----------------------------------------------------------------- */

/* Of the outbox. */
static void on_end(void *baton, sse_spool_at_t at, sse_outbox_end_e how)
{
    sse_lane_t *lane = baton;

    sse_spool_done(lane->env->spool, at);
    lane->waiting -= lane->waiting > 0;
    sse_counters_add(how == SSE_OUTBOX_SENT ? SSE_COUNTER_HOOKS_SENT
                                            : SSE_COUNTER_HOOKS_FAILED,
                     1);
    lane->refused += how == SSE_OUTBOX_REFUSED;
    lane->expired += how == SSE_OUTBOX_EXPIRED;
}

static int add(sse_lane_t *lane, sse_spool_at_t at, const sse_call_t *call,
               apr_time_t now)
{
    if (!sse_outbox_add(lane->box, at, call, apr_time_now() - call->time,
                        now)) {
        log_memory(lane);
        return 0;
    }
    return 1;
}

void sse_lane_offer(sse_lane_t *lane, sse_spool_at_t before, sse_spool_at_t at,
                    const sse_call_t *call, apr_time_t now)
{
    ++lane->waiting;
    if (lane->missing) {
        sse_spool_done(lane->env->spool, at);
        sse_counters_add(SSE_COUNTER_HOOKS_DROPPED, 1);
        log_missing(lane);
    }
    else if (!lane->is_behind &&
             (!sse_outbox_has_room(lane->box) || !add(lane, at, call, now))) {
        lane->is_behind = 1;
        lane->at = before;
    }
}

static int is_before(sse_spool_at_t a, sse_spool_at_t b)
{
    return a.segment < b.segment ||
           (a.segment == b.segment && a.offset < b.offset);
}

/* One call. @return 0: nothing more to read now */
static int read_one(sse_lane_t *lane, sse_spool_at_t end, sse_room_t *room,
                    apr_time_t now)
{
    sse_spool_at_t at = lane->at;
    sse_call_t call;
    apr_status_t rv =
        sse_spool_next(lane->env->spool, &lane->line, &at, &call, room);

    if (rv == APR_EOF || is_before(end, at)) {
        lane->is_behind = 0;
        return 0;
    }
    if (rv != APR_SUCCESS) {
        sse_lane_log_unread(lane->env, rv);
    }
    else if (!add(lane, at, &call, now)) {
        return 0;
    }
    lane->at = at;
    return 1;
}

/* -- Sending --------------------------------------------------------------- */

static void look_for_slow(sse_lane_t *lane, apr_time_t now)
{
    apr_time_t at, first = 0;
    int i, is_slow = 0;

    for (i = 0; i < lane->target.connections; ++i) {
        at = lane->slots[i].began + SLOW;
        if (lane->slots[i].letter && at <= now) {
            is_slow = 1;
        }
        else if (lane->slots[i].letter && (!first || at < first)) {
            first = at;
        }
    }
    lane->slow_at = first;
    if (is_slow) {
        log_slow(lane);
    }
}

/* @return 0: there is no memory */
static int start(sse_lane_t *lane, sse_letter_t *letter, apr_time_t now)
{
    slot_t *slot = SLIST_FIRST(&lane->free_slots);

    if (!slot->transfer) {
        slot->transfer = sse_transfer_create(&lane->target);
    }
    if (!slot->transfer ||
        !sse_transfer_start(slot->transfer, lane->env->multi, letter, slot)) {
        return 0;
    }
    SLIST_REMOVE_HEAD(&lane->free_slots, next);
    slot->letter = letter;
    slot->began = now;
    if (!lane->slow_at) {
        lane->slow_at = now + SLOW;
    }
    return 1;
}

static void send_due(sse_lane_t *lane, apr_time_t now)
{
    sse_letter_t *letter;

    while ((letter = sse_outbox_take(lane->box, now))) {
        if (!start(lane, letter, now)) {
            sse_outbox_return(lane->box, letter, now);
            log_memory(lane);
        }
    }
}

void sse_lane_run(sse_lane_t *lane, sse_spool_at_t end, sse_room_t *room,
                  apr_time_t now)
{
    if (lane->missing) {
        return;
    }
    while (lane->is_behind && sse_outbox_has_room(lane->box) &&
           read_one(lane, end, room, now)) {
    }
    send_due(lane, now);
    if (lane->slow_at && lane->slow_at <= now) {
        look_for_slow(lane, now);
    }
    log_expired(lane);
}

void sse_lane_on_done(CURL *easy, CURLcode code, apr_time_t now)
{
    void *private = NULL;
    sse_letter_t *letter;
    sse_answer_t answer;
    sse_lane_t *lane;
    slot_t *slot;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    slot = private;
    lane = slot->lane;
    letter = slot->letter;
    slot->letter = NULL;
    SLIST_INSERT_HEAD(&lane->free_slots, slot, next);
    sse_transfer_finish(slot->transfer, lane->env->multi, code, &answer);
    if (answer.verdict == SSE_HOOK_AGAIN || answer.verdict == SSE_HOOK_DOWN) {
        lane->last = answer;
        log_waiting(lane);
    }
    sse_outbox_finish(lane->box, letter, answer.verdict, answer.after, now);
    if (answer.verdict == SSE_HOOK_FINAL) {
        log_refused(lane, &answer);
    }
    if (answer.is_page) {
        log_page(lane, &answer);
    }
    log_working(lane);
}

apr_time_t sse_lane_due(const sse_lane_t *lane, apr_time_t now)
{
    apr_time_t due = lane->missing ? 0 : sse_outbox_due(lane->box, now);

    return lane->slow_at && (!due || lane->slow_at < due) ? lane->slow_at : due;
}

/* -- The lane -------------------------------------------------------------- */

static int make_slots(sse_lane_t *lane, apr_pool_t *pool)
{
    int i;

    lane->box = sse_outbox_create(lane->target.count, lane->target.wait,
                                  lane->target.connections, on_end, lane);
    lane->slots = apr_pcalloc(pool, sizeof(*lane->slots) *
                                        (size_t)lane->target.connections);
    for (i = lane->target.connections; i-- > 0;) {
        lane->slots[i].lane = lane;
        SLIST_INSERT_HEAD(&lane->free_slots, &lane->slots[i], next);
    }
    return lane->box != NULL;
}

sse_lane_t *sse_lane_create(const sse_lane_env_t *env, sse_slice_t line,
                            apr_pool_t *pool)
{
    sse_lane_t *lane = apr_pcalloc(pool, sizeof(*lane));

    lane->env = env;
    lane->line =
        (sse_slice_t){apr_pstrmemdup(pool, line.ptr, line.len), line.len};
    SLIST_INIT(&lane->free_slots);
    if (!sse_hook_target_parse(&lane->target, line, pool)) {
        lane->name = "a target that this version cannot read";
        lane->missing = "SSEHook";
        return lane;
    }
    lane->name = sse_hook_target_name(&lane->target, pool);
    lane->missing = sse_hook_target_missing(&lane->target);
    return lane->missing || make_slots(lane, pool) ? lane : NULL;
}

void sse_lane_destroy(sse_lane_t *lane)
{
    int i;

    for (i = 0; lane->slots && i < lane->target.connections; ++i) {
        if (lane->slots[i].letter) {
            sse_transfer_cancel(lane->slots[i].transfer, lane->env->multi);
        }
        if (lane->slots[i].transfer) {
            sse_transfer_destroy(lane->slots[i].transfer);
        }
    }
    if (lane->box) {
        sse_outbox_destroy(lane->box);
    }
}
