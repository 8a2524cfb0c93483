/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Who gives up events when room runs out: who takes most, and nobody else.  All
 * sums are what they are said to be. */

#include "store.h"
#include "store/lmdb/sse_lmdb_inspect.h"

#define SMALL 50
#define BATCH 4000

#define LARGE 300000

static char block[LARGE];

typedef struct {
    const char *owner; /* NULL: the key has none */
    const char *name;
} channel_t;

static sse_slice_t key_of(channel_t channel)
{
    static char buf[2][64];
    static int which;
    char *p = buf[which ^= 1];
    sse_slice_t key = {p, 0};
    int n = 0;

    if (channel.owner) {
        n = snprintf(p, 32, "%s", channel.owner) + 1;
    }
    n += snprintf(p + n, 31, "%s", channel.name);
    key.len = (apr_size_t)n;
    return key;
}

/* That many events of a size. @return how often it failed */
static int flood(sse_store_t *store, channel_t channel, int count,
                 apr_size_t size, const sse_history_t *history)
{
    static sse_append_t items[BATCH];
    sse_slice_t key = key_of(channel);
    int i, n, failed = 0, most = size > 100 ? 20 : BATCH;

    for (; count > 0; count -= n) {
        n = count < most ? count : most;
        for (i = 0; i < n; ++i) {
            items[i] = item("", "", NULL, history);
            items[i].channel = key;
            items[i].fields.data.ptr = block;
            items[i].fields.data.len = size;
        }
        failed += sse_store_append(store, items, n) != APR_SUCCESS;
    }
    return failed;
}

static apr_status_t count_one(void *baton, const sse_record_t *record)
{
    ++*(int *)baton;
    return APR_SUCCESS;
}

static int kept(sse_store_t *store, channel_t channel)
{
    sse_slice_t key = key_of(channel);
    sse_id_t next;
    int gap, n = 0;

    return sse_store_history(store, &key, 1, 0, ~(sse_id_t)0, 1 << 30,
                             count_one, &n, NULL, &next, &gap)
               ? -1
               : n;
}

/* Whatever is said of it is so. */
static void is_sound(const char *name, const char *what)
{
    char path[512];
    sse_inspect_t in;
    sse_inspect_e result;

    snprintf(path, sizeof(path), "%s/%s", test_dir, name);
    result = sse_inspect_open(&in, path);
    if (result == SSE_INSPECT_OK) {
        result = sse_inspect_check(&in);
    }
    is_num(result, SSE_INSPECT_OK, what);
    if (result != SSE_INSPECT_OK) {
        printf("# %s\n", in.words);
    }
    sse_inspect_close(&in);
}

static sse_store_t *shared(const char *name, const char *size,
                           const char *share, apr_pool_t *pool)
{
    const char *argv[4];
    sse_store_conf_t *conf = NULL;
    const char *err;

    argv[0] = "lmdb";
    argv[1] = apr_pstrcat(pool, "dir=", name, NULL);
    argv[2] = apr_pstrcat(pool, "size=", size, NULL);
    argv[3] = apr_pstrcat(pool, "namespace=", share, NULL);
    err = sse_store_configure(&conf, pool, test_dir, 4, argv);
    if (err) {
        printf("Bail out! %s\n", err);
        exit(1);
    }
    return test_open(conf, pool);
}

/* What falls out of a history at once takes others nothing, whether they are
 * another host's or not. */
