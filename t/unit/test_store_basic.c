/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The store in one process: what it keeps, and what it says of what it does
 * not. */

#include "clock.h"
#include "store.h"

static apr_time_t later(apr_interval_time_t seconds)
{
    return apr_time_now() + apr_time_from_sec(seconds);
}

static void test_configure(void)
{
    static const struct {
        const char *arg;
        int good;
    } cases[] = {
        {"size=1m", 1},     {"size=1048576", 1},
        {"size=64M", 1},    {"size=2g", 1},
        {"size=1k", 0},     {"size=1048575", 0},
        {"size=", 0},       {"size=-1g", 0},
        {"size=1gb", 0},    {"size=99999999999999999999", 0},
        {"size=16385g", 0}, {"size=1024k", 1},
        {"sync=on", 1},     {"sync=Off", 1},
        {"sync=1", 0},      {"sync=", 0},
        {"dir=x/y", 1},     {"dir=/var/x", 1},
        {"dir=", 0},        {"path=x", 0},
        {"size", 0},        {"", 0},
    };
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf;
    apr_size_t i;
    int right = 0;
    const char *argv[2] = {"lmdb"}, *err;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        argv[1] = cases[i].arg;
        err = sse_store_configure(&conf, pool, "/run/x", 2, argv);
        if ((err == NULL) == cases[i].good) {
            ++right;
        }
        else {
            printf("# %s: %s\n", cases[i].arg, err ? err : "taken");
        }
    }
    is_num(right, i, "settings are taken or refused");
    ok(!sse_store_configure(&conf, pool, "/run/x", 1, argv),
       "no settings at all");
    argv[1] = cases[3 + 1].arg;
    err = sse_store_configure(&conf, pool, "/run/x", 2, argv);
    ok(err && strstr(err, "size=1k") && strstr(err, "1m"),
       "the message has the value and what is allowed");
    apr_pool_destroy(pool);
}

static void test_fields(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("fields", "16m", pool);
    sse_append_t a[3];
    seen_t seen;
    sse_id_t origin = last_of(store), next;
    int missing;
    apr_time_t now = apr_time_now();
    char longest[SSE_STORE_KEY_MAX + 2];

    ok(origin <= (sse_id_t)now &&
           origin > (sse_id_t)(now - apr_time_from_sec(60)),
       "the origin is the time");
    is_num(gap_of(store, "c", origin), 0, "fresh store: origin is no gap");
    is_num(gap_of(store, "c", origin - 1), 1, "before origin is one");
    is_num(gap_of(store, "c", origin + 1), 1, "the future is one");
    is_num(gap_of(store, "c", 0), 1, "0 is one");

    a[0] = item("c", "one\r\ntwo", NULL, &keep_all);
    a[0].fields.event = text("tick");
    a[0].fields.retry = 5;
    a[1] = item("d", "", NULL, &keep_all);
    a[1].fields.event = text("");
    a[2] = item("c", "three", NULL, &keep_all);
    is_num(sse_store_append(store, a, 3), APR_SUCCESS, "a batch");
    is_num(a[0].id, origin + 1, "the first id follows the origin");
    is_num(a[2].id, origin + 3, "ids are consecutive");
    is_num(last_of(store), origin + 3, "last is the last one");

    memset(&seen, 0, sizeof(seen));
    is_num(sse_store_follow(store, origin, 10, see, &seen, &next, &missing), 0,
           "follow");
    is_str(seen.text, "one\r\ntwo  three ", "all channels in order");
    is_num(next, origin + 3, "next is the last");
    is_num(missing, 0, "no hole");
    is_str(history_of(store, "c", origin, NULL), "one\r\ntwo three ",
           "a channel's own");

    memset(longest, 'k', sizeof(longest));
    longest[SSE_STORE_KEY_MAX] = '\0';
    ok(publish(store, longest, "x", &keep_all), "the longest channel");
    longest[SSE_STORE_KEY_MAX] = 'k';
    longest[SSE_STORE_KEY_MAX + 1] = '\0';
    next = last_of(store);
    a[0] = item("c", "x", NULL, &keep_all);
    a[1] = item(longest, "x", NULL, &keep_all);
    is_num(sse_store_append(store, a, 2), APR_EINVAL, "too long a channel");
    a[1] = item("", "x", NULL, &keep_all);
    is_num(sse_store_append(store, a, 2), APR_EINVAL, "an empty channel");
    a[1] = item("c", "x", longest, &keep_all);
    is_num(sse_store_append(store, a, 2), APR_EINVAL, "too long a idempotency");
    is_num(last_of(store), next, "and nothing of these was added");
    is_num(publish(store, "c", "y", &keep_all), next + 1, "no hole either");
    apr_pool_destroy(pool);
}

