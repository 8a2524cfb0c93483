/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_outbox.h"

#include <stdlib.h>
#include <unistd.h>

/* In memory: at least so many calls, until they have so many bytes. */
#define WINDOW_CALLS 256
#define WINDOW_BYTES ((apr_size_t)4 * 1024 * 1024)
/* A batch takes no more calls than make so many bytes. */
#define BATCH_BYTES ((apr_size_t)1024 * 1024)
/* So many failures, and nothing else, make the target wait. */
#define FAILURES_IN_ROW 8
/* What is too old when it comes is tried for so long nevertheless. */
#define LEAST_LIFE SSE_HOOK_RETRY_MAX

#define NEVER APR_INT64_MAX

struct sse_outbox_t {
    int count, most;              /* const */
    apr_interval_time_t wait;     /* const */
    sse_outbox_fn *fn;            /* const */
    void *baton;                  /* const */
    struct sse_items_t fresh;     /* in no letter yet */
    struct sse_items_t opens;     /* OPENs in letters */
    struct sse_letters_t waiting; /* by number */
    struct sse_letters_t sending;
    int sending_count;
    int calls;        /* of all items */
    apr_size_t bytes; /* of their bodies */
    apr_uint64_t last_number;
    int failures;             /* in a row */
    int is_failing;           /* the target waits as a whole */
    apr_time_t failing_since; /* the first of these failures */
    apr_time_t retry_at;      /* the next attempt, while it is failing */
    apr_uint32_t seed;
};

/* -- Calls ----------------------------------------------------------------- */

/* An item that is in no list. */
static void end_item(sse_outbox_t *box, sse_item_t *item, sse_outbox_end_e how)
{
    --box->calls;
    box->bytes -= item->body.len;
    box->fn(box->baton, item->at, how);
    free(item);
}

static int is_blocked(const sse_outbox_t *box, const sse_item_t *item)
{
    const sse_item_t *open;

    if (item->type == SSE_CALL_CLOSE) {
        TAILQ_FOREACH(open, &box->opens, next_open)
        {
            if (sse_item_is_pair(open, item)) {
                return 1;
            }
        }
    }
    return 0;
}

int sse_outbox_has_room(const sse_outbox_t *box)
{
    int most = 2 * box->count > WINDOW_CALLS ? 2 * box->count : WINDOW_CALLS;

    return box->calls < most && box->bytes < WINDOW_BYTES;
}

/* It has failed for as long as any call is tried. */
static int is_hopeless(const sse_outbox_t *box, apr_time_t now)
{
    return box->is_failing && now - box->failing_since >= SSE_HOOK_RETRY_LIFE;
}

int sse_outbox_add(sse_outbox_t *box, sse_spool_at_t at, const sse_call_t *call,
                   apr_interval_time_t age, apr_time_t now)
{
    sse_item_t *item = sse_item_create(call);

    if (!item) {
        return 0;
    }
    item->at = at;
    item->came = now;
    item->until = now + SSE_HOOK_RETRY_LIFE - (age > 0 ? age : 0);
    ++box->calls;
    box->bytes += item->body.len;
    if (is_hopeless(box, now) && item->until <= now && !is_blocked(box, item)) {
        end_item(box, item, SSE_OUTBOX_EXPIRED);
    }
    else {
        TAILQ_INSERT_TAIL(&box->fresh, item, next);
    }
    return 1;
}

/* -- Letters --------------------------------------------------------------- */

/* Those that may be sent, in their order. */
static void fill(sse_outbox_t *box, sse_letter_t *letter)
{
    apr_size_t bytes = 0;
    sse_item_t *item, *next;

    for (item = TAILQ_FIRST(&box->fresh); item && letter->count < box->count;
         item = next) {
        next = TAILQ_NEXT(item, next);
        if (is_blocked(box, item)) {
            continue;
        }
        if (letter->count && bytes + item->body.len > BATCH_BYTES) {
            break;
        }
        bytes += item->body.len;
        TAILQ_REMOVE(&box->fresh, item, next);
        sse_letter_add(letter, item);
    }
}

/* Nothing of it was sent: the calls go back to where they were, but for those
 * that were passed over. */
static void unmake(sse_outbox_t *box, sse_letter_t *letter)
{
    sse_item_t *item;

    while ((item = TAILQ_LAST(&letter->items, sse_items_t))) {
        TAILQ_REMOVE(&letter->items, item, next);
        TAILQ_INSERT_HEAD(&box->fresh, item, next);
    }
    sse_letter_destroy(letter);
}

static sse_letter_t *make_letter(sse_outbox_t *box)
{
    sse_letter_t *letter = sse_letter_create();
    sse_item_t *item;

    if (!letter) {
        return NULL;
    }
    fill(box, letter);
    if (!letter->count || !sse_letter_write(letter, box->count > 1)) {
        unmake(box, letter);
        return NULL;
    }
    TAILQ_FOREACH(item, &letter->items, next)
    {
        if (item->type == SSE_CALL_OPEN) {
            TAILQ_INSERT_TAIL(&box->opens, item, next_open);
        }
    }
    letter->number = ++box->last_number;
    return letter;
}