static void test_lingering(const char *name, const char *whose)
{
    static const sse_history_t few = {100, 0, 0};
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store(name, "16m", pool);
    channel_t quiet = {"b.example", "/quiet"}, loud = {whose, "/loud"};
    sse_slice_t key;
    sse_id_t from = last_of(store);
    int i, failed;

    failed = flood(store, quiet, SMALL, 200, &keep_all);
    failed += flood(store, loud, 200000, 1, &few);
    is_num(failed, 0, "a flood of a short history");
    is_num(kept(store, quiet), SMALL, "leaves the others theirs");
    key = key_of(quiet);
    is_num(gap_of(store, "/none", from), 0, "there is no gap");
    is_num(kept(store, loud), 100, "and its own");
    failed += flood(store, loud, 200000, 1, &keep_none);
    is_num(failed, 0, "a flood of none");
    is_num(kept(store, quiet), SMALL, "leaves them, too");
    for (i = 0; i < 20000; ++i) {
        char path[32];
        channel_t never = {whose, path};
        sse_id_t id;

        snprintf(path, sizeof(path), "/never-%d", i);
        failed += sse_store_forget(store, key_of(never), &id) != APR_SUCCESS;
    }
    is_num(failed, 0, "deleting what never was");
    is_num(kept(store, quiet), SMALL, "leaves them, too");
    is_sound(name, "the store is sound");
    tidy_all(store, apr_time_now() + 2 * SSE_STORE_LINGER);
    is_sound(name, "and when all that is gone");
    (void)key;
    apr_pool_destroy(pool);
}

/* Histories that are long: the largest one gives up its own. */
static void test_greedy(const char *name, const char *whose)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store(name, "8m", pool);
    channel_t quiet = {"b.example", "/quiet"}, loud = {whose, "/loud"};
    int failed = flood(store, quiet, SMALL, 2000, &keep_all);

    failed += flood(store, loud, 20000, 1000, &keep_all);
    is_num(failed, 0, "more than there is room for");
    is_num(kept(store, quiet), SMALL, "a small history stays whole");
    ok(kept(store, loud) > 1000, "and the large one has the rest");
    is_sound(name, "the store is sound");
    apr_pool_destroy(pool);
}

/* Of many channels, where each is small, the owner is who takes most. */
static void test_many_channels(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("many", "8m", pool);
    channel_t large = {"b.example", "/large"};
    char path[32];
    channel_t one = {"a.example", path};
    int i, failed = flood(store, large, 400, 1000, &keep_all);

    for (i = 0; i < 20000; ++i) {
        snprintf(path, sizeof(path), "/channel-%d", i);
        failed += flood(store, one, 1, 100, i % 2 ? &keep_all : &keep_none);
    }
    is_num(failed, 0, "a host with many channels");
    is_num(kept(store, large), 400, "takes nothing of another's");
    is_sound("many", "the store is sound");
    tidy_all(store, apr_time_now() + 2 * SSE_STORE_LINGER);
    is_sound("many", "and when those without history are gone");
    apr_pool_destroy(pool);
}

/* With a bound, others' kept events are safe while they stay within theirs. */
static void test_bound(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = shared("bound", "16m", "25%", pool);
    channel_t mine = {"b.example", "/mine"}, other = {"c.example", "/other"};
    channel_t loud = {"a.example", "/loud"}, too = {"a.example", "/too"};
    int before, failed = flood(store, mine, 1500, 1000, &keep_all);

    failed += flood(store, other, 1500, 1000, &keep_all);
    failed += flood(store, loud, 20000, 1000, &keep_all);
    failed += flood(store, too, 20000, 1000, &keep_all);
    is_num(failed, 0, "one that takes what there is");
    is_num(kept(store, mine), 1500, "leaves others what is within their part");
    is_num(kept(store, other), 1500, "each");
    before = kept(store, loud) + kept(store, too);
    ok(before > 1500 && before < 3000, "and keeps its own part");
    printf("# %d and %d\n", kept(store, loud), kept(store, too));
    ok(kept(store, loud) > 300 && kept(store, too) > 300,
       "which its channels share");
    is_sound("bound", "the store is sound");
    apr_pool_destroy(pool);
}