static apr_status_t check_fields(void *baton, const sse_record_t *record)
{
    int *right = baton;

    if (record->fields.event.ptr && record->fields.event.len == 4 &&
        !memcmp(record->fields.event.ptr, "tick", 4) &&
        record->fields.retry == 5 && record->channel.len == 1 &&
        record->kind == SSE_RECORD_EVENT && !record->fields.id.ptr &&
        !record->fields.comment.ptr && record->time <= apr_time_now() &&
        record->time > apr_time_now() - apr_time_from_sec(60)) {
        *right |= 1;
    }
    else if (!record->fields.event.ptr && record->fields.retry == -1 &&
             record->fields.data.ptr && !record->fields.data.len) {
        *right |= 2;
    }
    else if (record->fields.event.ptr && !record->fields.event.len) {
        *right |= 4;
    }
    return APR_SUCCESS;
}

static void test_record(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("record", "16m", pool);
    sse_append_t a[3];
    sse_id_t next, origin = last_of(store);
    int missing, right = 0;

    a[0] = item("c", "x", "key", &keep_all);
    a[0].fields.event = text("tick");
    a[0].fields.retry = 5;
    a[1] = item("c", "", NULL, &keep_all);
    a[2] = item("c", "", NULL, &keep_all);
    a[2].fields.event = text("");
    ok(!sse_store_append(store, a, 3) &&
           !sse_store_follow(store, origin, 9, check_fields, &right, &next,
                             &missing),
       "append and follow");
    is_num(right, 7, "absent, empty and full fields come back as they were");
    apr_pool_destroy(pool);
}

static void test_limits(void)
{
    static const sse_history_t three = {3, 0, 0}, ten_bytes = {100, 0, 10};
    static const sse_history_t one = {1, 0, 0};
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("limits", "16m", pool);
    sse_position_t position;
    sse_slice_t key = text("c");
    sse_id_t id[8], start = last_of(store);
    int i, gap;
    char data[2] = "0";

    for (i = 0; i < 8; ++i) {
        data[0] = (char)('0' + i);
        id[i] = publish(store, "c", data, &three);
    }
    is_str(history_of(store, "c", start, &gap), "5 6 7 ", "by count");
    is_num(gap, 1, "history says what is lost");
    is_str(history_of(store, "c", id[5], &gap), "6 7 ", "after an id");
    is_num(gap, 0, "and nothing is lost then");
    is_num(gap_of(store, "c", id[3]), 1, "gap before the last evicted");
    is_num(gap_of(store, "c", id[4]), 0, "no gap from the last evicted on");
    is_num(gap_of(store, "c", id[7]), 0, "none at the end");
    sse_store_look(store, &key, 1, id[7], &position);
    is_num(position.oldest, id[5], "the oldest kept");
    is_num(position.last, id[7], "the last");
    publish(store, "c", "8", &one);
    is_str(history_of(store, "c", start, NULL), "8 ", "a new, lower limit");
    publish(store, "c", "9", &three);
    is_str(history_of(store, "c", start, NULL), "8 9 ", "a new, higher one");

    publish(store, "b", "12345", &ten_bytes);
    publish(store, "b", "67890", &ten_bytes);
    is_str(history_of(store, "b", start, NULL), "12345 67890 ", "by bytes");
    publish(store, "b", "x", &ten_bytes);
    is_str(history_of(store, "b", start, NULL), "67890 x ", "one byte over");
    publish(store, "b", "12345678901", &ten_bytes);
    is_str(history_of(store, "b", start, NULL), "", "one that is too large");
    publish(store, "b", "y", &ten_bytes);
    is_str(history_of(store, "b", start, NULL), "y ", "and on");
    apr_pool_destroy(pool);
}