static void end_letter(sse_outbox_t *box, sse_letter_t *letter,
                       sse_outbox_end_e how)
{
    sse_item_t *item;

    while ((item = TAILQ_FIRST(&letter->items))) {
        TAILQ_REMOVE(&letter->items, item, next);
        if (item->type == SSE_CALL_OPEN) {
            TAILQ_REMOVE(&box->opens, item, next_open);
        }
        end_item(box, item, how);
    }
    sse_letter_destroy(letter);
}

static void let_wait(sse_outbox_t *box, sse_letter_t *letter, apr_time_t due)
{
    sse_letter_t *before;

    letter->due = due;
    TAILQ_FOREACH_REVERSE(before, &box->waiting, sse_letters_t, next)
    {
        if (before->number < letter->number) {
            TAILQ_INSERT_AFTER(&box->waiting, before, letter, next);
            return;
        }
    }
    TAILQ_INSERT_HEAD(&box->waiting, letter, next);
}

/* -- Taking ---------------------------------------------------------------- */

static int may_send(const sse_outbox_t *box)
{
    return box->sending_count < (box->is_failing ? 1 : box->most);
}

/* When calls that are fresh make a letter; NEVER: there are none, or all are
 * blocked. */
static apr_time_t ripe_at(const sse_outbox_t *box)
{
    const sse_item_t *item, *first = NULL;
    int ready = 0;

    TAILQ_FOREACH(item, &box->fresh, next)
    {
        if (!is_blocked(box, item)) {
            first = first ? first : item;
            if (!box->wait || ++ready >= box->count) {
                return 0;
            }
        }
    }
    if (!first) {
        return NEVER;
    }
    return sse_outbox_has_room(box) ? first->came + box->wait : 0;
}

/* The first that is due; if none is, with any: the one that will be first. */
static sse_letter_t *find_waiting(const sse_outbox_t *box, apr_time_t now,
                                  int any)
{
    sse_letter_t *letter, *first = NULL;

    TAILQ_FOREACH(letter, &box->waiting, next)
    {
        if (letter->due <= now) {
            return letter;
        }
        if (any && !letter->is_put_off &&
            (!first || letter->due < first->due)) {
            first = letter;
        }
    }
    return first;
}

sse_letter_t *sse_outbox_take(sse_outbox_t *box, apr_time_t now)
{
    sse_letter_t *letter;

    if (!may_send(box) || (box->is_failing && now < box->retry_at)) {
        return NULL;
    }
    letter = find_waiting(box, now, 0);
    if (!letter && ripe_at(box) <= now) {
        letter = make_letter(box);
    }
    else if (!letter && box->is_failing) {
        letter = find_waiting(box, now, 1);
    }
    if (!letter) {
        return NULL;
    }
    if (letter->attempt++) {
        TAILQ_REMOVE(&box->waiting, letter, next);
    }
    TAILQ_INSERT_TAIL(&box->sending, letter, next);
    ++box->sending_count;
    return letter;
}

static apr_time_t waiting_due(const sse_outbox_t *box)
{
    const sse_letter_t *letter;
    apr_time_t due = NEVER;

    TAILQ_FOREACH(letter, &box->waiting, next)
    {
        if (box->is_failing && !letter->is_put_off) {
            return 0; /* with the next attempt */
        }
        if (letter->due < due) {
            due = letter->due;
        }
    }
    return due;
}

apr_time_t sse_outbox_due(const sse_outbox_t *box, apr_time_t now)
{
    apr_time_t waiting = waiting_due(box), due = ripe_at(box);

    if (waiting < due) {
        due = waiting;
    }
    if (!may_send(box) || due == NEVER) {
        return 0;
    }
    if (box->is_failing && due < box->retry_at) {
        due = box->retry_at;
    }
    return due < now ? now : due;
}

int sse_outbox_is_well(const sse_outbox_t *box)
{
    return !box->failures && TAILQ_EMPTY(&box->waiting);
}

/* -- Answers --------------------------------------------------------------- */

/* The target has answered: what waits need not, unless it was told to. */
static void works(sse_outbox_t *box, apr_time_t now)
{
    sse_letter_t *letter;

    if (box->is_failing) {
        TAILQ_FOREACH(letter, &box->waiting, next)
        {
            if (!letter->is_put_off) {
                letter->due = now;
            }
        }
    }
    box->failures = box->is_failing = 0;
}

