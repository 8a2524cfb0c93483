/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Which channels there are, what each has, and how large the store is. */

#include "clock.h"
#include "presence.h"
#include "store/sse_store_provider.h"

#define MANY 1000

/* "name events/bytes streams/users " each. */
static char list[4096];
static int stop_at;

static apr_status_t add(void *baton, const sse_store_channel_t *c)
{
    apr_size_t len = strlen(list);
    sse_slice_t name = sse_store_name(c->channel);

    if (stop_at && !--stop_at) {
        return APR_EINTR;
    }
    snprintf(list + len, sizeof(list) - len, "%.*s %d/%d %d/%d, ",
             (int)name.len, name.ptr, (int)c->events, (int)c->bytes,
             (int)c->streams, (int)c->users);
    return APR_SUCCESS;
}

/* What is there, and "more" where there is. */
static const char *listed(sse_store_t *store, sse_slice_t prefix,
                          sse_slice_t after, int max)
{
    apr_status_t rv;
    int more;

    list[0] = '\0';
    rv = sse_store_channels(store, prefix, after, max, add, NULL, &more);
    if (rv) {
        snprintf(list, sizeof(list), "error %d", (int)rv);
    }
    else if (more) {
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "more");
    }
    return list;
}

static const char *by_name(sse_store_t *store, const char *prefix,
                           const char *after, int max)
{
    return listed(store, text(prefix), text(after), max);
}

static void test_list(apr_pool_t *pool)
{
    sse_store_t *store = test_store("list", "16m", pool);

    is_str(by_name(store, "", "", 9), "", "there is none");
    publish(store, "b/2", "two", &keep_all);
    publish(store, "b/1", "one", &keep_all);
    publish(store, "b/1", "again", &keep_all);
    publish(store, "a", "x", &keep_all);
    publish(store, "c", "x", &keep_none);
    did(store, joins("b/1", "s1", "ann", NULL));
    did(store, joins("b/1", "s2", "ann", NULL));
    did(store, joins("b/15", "s3", "bob", NULL));
    is_str(by_name(store, "", "", 9),
           "a 1/1 0/0, b/1 2/8 2/1, b/15 0/0 1/1, b/2 1/3 0/0, c 0/0 0/0, ",
           "all, in order, with members or events or neither");
    is_str(by_name(store, "b/", "", 9),
           "b/1 2/8 2/1, b/15 0/0 1/1, b/2 1/3 0/0, ", "by a prefix");
    is_str(by_name(store, "b/", "", 2), "b/1 2/8 2/1, b/15 0/0 1/1, more",
           "a page");
    is_str(by_name(store, "b/", "b/15", 2), "b/2 1/3 0/0, ", "the next one");
    is_str(by_name(store, "b/", "b/11", 1), "b/15 0/0 1/1, more",
           "after a name that there is not");
    is_str(by_name(store, "b/", "a", 1), "b/1 2/8 2/1, more",
           "after one that stands before the prefix");
    is_str(by_name(store, "b/", "b", 1), "b/1 2/8 2/1, more",
           "after one that the prefix begins with");
    is_str(by_name(store, "b/", "c", 9), "", "after one that stands behind");
    is_str(by_name(store, "b/2", "", 9), "b/2 1/3 0/0, ", "the name itself");
    is_str(by_name(store, "b/", "", 0), "more", "none");
    is_str(by_name(store, "x", "", 0), "", "none of none");
    stop_at = 2;
    says(by_name(store, "", "", 9), apr_psprintf(pool, "error %d", APR_EINTR),
         "the callback ends it");
    stop_at = 0;
}

/* Keys have an owner before a NUL: a prefix with it is that owner's alone. */
static void test_owner(apr_pool_t *pool)
{
    sse_store_t *store = test_store("owner", "16m", pool);
    sse_append_t one = item("", "x", NULL, &keep_all);
    sse_slice_t none = {"", 0};

    one.channel = (sse_slice_t){"n\0/a", 4};
    is_num(sse_store_append(store, &one, 1), 0, "a channel");
    one.channel = (sse_slice_t){"nn\0/b", 5};
    is_num(sse_store_append(store, &one, 1), 0, "another owner's");
    is_str(listed(store, (sse_slice_t){"n\0", 2}, none, 9), "/a 1/1 0/0, ",
           "an owner's channels are his");
    is_str(listed(store, (sse_slice_t){"n\0", 2}, (sse_slice_t){"nn", 2}, 9),
           "", "whatever they shall come after");
    is_str(listed(store, (sse_slice_t){"nn\0", 3}, none, 9), "/b 1/1 0/0, ",
           "and the other's his");
}