static void test_age(void)
{
    static const sse_history_t short_age = {100, 60000000, 0};
    static const sse_history_t long_age = {100, 3600000000, 0};
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("age", "16m", pool);
    sse_position_t position;
    sse_slice_t key = text("c");
    sse_append_t a;
    sse_id_t id[4], start = last_of(store), after;
    int gap;

    test_by_clock(store);
    id[0] = publish(store, "c", "0", &short_age);
    a = item("c", "1", "k", &short_age);
    sse_store_append(store, &a, 1);
    id[1] = a.id;
    id[2] = publish(store, "e", "e", &short_age);
    is_str(history_of(store, "c", start, NULL), "0 1 ", "young enough");
    step += apr_time_from_sec(80);
    is_str(history_of(store, "c", start, &gap), "", "over their age");
    is_num(gap, 1, "which is a gap");
    is_num(gap_of(store, "c", id[0]), 1, "one after it has aged");
    is_num(gap_of(store, "c", id[1]), 0, "none after it");
    sse_store_look(store, &key, 1, start, &position);
    is_num(position.oldest, 0, "no oldest");
    sse_store_tail(store, &key, 1, -1, &after);
    is_num(after, last_of(store), "an empty tail");
    a = item("c", "2", "k", &short_age);
    sse_store_append(store, &a, 1);
    is_num(a.duplicate, 0, "a key that aged out is not remembered");
    is_str(history_of(store, "c", start, NULL), "2 ", "the new one only");
    a = item("c", "2", "k", &short_age);
    sse_store_append(store, &a, 1);
    is_num(a.duplicate, 1, "but the new one is");

    /* Raised just in time: what is still there counts again. */
    publish(store, "m", "0", &short_age);
    publish(store, "m", "1", &long_age);
    step += apr_time_from_sec(80);
    is_str(history_of(store, "m", start, NULL), "0 1 ", "a longer age");
    id[3] = publish(store, "m", "2", &short_age);
    is_str(history_of(store, "m", start, &gap), "2 ", "a shorter one");
    is_num(gap, 1, "drops with a gap");
    is_num(gap_of(store, "m", id[3] - 1), 0, "up to the last dropped");
    is_num(tidy_all(store, apr_time_now()) > 0, 1, "tidy");
    is_str(history_of(store, "e", start, &gap), "", "aged before tidy");
    is_num(gap_of(store, "e", id[2] - 1), 1, "and a gap after tidy");
    is_num(gap_of(store, "e", id[2]), 0, "but not after it");
    step = 0;
    apr_pool_destroy(pool);
}

/* Many of one channel, part of them over their age: found by halving. */
static void test_age_many(void)
{
    static const sse_history_t age = {5000, 250000000, 0};
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("many", "16m", pool);
    sse_position_t position;
    sse_slice_t key = text("c");
    sse_id_t first = 0, start = last_of(store), after;
    int i, gap = 0;

    test_by_clock(store);
    for (i = 0; i < 300; ++i) {
        publish(store, "c", "old", &age);
        publish(store, "other", "x", &age);
    }
    step += apr_time_from_sec(150);
    for (i = 0; i < 77; ++i) {
        sse_id_t id = publish(store, "c", "new", &age);

        first = first ? first : id;
        publish(store, "other", "x", &age);
    }
    step += apr_time_from_sec(120);
    sse_store_look(store, &key, 1, start, &position);
    is_num(position.oldest, first, "the first that is young enough");
    is_num(position.gap, 1, "a gap before it");
    is_num(gap_of(store, "c", first - 1), 0, "none right before it");
    is_num(gap_of(store, "c", first - 3), 1, "one before the last old one");
    sse_store_tail(store, &key, 1, 1000, &after);
    is_num(after, first - 1, "the tail begins there");
    is_num(strncmp(history_of(store, "c", start, &gap), "new ", 4), 0,
           "history begins there");
    is_num(gap, 1, "and tells");
    step = 0;
    apr_pool_destroy(pool);
}

