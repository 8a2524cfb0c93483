/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The seam between a store and its provider, shown by one that stands in this
 * file only: it keeps nothing but a count of records, to which a thread of its
 * own adds as a follower of another machine would. */

#include <pthread.h>

#include "store.h"
#include "store/sse_store_provider.h"

typedef struct {
    sse_store_conf_t base;
    const char *dir;
    int fails;
} null_conf_t;

typedef struct {
    sse_store_t base;
    const null_conf_t *conf;
    pthread_t follower;
    sse_id_t last; /* atomic */
    int publishers;
} null_store_t;

static const char *called = ""; /* the last function of the table */

static null_store_t *of(sse_store_t *store) { return (null_store_t *)store; }

static const char *configure(sse_store_conf_t **out, apr_pool_t *pool,
                             const char *dir, int argc, const char *const *argv)
{
    null_conf_t *conf = apr_pcalloc(pool, sizeof(*conf));

    conf->dir = dir;
    conf->fails = argc == 1 && !strcmp(argv[0], "fails=yes");
    *out = &conf->base;
    return argc && !conf->fails ? "allowed is fails=yes" : NULL;
}

static apr_status_t prepare(const sse_store_conf_t *conf, apr_uid_t uid,
                            apr_gid_t gid, const char **notice,
                            apr_pool_t *pool)
{
    *notice = "prepared";
    return uid == 1 && gid == 2 ? APR_SUCCESS : APR_EGENERAL;
}

static const char *test(const sse_store_conf_t *conf, apr_uid_t uid,
                        apr_gid_t gid, apr_pool_t *pool)
{
    return uid == 1 && gid == 2 ? "tested" : NULL;
}

static const char *remark(const sse_store_conf_t *conf, apr_pool_t *pool)
{
    return "remarked";
}

static const char *private_dir(const sse_store_conf_t *conf)
{
    return ((const null_conf_t *)conf)->dir;
}

/* No request: a record that another machine has sent. */
static void *follow_other(void *baton)
{
    null_store_t *store = baton;

    __atomic_fetch_add(&store->last, 1, __ATOMIC_SEQ_CST);
    sse_store_announce(&store->base);
    return NULL;
}

static apr_status_t finish(void *baton)
{
    return pthread_join(((null_store_t *)baton)->follower, NULL);
}

static apr_status_t open_null(sse_store_t **out, const sse_store_t *base,
                              const sse_store_conf_t *conf, apr_pool_t *pool)
{
    null_store_t *store = apr_pcalloc(pool, sizeof(*store));

    store->base = *base;
    store->conf = (const null_conf_t *)conf;
    apr_pool_cleanup_register(pool, store, finish, apr_pool_cleanup_null);
    *out = &store->base;
    return pthread_create(&store->follower, NULL, follow_other, store);
}

/* What has an idempotency key was there already. */
static apr_status_t append(sse_store_t *store, sse_append_t *items, int n)
{
    int i;

    called = "append";
    for (i = 0; i < n; ++i) {
        items[i].duplicate = items[i].idempotency.len != 0;
        items[i].id = __atomic_add_fetch(&of(store)->last, !items[i].duplicate,
                                         __ATOMIC_SEQ_CST);
    }
    return of(store)->conf->fails ? SSE_STORE_EGONE : APR_SUCCESS;
}

static apr_status_t forget(sse_store_t *store, sse_slice_t channel,
                           sse_id_t *id)
{
    called = "forget";
    *id = __atomic_add_fetch(&of(store)->last, 1, __ATOMIC_SEQ_CST);
    return of(store)->conf->fails ? SSE_STORE_EGONE : APR_SUCCESS;
}

static apr_status_t last(sse_store_t *store, sse_id_t *id)
{
    called = "last";
    *id = __atomic_load_n(&of(store)->last, __ATOMIC_SEQ_CST);
    return APR_SUCCESS;
}

static apr_status_t look(sse_store_t *store, const sse_slice_t *channels, int n,
                         sse_id_t after, sse_position_t *position)
{
    called = "look";
    position->last = after;
    return APR_SUCCESS;
}

static apr_status_t tail(sse_store_t *store, const sse_slice_t *channels, int n,
                         apr_int64_t count, sse_id_t *after)
{
    called = "tail";
    *after = (sse_id_t)count;
    return APR_SUCCESS;
}

static apr_status_t history(sse_store_t *store, const sse_slice_t *channels,
                            int n, sse_id_t after, sse_id_t upto,
                            apr_size_t max_bytes, sse_store_fn *fn, void *baton,
                            sse_id_t *known, sse_id_t *next, int *gap)
{
    sse_record_t record = {0};

    called = "history";
    *next = upto;
    return fn(baton, &record);
}

