/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/notify/webhook/sse_hook_outbox, with sse_hook_letter and sse_hook_retry:
 * what is sent next to a target and when, over failures of all kinds; the clock
 * is the test's. */

#include <apr_strings.h>
#include <stdlib.h>

#include "notify/webhook/sse_hook_outbox.h"
#include "tap.h"

#define SEC(n) apr_time_from_sec(n)
#define START  SEC(1000000)

static apr_time_t now;
static int ended[3];           /* by how */
static apr_uint32_t last_done; /* its offset */

static void on_end(void *baton, sse_spool_at_t at, sse_outbox_end_e how)
{
    ++ended[how];
    last_done = at.offset;
}

static sse_outbox_t *create(int count, apr_interval_time_t wait, int most)
{
    now = START;
    memset(ended, 0, sizeof(ended));
    return sse_outbox_create(count, wait, most, on_end, NULL);
}

static int add_old(sse_outbox_t *box, int n, sse_call_type_e type,
                   const char *stream, apr_interval_time_t age)
{
    char id[40], body[40];
    sse_call_t call = {.type = type, .stream = sse_slice(stream)};
    sse_spool_at_t at = {1, (apr_uint32_t)n};

    apr_snprintf(id, sizeof(id), "id%d", n);
    apr_snprintf(body, sizeof(body), "{\"n\":%d}", n);
    call.id = sse_slice(id);
    call.body = sse_slice(body);
    return sse_outbox_add(box, at, &call, age, now);
}

static int add(sse_outbox_t *box, int n, sse_call_type_e type,
               const char *stream)
{
    return add_old(box, n, type, stream, 0);
}

static sse_letter_t *take(sse_outbox_t *box)
{
    return sse_outbox_take(box, now);
}

static void finish(sse_outbox_t *box, sse_letter_t *letter,
                   sse_hook_verdict_e verdict)
{
    sse_outbox_finish(box, letter, verdict, 0, now);
}

/* Go on to when something is due, within that time. */
static int goes_on(sse_outbox_t *box, apr_interval_time_t within)
{
    apr_time_t due = sse_outbox_due(box, now);

    if (!due || due > now + within) {
        return 0;
    }
    now = due;
    return 1;
}

static void is_letter(const sse_letter_t *letter, const char *id,
                      const char *body, int attempt, const char *what)
{
    if (ok(letter, what)) {
        is_str(letter->id, id, "its id");
        is_mem(letter->body.ptr, letter->body.len, body, strlen(body),
               "its body");
        is_num(letter->attempt, attempt, "its attempt");
    }
}

static void test_order(void)
{
    sse_outbox_t *box = create(1, 0, 2);
    sse_letter_t *one, *two;

    ok(!sse_outbox_due(box, now) && !take(box), "nothing");
    add(box, 1, SSE_CALL_PUBLISH, "");
    add(box, 2, SSE_CALL_PUBLISH, "");
    add(box, 3, SSE_CALL_PUBLISH, "");
    is_num(sse_outbox_due(box, now), now, "at once");
    one = take(box);
    is_letter(one, "id1", "{\"n\":1}", 1, "the first");
    two = take(box);
    is_letter(two, "id2", "{\"n\":2}", 1, "the second");
    ok(!take(box) && !sse_outbox_due(box, now), "no more at a time");
    finish(box, two, SSE_HOOK_SENT);
    is_num(last_done, 2, "finished");
    two = take(box);
    is_letter(two, "id3", "{\"n\":3}", 1, "the third");
    finish(box, one, SSE_HOOK_FINAL);
    finish(box, two, SSE_HOOK_SENT);
    ok(ended[SSE_OUTBOX_SENT] == 2 && ended[SSE_OUTBOX_REFUSED] == 1,
       "each is told of");
    ok(sse_outbox_is_well(box), "all is well");
    sse_outbox_destroy(box);
}