/* Without: who has more than his part of a full store shares it. */
static void test_unbound(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("unbound", "8m", pool);
    channel_t first = {"b.example", "/x"}, second = {NULL, "none"};
    int a, b, failed = flood(store, first, 10000, 1000, &keep_all);

    ok(kept(store, first) > 3000, "one alone has all of it");
    failed += flood(store, second, 10000, 1000, &keep_all);
    is_num(failed, 0, "then another comes");
    a = kept(store, first);
    b = kept(store, second);
    ok(a > 1200 && b > 1200 && a < 2 * b && b < 2 * a, "and has as much");
    printf("# %d and %d\n", a, b);
    is_sound("unbound", "the store is sound");
    apr_pool_destroy(pool);
}

/* Large events: what goes is what there must be room for, and not more. */
static void test_large(sse_store_t *store, const char *name, int spare)
{
    channel_t channel = {"a.example", "/large"};
    int i, n, most = 0, least = 1000, failed = 0;

    for (i = 0; i < 60; ++i) {
        failed += flood(store, channel, 1, LARGE, &keep_all);
        n = kept(store, channel);
        most = n > most ? n : most;
        least = i >= 40 && n < least ? n : least;
    }
    is_num(failed, 0, name);
    ok(most < 40, "gives up some");
    ok(most >= 8 && least >= most - spare, "but no more than it must");
    printf("# %d to %d\n", least, most);
    is_sound(name, "the store is sound");
}

/* All that can happen, in any order, and every sum is right. */
static void test_sums(void)
{
    static const sse_history_t histories[] = {{1000000, 0, 0},
                                              {0, 0, 0},
                                              {5, 0, 0},
                                              {1000000, 1000, 0},
                                              {1000000, 0, 3000}};
    static const apr_size_t sizes[] = {0, 1, 100, 1990, 2200, 3900};
    static const char *const owners[] = {"a", "b", "c", NULL};
    apr_pool_t *pool = test_pool();
    sse_store_t *store = shared("sums", "2m", "40%", pool);
    unsigned int seed = 7;
    char name[16], idempotency[16];
    channel_t channel = {NULL, name};
    sse_append_t a;
    sse_id_t id;
    int i, more, failed = 0;

    for (i = 0; i < 20000; ++i) {
        channel.owner = owners[rand_r(&seed) % 4];
        snprintf(name, sizeof(name), "%d", rand_r(&seed) % 40);
        snprintf(idempotency, sizeof(idempotency), "%d", rand_r(&seed) % 50);
        a = item("", "", rand_r(&seed) % 3 ? NULL : idempotency,
                 &histories[rand_r(&seed) % 5]);
        a.channel = key_of(channel);
        a.fields.data.ptr = block;
        a.fields.data.len = sizes[rand_r(&seed) % 6];
        failed += sse_store_append(store, &a, 1) != APR_SUCCESS;
        if (!(rand_r(&seed) % 20)) {
            failed += sse_store_forget(store, a.channel, &id) != APR_SUCCESS;
        }
        if (!(rand_r(&seed) % 500)) {
            sse_store_tidy(
                store, apr_time_now() + apr_time_from_sec(rand_r(&seed) % 15),
                &more);
        }
        if (i % 4000 == 3999) {
            is_sound("sums", "the sums are right");
        }
    }
    is_num(failed, 0, "whatever was done");
    tidy_all(store, apr_time_now() + apr_time_from_sec(3600));
    is_sound("sums", "and in the end");
    apr_pool_destroy(pool);
}

int main(void)
{
    apr_pool_t *pool;

    test_begin();
    memset(block, 'x', sizeof(block));
    test_lingering("other", "a.example");
    test_lingering("same", "b.example");
    test_greedy("greedy", "a.example");
    test_greedy("own", "b.example");
    test_many_channels();
    test_bound();
    test_unbound();
    pool = test_pool();
    test_large(shared("bound-large", "32m", "25%", pool), "bound-large", 1);
    test_large(test_store("large", "16m", pool), "large", 2);
    apr_pool_destroy(pool);
    test_sums();
    return test_end();
}