static void test_none(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("none", "16m", pool);
    sse_append_t a = item("c", "k", "key", &keep_none);
    seen_t seen;
    sse_id_t start = last_of(store), next;
    int missing, i;

    publish(store, "c", "0", &keep_none);
    publish(store, "c", "1", &keep_none);
    is_str(history_of(store, "c", start, NULL), "", "nothing is kept");
    is_num(gap_of(store, "c", start), 1, "so that is a gap");
    is_num(gap_of(store, "c", start + 2), 0, "but not at the end");
    sse_store_append(store, &a, 1);
    sse_store_append(store, &a, 1);
    is_num(a.duplicate, 0, "no keys are remembered");
    for (i = 0; i < 100; ++i) {
        publish(store, "d", "x", &keep_none);
    }
    tidy_all(store, apr_time_now());
    memset(&seen, 0, sizeof(seen));
    sse_store_follow(store, start, 1000, see, &seen, &next, &missing);
    is_num(seen.count, 104, "yet every child reads it for a while");
    is_num(missing, 0, "all of it");
    tidy_all(store, later(11));
    memset(&seen, 0, sizeof(seen));
    sse_store_follow(store, start, 1000, see, &seen, &next, &missing);
    is_num(seen.count, 0, "then it goes");
    is_num(missing, 1, "which is a hole");
    is_num(next, last_of(store), "up to the last");
    sse_store_follow(store, next, 1000, see, &seen, &next, &missing);
    is_num(missing, 0, "and none after it");

    for (i = 0; i < 6000; ++i) {
        publish(store, "big", "x", &keep_all);
    }
    publish(store, "big", "x", &keep_none);
    is_str(history_of(store, "big", start, NULL), "", "a large one, dropped");
    is_num(gap_of(store, "big", last_of(store) - 2), 1, "with a gap");
    publish(store, "big", "new", &keep_all);
    is_str(history_of(store, "big", start, NULL), "new ", "and begun anew");
    apr_pool_destroy(pool);
}

static void test_pubkey(void)
{
    static const sse_history_t two = {2, 0, 0};
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("idempotency", "16m", pool);
    sse_append_t a[4];
    sse_id_t first, start = last_of(store);

    a[0] = item("c", "0", "k0", &two);
    sse_store_append(store, a, 1);
    first = a[0].id;
    is_num(a[0].duplicate, 0, "the first");
    a[1] = item("c", "again", "k0", &two);
    sse_store_append(store, a + 1, 1);
    is_num(a[1].duplicate, 1, "the second is a duplicate");
    is_num(a[1].id, first, "with the first one's id");
    is_num(last_of(store), first, "that adds nothing");
    a[1] = item("d", "other", "k0", &two);
    sse_store_append(store, a + 1, 1);
    is_num(a[1].duplicate, 0, "not on another channel");
    a[0] = item("e", "0", "x", &two);
    a[1] = item("e", "1", "y", &two);
    a[2] = item("e", "2", "x", &two);
    a[3] = item("e", "3", NULL, &two);
    sse_store_append(store, a, 4);
    ok(!a[0].duplicate && !a[1].duplicate && a[2].duplicate && !a[3].duplicate,
       "within one batch");
    is_num(a[2].id, a[0].id, "with the first one's id");
    is_num(a[3].id, a[1].id + 1, "and no hole");
    is_str(history_of(store, "e", start, NULL), "1 3 ", "two are kept");
    a[0] = item("e", "4", "x", &two);
    sse_store_append(store, a, 1);
    is_num(a[0].duplicate, 0, "a key leaves with its event");
    apr_pool_destroy(pool);
}