static void test_one(apr_pool_t *pool)
{
    static const sse_history_t two = {2, 0, 0};
    sse_store_t *store = test_store("one", "16m", pool);
    sse_store_channel_t c;
    apr_time_t before = apr_time_now(), after;
    sse_id_t ids[3];

    ids[0] = publish(store, "c", "first", &two);
    ids[1] = publish(store, "c", "second", &two);
    ids[2] = publish(store, "c", "third", &two);
    after = apr_time_now();
    did(store, joins("c", "s1", "ann", NULL));
    is_num(sse_store_channel(store, text("c"), &c), 0, "one channel");
    is_num(c.events, 2, "what is kept");
    is_num(c.bytes, 11, "its bytes");
    ok(c.first == ids[1] && c.last == ids[2] && ids[0], "first and last");
    ok(c.first_time >= before - 1000 && c.first_time <= c.last_time &&
           c.last_time <= after + 1000,
       "and their times");
    ok(c.streams == 1 && c.users == 1, "who is there");
    is_num(sse_store_channel(store, text("d"), &c), 0, "one that is not known");
    ok(!c.events && !c.first && !c.last && !c.last_time && !c.streams &&
           c.channel.len == 1,
       "has nothing");
    is_num(sse_store_channel(store, text(""), &c), APR_EINVAL,
           "one without a name");
}

/* What is over its age does not count, removed or not. */
static void test_age(apr_pool_t *pool)
{
    static const sse_history_t minute = {100, apr_time_from_sec(60), 0};
    sse_store_t *store = test_store("age", "16m", pool);
    sse_store_channel_t c;
    sse_id_t id;

    test_by_clock(store);
    publish(store, "c", "old", &minute);
    publish(store, "c", "old too", &minute);
    publish(store, "d", "old", &minute);
    step += apr_time_from_sec(30);
    id = publish(store, "c", "new", &minute);
    step += apr_time_from_sec(40);
    is_num(sse_store_channel(store, text("c"), &c), 0, "with old events");
    ok(c.events == 1 && c.bytes == 3 && c.first == id && c.last == id,
       "what is over its age does not count");
    is_num(c.first_time, c.last_time, "nor does its time");
    is_str(by_name(store, "", "", 9), "c 1/3 0/0, d 0/0 0/0, ",
           "likewise in the list");
    is_num(sse_store_channel(store, text("d"), &c), 0, "where none is left");
    ok(!c.first && !c.first_time && c.last && c.last_time,
       "it is known when the last was");
}

static void test_sizes(apr_pool_t *pool)
{
    sse_store_t *store = test_store("sizes", "16m", pool);
    sse_store_sizes_t empty, full;
    char name[32];
    int i;

    is_num(sse_store_sizes(store, &empty), 0, "an empty store");
    ok(!empty.channels && !empty.events, "has no channel");
    is_num(empty.size, 16 << 20, "and its size");
    ok(empty.limit > empty.size / 2 && empty.limit < empty.size,
       "events go before it is reached");
    for (i = 0; i < MANY; ++i) {
        snprintf(name, sizeof(name), "c%04d", i);
        publish(store, name, "x", &keep_all);
    }
    is_num(sse_store_sizes(store, &full), 0, "after some events");
    is_num(full.channels, MANY, "channels");
    is_num(full.events, MANY, "events");
    ok(full.bytes > empty.bytes + 100 * MANY && full.bytes < full.limit,
       "and the bytes that they take");
    is_str(by_name(store, "c", "c0998", 9), "c0999 1/1 0/0, ",
           "the last of many");
}

/* Another provider need not know. */
static void test_unknown(apr_pool_t *pool)
{
    static const sse_store_provider_t nothing = {.name = "nothing"};
    sse_store_t store = {&nothing, NULL};
    sse_store_channel_t c;
    sse_store_sizes_t sizes;
    int more = 1;

    is_num(sse_store_channels(&store, text(""), text(""), 1, add, NULL, &more),
           APR_ENOTIMPL, "channels are not known");
    is_num(more, 0, "none");
    is_num(sse_store_channel(&store, text("c"), &c), APR_ENOTIMPL, "nor one");
    is_num(sse_store_sizes(&store, &sizes), APR_ENOTIMPL, "nor sizes");
    ok(!sizes.size && !sizes.bytes, "which are zero");
}

int main(void)
{
    static void (*const tests[])(apr_pool_t *) = {
        test_list, test_owner, test_one, test_age, test_sizes, test_unknown};
    apr_size_t i;

    test_begin();
    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); ++i) {
        apr_pool_t *pool = test_pool();

        tests[i](pool);
        apr_pool_destroy(pool);
    }
    return test_end();
}