static void test_pairs(void)
{
    sse_outbox_t *box = create(1, 0, 8);
    sse_letter_t *open, *other, *close;

    add(box, 1, SSE_CALL_OPEN, "a");
    add(box, 2, SSE_CALL_CLOSE, "a");
    add(box, 3, SSE_CALL_CLOSE, "b");
    open = take(box);
    is_letter(open, "id1", "{\"n\":1}", 1, "an open");
    other = take(box);
    is_letter(other, "id3", "{\"n\":3}", 1, "another stream's close");
    ok(!take(box), "its own close waits");
    finish(box, other, SSE_HOOK_SENT);
    ok(!take(box), "still");
    finish(box, open, SSE_HOOK_AGAIN);
    ok(!take(box), "as long as the open is to be sent again");
    ok(goes_on(box, SEC(1)), "soon");
    open = take(box);
    is_letter(open, "id1", "{\"n\":1}", 2, "the open, again");
    ok(!take(box), "the close waits");
    finish(box, open, SSE_HOOK_SENT);
    close = take(box);
    is_letter(close, "id2", "{\"n\":2}", 1, "then it is sent");
    finish(box, close, SSE_HOOK_SENT);
    add(box, 4, SSE_CALL_OPEN, "c");
    add(box, 5, SSE_CALL_CLOSE, "c");
    open = take(box);
    finish(box, open, SSE_HOOK_FINAL);
    close = take(box);
    is_letter(close, "id5", "{\"n\":5}", 1, "also where the open is refused");
    sse_outbox_destroy(box);
}

static void test_backoff(void)
{
    sse_outbox_t *box = create(1, 0, 8);
    apr_time_t before;
    apr_interval_time_t took[12] = {0};
    sse_letter_t *letter;
    int i = 0, good = 1;

    add(box, 1, SSE_CALL_PUBLISH, "");
    while (i < 12 && (letter = take(box))) {
        finish(box, letter, SSE_HOOK_AGAIN);
        before = now;
        if (!goes_on(box, SEC(100))) {
            break;
        }
        took[i++] = now - before;
    }
    is_num(i, 12, "again and again");
    for (i = 0; i < 12; ++i) {
        apr_interval_time_t base = SSE_HOOK_RETRY_MIN << (i < 7 ? i : 7);

        base = base < SSE_HOOK_RETRY_MAX ? base : SSE_HOOK_RETRY_MAX;
        good &= took[i] >= SSE_HOOK_RETRY_MIN &&
                took[i] <= SSE_HOOK_RETRY_MAX && took[i] >= base * 3 / 4;
        good &= i >= 7 || took[i] <= base * 5 / 4;
    }
    ok(good, "later each time, from half a second to a minute");
    letter = take(box);
    sse_outbox_finish(box, letter, SSE_HOOK_AGAIN, SEC(120), now);
    ok(!goes_on(box, SEC(119)) && goes_on(box, SEC(121)), "Retry-After");
    letter = take(box);
    sse_outbox_finish(box, letter, SSE_HOOK_AGAIN, SEC(86400), now);
    ok(goes_on(box, SEC(301)), "a day is too long");
    while ((letter = take(box))) {
        finish(box, letter, SSE_HOOK_AGAIN);
        if (!goes_on(box, SEC(100))) {
            break;
        }
    }
    is_num(ended[SSE_OUTBOX_EXPIRED], 1, "given up");
    ok(now - START >= SEC(15 * 60) && now - START < SEC(17 * 60),
       "after 15 minutes");
    sse_outbox_destroy(box);
}

/* One that fails does not hold up others. */
static void test_poison(void)
{
    sse_outbox_t *box = create(1, 0, 1);
    sse_letter_t *letter;
    int i, sent = 0, failed = 0;

    for (i = 1; i <= 20; ++i) {
        add(box, i, SSE_CALL_PUBLISH, "");
    }
    for (i = 0; i < 40 && sent < 19; ++i) {
        if (!(letter = take(box))) {
            break;
        }
        if (!strcmp(letter->id, "id1")) {
            ++failed;
            finish(box, letter, SSE_HOOK_AGAIN);
        }
        else {
            ++sent;
            finish(box, letter, SSE_HOOK_SENT);
        }
    }
    ok(sent == 19 && failed == 1, "the others are sent meanwhile");
    ok(!sse_outbox_is_well(box), "one still fails");
    sse_outbox_destroy(box);
}

static void fail_all(sse_outbox_t *box, sse_hook_verdict_e verdict)
{
    sse_letter_t *letters[8], *letter;
    int n = 0;

    while (n < 8 && (letter = take(box))) {
        letters[n++] = letter;
    }
    while (n-- > 0) {
        finish(box, letters[n], verdict);
    }
}