static void fails(sse_outbox_t *box, const sse_letter_t *letter,
                  sse_hook_verdict_e verdict, apr_interval_time_t after,
                  apr_time_t now)
{
    apr_interval_time_t delay;

    /* Those that were under way when it was found out count once. */
    if (box->is_failing && now < box->retry_at) {
        return;
    }
    if (!box->failures++) {
        box->failing_since = now;
    }
    if (!box->is_failing) {
        if (verdict != SSE_HOOK_DOWN && box->failures < FAILURES_IN_ROW) {
            return;
        }
        box->is_failing = 1;
        box->failures = letter->attempt; /* several may have failed at once */
    }
    delay = sse_hook_retry_delay(box->failures, &box->seed);
    box->retry_at = now + (after > delay ? after : delay);
}

/* All of them. */
static int are_expired(const struct sse_items_t *items, apr_time_t now)
{
    const sse_item_t *item;

    TAILQ_FOREACH(item, items, next)
    {
        if (item->until > now) {
            return 0;
        }
    }
    return 1;
}

/* Those that are too old. */
static void give_up(sse_outbox_t *box, apr_time_t now)
{
    sse_letter_t *letter, *next;
    sse_item_t *item, *next_item;

    for (letter = TAILQ_FIRST(&box->waiting); letter; letter = next) {
        next = TAILQ_NEXT(letter, next);
        if (are_expired(&letter->items, now)) {
            TAILQ_REMOVE(&box->waiting, letter, next);
            end_letter(box, letter, SSE_OUTBOX_EXPIRED);
        }
    }
    for (item = TAILQ_FIRST(&box->fresh); item; item = next_item) {
        next_item = TAILQ_NEXT(item, next);
        if (item->until <= now && !is_blocked(box, item)) {
            TAILQ_REMOVE(&box->fresh, item, next);
            end_item(box, item, SSE_OUTBOX_EXPIRED);
        }
    }
}

static void put_back(sse_outbox_t *box, sse_letter_t *letter,
                     apr_interval_time_t after, apr_time_t now)
{
    apr_interval_time_t delay =
        sse_hook_retry_delay(letter->attempt, &box->seed);

    if (are_expired(&letter->items, now) &&
        now - TAILQ_FIRST(&letter->items)->came >= LEAST_LIFE) {
        end_letter(box, letter, SSE_OUTBOX_EXPIRED);
        return;
    }
    letter->is_put_off = after > 0;
    let_wait(box, letter, now + (after > delay ? after : delay));
}

void sse_outbox_finish(sse_outbox_t *box, sse_letter_t *letter,
                       sse_hook_verdict_e verdict, apr_interval_time_t after,
                       apr_time_t now)
{
    TAILQ_REMOVE(&box->sending, letter, next);
    --box->sending_count;
    if (after > SSE_HOOK_RETRY_AFTER_MAX) {
        after = SSE_HOOK_RETRY_AFTER_MAX;
    }
    if (verdict == SSE_HOOK_SENT || verdict == SSE_HOOK_FINAL) {
        works(box, now);
        end_letter(box, letter,
                   verdict == SSE_HOOK_SENT ? SSE_OUTBOX_SENT
                                            : SSE_OUTBOX_REFUSED);
        return;
    }
    fails(box, letter, verdict, after, now);
    put_back(box, letter, after, now);
    if (is_hopeless(box, now)) {
        give_up(box, now);
    }
}

void sse_outbox_return(sse_outbox_t *box, sse_letter_t *letter, apr_time_t now)
{
    TAILQ_REMOVE(&box->sending, letter, next);
    --box->sending_count;
    let_wait(box, letter, now + SSE_HOOK_RETRY_MIN);
}

/* -- The box --------------------------------------------------------------- */

sse_outbox_t *sse_outbox_create(int count, apr_interval_time_t wait, int most,
                                sse_outbox_fn *fn, void *baton)
{
    sse_outbox_t *box = calloc(1, sizeof(*box));

    if (box) {
        box->count = count;
        box->wait = count > 1 ? wait : 0;
        box->most = most;
        box->fn = fn;
        box->baton = baton;
        box->seed = ((apr_uint32_t)apr_time_now() ^
                     ((apr_uint32_t)getpid() * 2654435761u)) |
                    1u;
        TAILQ_INIT(&box->fresh);
        TAILQ_INIT(&box->opens);
        TAILQ_INIT(&box->waiting);
        TAILQ_INIT(&box->sending);
    }
    return box;
}

static void free_letters(struct sse_letters_t *letters)
{
    sse_letter_t *letter;

    while ((letter = TAILQ_FIRST(letters))) {
        TAILQ_REMOVE(letters, letter, next);
        sse_letter_destroy(letter);
    }
}

void sse_outbox_destroy(sse_outbox_t *box)
{
    sse_item_t *item;

    free_letters(&box->waiting);
    free_letters(&box->sending);
    while ((item = TAILQ_FIRST(&box->fresh))) {
        TAILQ_REMOVE(&box->fresh, item, next);
        free(item);
    }
    free(box);
}