static void test_channels(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("channels", "16m", pool);
    sse_slice_t keys[4];
    seen_t seen;
    sse_id_t id[9], after, next, start = last_of(store);
    int i, gap;
    char data[2] = "0";

    for (i = 0; i < 9; ++i) {
        data[0] = (char)('0' + i);
        id[i] = publish(store, i % 3 ? i % 3 == 1 ? "b" : "c" : "a", data,
                        &keep_all);
    }
    keys[0] = text("a");
    keys[1] = text("nobody");
    keys[2] = text("c");
    keys[3] = text("a");
    memset(&seen, 0, sizeof(seen));
    sse_store_history(store, keys, 4, start, id[8], 1000, see, &seen, NULL,
                      &next, &gap);
    is_str(seen.text, "0 2 3 5 6 8 ", "merged, none twice");
    is_num(next, id[8], "all were given");
    is_num(gap, 0, "no gap");
    memset(&seen, 0, sizeof(seen));
    sse_store_history(store, keys, 4, id[0], id[6], 1000, see, &seen, NULL,
                      &next, &gap);
    is_str(seen.text, "2 3 5 6 ", "after and up to");
    memset(&seen, 0, sizeof(seen));
    sse_store_history(store, keys, 4, start, id[7], 2, see, &seen, NULL, &next,
                      &gap);
    is_str(seen.text, "0 2 ", "so many bytes");
    is_num(next, id[2], "and where to go on");
    memset(&seen, 0, sizeof(seen));
    sse_store_history(store, keys, 4, next, id[7], 0, see, &seen, NULL, &next,
                      &gap);
    is_str(seen.text, "3 ", "at least one");
    memset(&seen, 0, sizeof(seen));
    seen.stop_at = 3;
    is_num(sse_store_history(store, keys, 4, start, id[8], 99, see, &seen, NULL,
                             &next, &gap),
           APR_EINTR, "the callback stops it");
    is_num(next, id[2], "its record counts as not read");
    memset(&seen, 0, sizeof(seen));
    seen.stop_at = 4;
    is_num(sse_store_follow(store, start, 99, see, &seen, &next, &gap),
           APR_EINTR, "the same for follow");
    is_num(next, id[2], "not read");
    memset(&seen, 0, sizeof(seen));
    sse_store_follow(store, start, 4, see, &seen, &next, &gap);
    is_num(next, id[3], "follow takes max at most");
    is_num(gap, 0, "which is no hole");

    for (i = 0; i <= 7; ++i) {
        memset(&seen, 0, sizeof(seen));
        sse_store_tail(store, keys, 4, i, &after);
        sse_store_history(store, keys, 4, after, id[8], 1000, see, &seen, NULL,
                          &next, &gap);
        is_num(seen.count, i < 6 ? i : 6, "a tail of so many");
    }
    memset(&seen, 0, sizeof(seen));
    sse_store_tail(store, keys, 4, -1, &after);
    sse_store_history(store, keys, 4, after, id[8], 1000, see, &seen, NULL,
                      &next, &gap);
    is_num(seen.count, 6, "a tail of all");
    is_num(gap, 0, "without a gap");
    sse_store_tail(store, keys + 1, 1, 5, &after);
    is_num(after, id[8], "no such channel: the end");
    sse_store_tail(store, keys, 0, 5, &after);
    is_num(after, id[8], "no channel at all: the end");
    apr_pool_destroy(pool);
}

static void test_forget(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("forget", "64m", pool);
    sse_append_t a = item("c", "1", "k", &keep_all);
    seen_t seen;
    sse_id_t id[3], forgot, next, start = last_of(store);
    int missing, i, gap;

    id[0] = publish(store, "c", "0", &keep_all);
    sse_store_append(store, &a, 1);
    id[1] = a.id;
    id[2] = publish(store, "d", "d", &keep_all);
    is_num(sse_store_forget(store, text("c"), &forgot), APR_SUCCESS, "forget");
    is_num(forgot, id[2] + 1, "takes an id");
    is_str(history_of(store, "c", start, &gap), "", "the history is gone");
    is_num(gap, 1, "a gap");
    is_num(gap_of(store, "c", id[0]), 1, "a gap before the last");
    is_num(gap_of(store, "c", id[1]), 0, "none after it");
    is_str(history_of(store, "d", start, NULL), "d ", "others stay");
    memset(&seen, 0, sizeof(seen));
    sse_store_follow(store, start, 99, see, &seen, &next, &missing);
    is_str(seen.text, "0 1 d ! ", "every child hears of it");
    sse_store_append(store, &a, 1);
    is_num(a.duplicate, 0, "keys are forgotten");
    is_str(history_of(store, "c", start, NULL), "1 ", "and it begins anew");
    is_num(gap_of(store, "c", id[0]), 1, "with the gap before");
    is_num(sse_store_forget(store, text("nobody"), &forgot), APR_SUCCESS,
           "one that nobody knows");
    is_num(forgot, last_of(store), "is told all the same");
    tidy_all(store, later(11));
    memset(&seen, 0, sizeof(seen));
    sse_store_follow(store, start, 99, see, &seen, &next, &missing);
    is_str(seen.text, "d 1 ", "the rest goes later");

    for (i = 0; i < 5000; ++i) {
        a = item("big", "x", apr_itoa(pool, i), &keep_all);
        sse_store_append(store, &a, 1);
    }
    sse_store_forget(store, text("big"), &forgot);
    is_str(history_of(store, "big", start, NULL), "", "a large one at once");
    publish(store, "big", "new", &keep_all);
    is_num(tidy_all(store, later(11)) > 1, 1, "tidied in pieces");
    memset(&seen, 0, sizeof(seen));
    sse_store_follow(store, start, 99, see, &seen, &next, &missing);
    is_str(seen.text, "d 1 new ", "until all is gone");
    apr_pool_destroy(pool);
}