static void test_down(sse_hook_verdict_e verdict, const char *what)
{
    sse_outbox_t *box = create(1, 0, 8);
    sse_letter_t *letter, *first;
    int i, attempts = 0;

    for (i = 1; i <= 30; ++i) {
        add(box, i, SSE_CALL_PUBLISH, "");
    }
    fail_all(box, verdict);
    ok(!take(box), what);
    while (now < START + SEC(20) && goes_on(box, SEC(60))) {
        first = take(box);
        ok(first && !take(box), "one attempt at a time");
        finish(box, first, verdict);
        ++attempts;
    }
    ok(attempts >= 4 && attempts <= 12, "less and less often");
    ok(goes_on(box, SEC(60)), "until it works");
    first = take(box);
    finish(box, first, SSE_HOOK_SENT);
    for (i = 0; (letter = take(box)) != NULL; ++i) {
        finish(box, letter, SSE_HOOK_SENT);
    }
    is_num(i, 29, "then all are sent at once");
    is_num(ended[SSE_OUTBOX_SENT], 30, "each of them");
    ok(sse_outbox_is_well(box), "all is well");
    sse_outbox_destroy(box);
}

static void test_put_off(void)
{
    sse_outbox_t *box = create(1, 0, 1);
    sse_letter_t *letter;

    add(box, 1, SSE_CALL_PUBLISH, "");
    add(box, 2, SSE_CALL_PUBLISH, "");
    letter = take(box);
    sse_outbox_finish(box, letter, SSE_HOOK_AGAIN, SEC(30), now);
    letter = take(box);
    finish(box, letter, SSE_HOOK_DOWN);
    ok(goes_on(box, SEC(1)), "another one is tried");
    letter = take(box);
    is_letter(letter, "id2", "{\"n\":2}", 2, "not the one that was put off");
    finish(box, letter, SSE_HOOK_SENT);
    ok(!take(box) && !goes_on(box, SEC(28)), "which waits");
    ok(goes_on(box, SEC(31)) && (letter = take(box)),
       "for as long as was said");
    finish(box, letter, SSE_HOOK_SENT);
    sse_outbox_destroy(box);
}

static void test_hopeless(void)
{
    sse_outbox_t *box = create(1, 0, 4);
    int i;

    for (i = 1; i <= 100; ++i) {
        add(box, i, SSE_CALL_PUBLISH, "");
    }
    while (now < START + SEC(890)) {
        fail_all(box, SSE_HOOK_DOWN);
        if (!goes_on(box, SEC(61))) {
            break;
        }
    }
    is_num(ended[SSE_OUTBOX_EXPIRED], 0, "14 minutes: none is given up");
    add(box, 101, SSE_CALL_PUBLISH, "");
    while (now < START + SEC(1000)) {
        fail_all(box, SSE_HOOK_DOWN);
        if (!goes_on(box, SEC(61))) {
            break;
        }
    }
    is_num(ended[SSE_OUTBOX_EXPIRED], 100, "then all that are so old");
    add_old(box, 102, SSE_CALL_PUBLISH, "", SEC(901));
    is_num(ended[SSE_OUTBOX_EXPIRED], 101, "and those that come so old");
    add_old(box, 103, SSE_CALL_PUBLISH, "", SEC(100));
    is_num(ended[SSE_OUTBOX_EXPIRED], 101, "but no others");
    sse_outbox_destroy(box);
}

/* The server was stopped for an hour; its target comes up after it. */
static void test_old(void)
{
    sse_outbox_t *box = create(1, 0, 4);
    int i;

    for (i = 1; i <= 20; ++i) {
        add_old(box, i, SSE_CALL_PUBLISH, "", SEC(3600));
    }
    while (now < START + SEC(30)) {
        fail_all(box, SSE_HOOK_DOWN);
        if (!goes_on(box, SEC(61))) {
            break;
        }
    }
    is_num(ended[SSE_OUTBOX_EXPIRED], 0, "old ones are tried for a while");
    for (i = 0; i < 3 && ended[SSE_OUTBOX_SENT] < 20; ++i) {
        fail_all(box, SSE_HOOK_SENT);
        fail_all(box, SSE_HOOK_SENT);
        fail_all(box, SSE_HOOK_SENT);
    }
    is_num(ended[SSE_OUTBOX_SENT], 20, "and sent");
    sse_outbox_destroy(box);
}