static apr_status_t follow(sse_store_t *store, sse_id_t after, int max,
                           sse_store_fn *fn, void *baton, sse_id_t *next,
                           int *missing)
{
    sse_record_t record = {0};

    called = "follow";
    *next = after + 1;
    *missing = 0;
    return fn(baton, &record);
}

static apr_status_t tidy(sse_store_t *store, apr_time_t now, int *more)
{
    called = "tidy";
    *more = 1;
    return APR_SUCCESS;
}

static void limit(sse_store_t *store, int publishers,
                  sse_store_stay_fn *may_stay)
{
    of(store)->publishers = publishers;
}

static const char *report(sse_store_t *store) { return "reported"; }

static const char *advice(apr_status_t status)
{
    return status == SSE_STORE_EGONE ? "find it" : "see to it";
}

static const char *answer(apr_status_t status)
{
    return status == SSE_STORE_EGONE ? "it is gone" : "it fails";
}

static const sse_store_provider_t null_provider = {
    .name = "null",
    .configure = configure,
    .prepare = prepare,
    .test = test,
    .remark = remark,
    .private_dir = private_dir,
    .open = open_null,
    .append = append,
    .forget = forget,
    .last = last,
    .look = look,
    .tail = tail,
    .history = history,
    .follow = follow,
    .tidy = tidy,
    .limit = limit,
    .report = report,
    .advice = advice,
    .answer = answer,
};

/* A provider that is only added: before the configuration is read. */
__attribute__((constructor)) static void add(void)
{
    sse_store_register(&null_provider);
}

static void test_registry(apr_pool_t *pool)
{
    static sse_store_provider_t other;
    const char *argv[] = {"null", "fails=yes", "x=y"}, *none = "none", *wrong;
    sse_store_conf_t *conf;

    other.name = "null";
    is_num(sse_store_register(&null_provider), APR_SUCCESS, "again is fine");
    is_num(sse_store_register(&other), APR_EEXIST, "another of its name not");

    ok(!sse_store_configure(&conf, pool, test_dir, 2, argv), "found by name");
    ok(conf->provider == &null_provider, "and the settings know it");
    wrong = sse_store_configure(&conf, pool, test_dir, 3, argv);
    is_str(wrong, "null: allowed is fails=yes", "what it refuses");
    wrong = sse_store_configure(&conf, pool, test_dir, 1, &none);
    is_str(wrong,
           "'none' is not allowed; allowed is the store's name: lmdb or "
           "null [key=value ...]",
           "a name that is not there");
    ok(!sse_store_configure(&conf, pool, test_dir, 0, NULL), "without a name");
    is_str(conf->provider->name, "lmdb", "there is a default");
}

static void test_parent(const sse_store_conf_t *conf, apr_pool_t *pool)
{
    const char *notice;

    is_num(sse_store_prepare(conf, 1, 2, &notice, pool), APR_SUCCESS,
           "prepare");
    is_str(notice, "prepared", "with a notice");
    is_str(sse_store_test(conf, 1, 2, pool), "tested", "test");
    is_str(sse_store_remark(conf, pool), "remarked", "remark");
    is_str(sse_store_private_dir(conf), test_dir, "private_dir");
}

static int announced; /* atomic */

static void announce(void)
{
    __atomic_fetch_add(&announced, 1, __ATOMIC_SEQ_CST);
}

static int has_announced(void)
{
    return __atomic_exchange_n(&announced, 0, __ATOMIC_SEQ_CST);
}

static void test_writers(sse_store_t *store)
{
    sse_append_t items[2];
    sse_id_t id;

    items[0] = item("a", "1", "key", &keep_all);
    items[1] = item("b", "2", NULL, &keep_all);
    is_num(sse_store_append(store, items, 2), APR_SUCCESS, "append");
    ok(items[0].duplicate && items[1].id == 2, "is the provider's");
    is_num(has_announced(), 1, "and announced, once");
    is_num(sse_store_append(store, items, 1), APR_SUCCESS, "a duplicate");
    is_num(has_announced(), 0, "is not");
    is_num(sse_store_forget(store, text("a"), &id), APR_SUCCESS, "forget");
    ok(id == 3 && has_announced() == 1, "is announced, too");

    called = "";
    items[1].history = NULL;
    is_num(sse_store_append(store, items, 2), APR_EINVAL, "an unfit event");
    ok(!items[0].id && !items[0].duplicate, "is told of");
    is_num(sse_store_forget(store, text(""), &id), APR_EINVAL, "a channel");
    is_str(called, "", "and no provider sees it");
    is_num(has_announced(), 0, "nor anybody else");
}