static void test_restart(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("restart", "16m", pool);
    sse_id_t start = last_of(store), id = publish(store, "c", "0", &keep_all);
    sse_append_t a = item("c", "x", "k", &keep_all);

    sse_store_append(store, &a, 1);
    apr_pool_destroy(pool);
    pool = test_pool();
    store = test_store("restart", "32m", pool);
    is_num(last_of(store), id + 1, "a larger one goes on where it was");
    is_str(history_of(store, "c", start, NULL), "0 x ", "with its history");
    sse_store_append(store, &a, 1);
    is_num(a.duplicate, 1, "and its keys");
    is_num(gap_of(store, "c", start), 0, "and no gap");
    is_num(publish(store, "c", "1", &keep_all), id + 2, "and its ids");
    apr_pool_destroy(pool);
    pool = test_pool();
    store = test_store("restart", "1m", pool);
    is_str(history_of(store, "c", start, NULL), "0 x 1 ", "and a smaller one");
    is_num(publish(store, "c", "2", &keep_all), id + 3, "too");
    apr_pool_destroy(pool);
}

/* Hundred thousand channels come and go. */
static void test_no_trace(void)
{
    static const sse_history_t brief = {10, 1000000, 0};
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("trace", "256m", pool);
    sse_append_t a[1000];
    static char names[1000][32];
    sse_id_t start = last_of(store), next, last;
    seen_t seen;
    int i, j, missing, failed = 0, calls;

    for (i = 0; i < 100; ++i) {
        for (j = 0; j < 1000; ++j) {
            snprintf(names[j], sizeof(names[j]), "channel-%d", i * 1000 + j);
            a[j] = item(names[j], "x", j % 10 ? NULL : "key",
                        j % 3 ? &brief : &keep_none);
        }
        failed |= sse_store_append(store, a, 1000) != APR_SUCCESS;
    }
    is_num(failed, 0, "100000 channels");
    last = last_of(store);
    is_num(gap_of(store, "channel-501", start), 1, "one without history");
    is_num(gap_of(store, "channel-501", last), 0, "one at its end");
    calls = tidy_all(store, later(12));
    ok(calls >= 10, "tidied in pieces");
    is_num(tidy_all(store, later(12)), 1, "and nothing more to do");
    memset(&seen, 0, sizeof(seen));
    sse_store_follow(store, start, 10, see, &seen, &next, &missing);
    is_num(seen.count, 0, "no record is left");
    is_num(gap_of(store, "channel-7", start), 1, "the gap is known still");
    is_num(gap_of(store, "channel-7", last), 0, "and where it ends");
    is_num(gap_of(store, "new", last), 0, "also for a new one");
    publish(store, "channel-7", "x", &keep_all);
    is_num(gap_of(store, "channel-7", start), 1, "one that comes back");
    is_num(gap_of(store, "channel-7", last), 0, "has lost what it had lost");
    apr_pool_destroy(pool);
}

int main(void)
{
    test_begin();
    test_configure();
    test_fields();
    test_record();
    test_limits();
    test_age();
    test_age_many();
    test_none();
    test_pubkey();
    test_channels();
    test_forget();
    test_restart();
    test_no_trace();
    return test_end();
}