static void test_batches(void)
{
    sse_outbox_t *box = create(3, SEC(2), 2);
    sse_letter_t *letter, *other;
    char id[80];

    add(box, 1, SSE_CALL_OPEN, "a");
    add(box, 2, SSE_CALL_CLOSE, "a");
    ok(!take(box), "a batch waits for more");
    is_num(sse_outbox_due(box, now), now + SEC(2), "for so long");
    add(box, 3, SSE_CALL_OPEN, "b");
    letter = take(box);
    ok(letter && letter->count == 3, "until it is full");
    is_mem(letter->body.ptr, letter->body.len,
           "[{\"n\":1},{\"n\":2},{\"n\":3}]", 25,
           "an array, an open and its close in it");
    ok(!strncmp(letter->id, "batch.", 6) && strlen(letter->id) == 38, "its id");
    apr_cpystrn(id, letter->id, sizeof(id));
    add(box, 4, SSE_CALL_CLOSE, "b");
    add(box, 5, SSE_CALL_PUBLISH, "");
    now += SEC(3);
    other = take(box);
    ok(other && other->count == 1, "or until the time is over");
    is_mem(other->body.ptr, other->body.len, "[{\"n\":5}]", 9,
           "without a close whose open is under way; an array of one");
    finish(box, letter, SSE_HOOK_AGAIN);
    finish(box, other, SSE_HOOK_SENT);
    ok(goes_on(box, SEC(2)) && (letter = take(box)), "sent again");
    is_str(letter->id, id, "with the same id");
    is_num(letter->attempt, 2, "the second attempt");
    ok(!take(box), "the close still waits");
    finish(box, letter, SSE_HOOK_SENT);
    letter = take(box);
    ok(letter && letter->count == 1, "and is sent then");
    finish(box, letter, SSE_HOOK_SENT);
    is_num(ended[SSE_OUTBOX_SENT], 5, "all of them");
    sse_outbox_destroy(box);
}

static void test_window(void)
{
    sse_outbox_t *box = create(1, 0, 8);
    int i = 0;

    while (sse_outbox_has_room(box) && i < 100000) {
        add(box, ++i, SSE_CALL_PUBLISH, "");
    }
    is_num(i, 256, "so many are in memory");
    sse_outbox_finish(box, take(box), SSE_HOOK_SENT, 0, now);
    ok(sse_outbox_has_room(box), "one more, when one is sent");
    sse_outbox_destroy(box);
    box = create(1000, SEC(60), 8);
    for (i = 0; sse_outbox_has_room(box) && i < 100000;) {
        add(box, ++i, SSE_CALL_PUBLISH, "");
    }
    is_num(i, 2000, "more for large batches");
    sse_outbox_destroy(box);
}

static void test_verdicts(void)
{
    static const int again[] = {408, 425, 429, 500, 502, 503, 504, 599};
    static const int final[] = {100, 199, 300, 301, 304, 400, 401,
                                404, 410, 413, 499, 600, 999};
    int good = 1;
    size_t i;

    for (i = 0; i < sizeof(again) / sizeof(*again); ++i) {
        good &= sse_hook_retry_verdict(again[i]) == SSE_HOOK_AGAIN;
    }
    for (i = 0; i < sizeof(final) / sizeof(*final); ++i) {
        good &= sse_hook_retry_verdict(final[i]) == SSE_HOOK_FINAL;
    }
    ok(good, "again, or never");
    ok(sse_hook_retry_verdict(200) == SSE_HOOK_SENT &&
           sse_hook_retry_verdict(299) == SSE_HOOK_SENT,
       "or sent");
}

int main(void)
{
    test_verdicts();
    test_order();
    test_pairs();
    test_backoff();
    test_poison();
    test_down(SSE_HOOK_DOWN, "one that cannot be reached waits as a whole");
    test_down(SSE_HOOK_AGAIN, "so does one with nothing but failures");
    test_put_off();
    test_hopeless();
    test_old();
    test_batches();
    test_window();
    return done_testing();
}