static void test_readers(sse_store_t *store)
{
    sse_slice_t keys[] = {text("a"), text("")};
    sse_position_t position;
    seen_t seen = {{0}, 0, 0, 0, 1, 0};
    int gap = 1, missing = 1, more = 0;
    sse_id_t id = 0;

    ok(!sse_store_last(store, &id) && id == 3, "last");
    ok(!sse_store_look(store, keys, 1, 7, &position) && position.last == 7,
       "look");
    ok(!sse_store_tail(store, keys, 1, 8, &id) && id == 8, "tail");
    is_num(
        sse_store_history(store, keys, 1, 1, 9, 1, see, &seen, NULL, &id, &gap),
        APR_EINTR, "history, and what the callback says");
    ok(id == 9 && !gap, "with its answers");
    is_num(sse_store_follow(store, 4, 1, see, &seen, &id, &missing), APR_EINTR,
           "follow");
    ok(id == 5 && !missing, "with its answers");
    ok(!sse_store_tidy(store, 0, &more) && more, "tidy");

    ok(sse_store_look(store, keys, 2, 7, &position) == APR_EINVAL &&
           sse_store_tail(store, keys, 2, 8, &id) == APR_EINVAL &&
           sse_store_history(store, keys, 2, 1, 9, 1, see, &seen, NULL, &id,
                             &gap) == APR_EINVAL,
       "a channel that is none is refused");
    is_str(called, "tidy", "before the provider is asked");
}

static void test_no_presence(sse_store_t *store)
{
    sse_presence_t change = {.channel = text("a"), .stream = text("s")};
    apr_uint64_t streams = 1, users = 1;
    sse_id_t id = 1;

    called = "";
    change.outcome = SSE_PRESENCE_CHANGED;
    is_num(sse_store_presence_change(store, &change, 1), APR_ENOTIMPL,
           "a provider without presence says so");
    is_num(change.outcome, SSE_PRESENCE_NOTHING, "nothing came of it");
    is_num(sse_store_presence_list(store, text("a"), 1, NULL, NULL, &id,
                                   &streams, &users),
           APR_ENOTIMPL, "nor is there a list");
    ok(!id && !streams && !users, "with nothing in it");
    ok(sse_store_presence_owners(store, NULL, NULL) == APR_ENOTIMPL &&
           sse_store_presence_of(store, text("o"), 1, NULL, NULL) ==
               APR_ENOTIMPL &&
           sse_store_presence_due(store, 0, 1, NULL, NULL) == APR_ENOTIMPL,
       "nor of children");
    is_str(called, "", "and no provider sees it");
}

/* As for a follower of another machine: no request is concerned. */
static void test_follower(sse_store_t *store)
{
    int i, times = 0;
    sse_id_t id = 0;

    for (i = 0; i < 5000 && !(times = has_announced()); ++i) {
        usleep(1000);
    }
    is_num(times, 1, "a thread of the provider's announces what it adds");
    ok(!sse_store_last(store, &id) && id == 1, "which is there then");
}

static void test_failing(sse_store_conf_t *conf)
{
    apr_pool_t *pool = test_pool();
    sse_append_t one = item("a", "1", NULL, &keep_all);
    sse_store_t *store = NULL;
    sse_id_t id;

    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS,
           "nobody need be told");
    is_num(sse_store_append(store, &one, 1), SSE_STORE_EGONE, "a failure");
    ok(!one.id, "has no id");
    is_num(sse_store_forget(store, text("a"), &id), SSE_STORE_EGONE, "nor");
    is_str(sse_store_advice(store, SSE_STORE_EGONE), "find it", "advice");
    is_str(sse_store_answer(store, SSE_STORE_EGONE), "it is gone", "answer");
    apr_pool_destroy(pool);
}

int main(void)
{
    static const char *const argv[] = {"null", "fails=yes"};
    sse_store_conf_t *conf = NULL;
    sse_store_t *store = NULL;
    apr_pool_t *pool;

    test_begin();
    pool = test_pool();
    test_registry(pool);
    sse_store_configure(&conf, pool, test_dir, 1, argv);
    test_parent(conf, pool);
    is_num(sse_store_open(&store, conf, announce, pool), APR_SUCCESS, "open");
    test_follower(store);
    test_writers(store);
    test_readers(store);
    test_no_presence(store);
    sse_store_limit(store, 5, NULL);
    is_num(of(store)->publishers, 5, "limit");
    is_str(sse_store_report(store), "reported", "report");
    sse_store_configure(&conf, pool, test_dir, 2, argv);
    test_failing(conf);
    apr_pool_destroy(pool);
    return test_end();
}
