/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The store and many processes: one order for all, nothing twice, and nobody's
 * death hurts the others. */

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "store.h"

#define PROCESSES 4
#define THREADS   2
#define EACH      500
#define KILLS     100

/** Shared by all processes of this test. */
typedef struct {
    sse_id_t ids[PROCESSES * THREADS][EACH];
    int duplicates[PROCESSES * THREADS];
    sse_id_t acknowledged; /**< atomic */
} shared_t;

static shared_t *shared;
static int each = EACH; /**< a disk may take its time */

typedef struct {
    sse_store_t *store;
    int who;
    int failed;
    void *(*work)(void *);
} worker_t;

static void in_threads(sse_store_t *store, int process, void *(*work)(void *),
                       int *failed)
{
    pthread_t thread[THREADS];
    worker_t worker[THREADS];
    int i;

    for (i = 0; i < THREADS; ++i) {
        worker[i].store = store;
        worker[i].who = process * THREADS + i;
        worker[i].failed = 0;
        pthread_create(&thread[i], NULL, work, &worker[i]);
    }
    for (i = 0; i < THREADS; ++i) {
        pthread_join(thread[i], NULL);
        *failed |= worker[i].failed;
    }
}

/* In processes, each with a store of its own, so many threads each.
 * @return whether all went well */
static int in_processes(const sse_store_conf_t *conf, void *(*work)(void *))
{
    pid_t pid[PROCESSES];
    int i, failed = 0;

    for (i = 0; i < PROCESSES; ++i) {
        if (!(pid[i] = fork())) {
            apr_pool_t *pool = test_pool();
            sse_store_t *store;

            if (sse_store_open(&store, conf, NULL, pool)) {
                _exit(9);
            }
            in_threads(store, i, work, &failed);
            apr_pool_destroy(pool);
            _exit(failed);
        }
    }
    for (i = 0; i < PROCESSES; ++i) {
        failed |= wait_for(pid[i]) != 0;
    }
    return !failed;
}

/* However long others on a slow machine have the lock. */
static apr_status_t append_one(worker_t *worker, sse_append_t *a)
{
    apr_status_t rv;
    int tries = 0;

    do {
        rv = sse_store_append(worker->store, a, 1);
    } while (rv == SSE_STORE_EBUSY && ++tries < 20);
    return rv;
}

static void *append_many(void *data)
{
    static const sse_history_t some = {50, 0, 0};
    worker_t *worker = data;
    char channel[32], text_of[32];
    sse_append_t a;
    int i;

    for (i = 0; i < each; ++i) {
        snprintf(channel, sizeof(channel), "channel-%d", i % 7);
        snprintf(text_of, sizeof(text_of), "%d:%d", worker->who, i);
        a = item(channel, text_of, NULL, &some);
        worker->failed |= append_one(worker, &a) != APR_SUCCESS || !a.id;
        shared->ids[worker->who][i] = a.id;
    }
    return NULL;
}

typedef struct {
    sse_id_t expect;
    int next_of[PROCESSES * THREADS]; /**< each publisher's own order */
    int wrong;
    apr_uint64_t count;
} order_t;

static apr_status_t check_order(void *baton, const sse_record_t *record)
{
    order_t *order = baton;
    char copy[32];
    int who, i;

    snprintf(copy, sizeof(copy), "%.*s", (int)record->fields.data.len,
             record->fields.data.ptr);
    order->wrong |= record->id != order->expect++ ||
                    sscanf(copy, "%d:%d", &who, &i) != 2 ||
                    order->next_of[who]++ != i;
    order->count++;
    return APR_SUCCESS;
}

/* Read the log while it is written, to the end. @return whether all was seen */
static int follow_all(sse_store_t *store, sse_id_t start, apr_uint64_t total)
{
    order_t order;
    sse_id_t next = start;
    int missing, wrong = 0;
    apr_time_t since = apr_time_now(); /* the last event came */
    apr_uint64_t count = 0;

    memset(&order, 0, sizeof(order));
    order.expect = start + 1;
    while (order.count < total &&
           apr_time_now() - since < apr_time_from_sec(60)) {
        wrong |= sse_store_follow(store, next, 64, check_order, &order, &next,
                                  &missing) != APR_SUCCESS ||
                 missing || next + 1 != order.expect;
        if (order.count > count) {
            count = order.count;
            since = apr_time_now();
        }
    }
    return !wrong && !order.wrong && order.count == total;
}

static void test_order(const char *sync)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf =
        test_conf(pool, apr_pstrcat(pool, "order-", sync, NULL), "64m", sync);
    apr_uint64_t total = PROCESSES * THREADS * (apr_uint64_t)each;
    const char *notice;
    sse_store_t *store;
    sse_id_t start;
    pid_t reader[2];
    int i, j, right = 1;

    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "prepare");
    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS, "open");
    start = last_of(store);
    for (i = 0; i < 2; ++i) {
        if (!(reader[i] = fork())) {
            apr_pool_t *own = test_pool();

            if (sse_store_open(&store, conf, NULL, own)) {
                _exit(9);
            }
            right = follow_all(store, start, total);
            apr_pool_destroy(own);
            _exit(!right);
        }
    }
    ok(in_processes(conf, append_many), "all processes append");
    is_num(wait_for(reader[0]), 0, "a reader sees all, once, in order");
    is_num(wait_for(reader[1]), 0, "and so does another");
    is_num(last_of(store), start + total, "no id is left out");
    for (i = 0; i < PROCESSES * THREADS; ++i) {
        for (j = 1; j < each; ++j) {
            right &= shared->ids[i][j] > shared->ids[i][j - 1];
        }
    }
    ok(right, "each publisher's ids grow");
    apr_pool_destroy(pool);
}

static void *append_same(void *data)
{
    worker_t *worker = data;
    char key[32];
    sse_append_t a;
    int i;

    for (i = 0; i < EACH; ++i) {
        snprintf(key, sizeof(key), "key-%d", i);
        a = item("c", key, key, &keep_all);
        worker->failed |= append_one(worker, &a) != APR_SUCCESS;
        shared->ids[worker->who][i] = a.id;
        shared->duplicates[worker->who] += a.duplicate;
    }
    return NULL;
}

static void test_duplicates(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "duplicates", "64m", "off");
    const char *notice;
    sse_store_t *store;
    sse_id_t start;
    int i, same = 1, duplicates = 0;

    test_prepare(conf, &notice, pool);
    sse_store_open(&store, conf, NULL, pool);
    start = last_of(store);
    memset(shared, 0, sizeof(*shared));
    ok(in_processes(conf, append_same), "all with the same keys");
    is_num(last_of(store), start + EACH, "each key once");
    for (i = 0; i < PROCESSES * THREADS; ++i) {
        same &= !memcmp(shared->ids[0], shared->ids[i], sizeof(shared->ids[0]));
        duplicates += shared->duplicates[i];
    }
    ok(same, "all get the same ids");
    is_num(duplicates, (PROCESSES * THREADS - 1) * EACH,
           "all but one are told that it is a duplicate");
    apr_pool_destroy(pool);
}

static apr_status_t slow(void *baton, const sse_record_t *record)
{
    usleep(200);
    return APR_SUCCESS;
}

static void *read_for_ever(void *data)
{
    worker_t *worker = data;
    sse_slice_t key = text("c");
    sse_id_t next;
    int gap;

    for (;;) {
        sse_store_history(worker->store, &key, 1, 0, ~(sse_id_t)0, 1000, slow,
                          NULL, NULL, &next, &gap);
    }
    return NULL;
}

/* Until killed: append, in threads, with somebody reading. */
static void append_for_ever(const sse_store_conf_t *conf, unsigned int seed)
{
    static const sse_history_t some = {20, 0, 0};
    apr_pool_t *pool = test_pool();
    pthread_t thread;
    worker_t worker;
    sse_append_t a[5];
    apr_status_t rv;
    sse_id_t seen;
    int i, more;

    if (sse_store_open(&worker.store, conf, NULL, pool)) {
        _exit(9);
    }
    pthread_create(&thread, NULL, read_for_ever, &worker);
    for (;; ++seed) {
        for (i = 0; i < 5; ++i) {
            a[i] = item("c", "some data which is kept for a while",
                        apr_itoa(pool, (int)seed * 5 + i), &some);
            if (i == 3) {
                a[i].channel = text("d");
            }
        }
        if (is_held_up(rv = sse_store_append(worker.store, a, 5))) {
            continue;
        }
        if (rv) {
            _exit(8);
        }
        seen = __atomic_load_n(&shared->acknowledged, __ATOMIC_SEQ_CST);
        while (seen < a[4].id && !__atomic_compare_exchange_n(
                                     &shared->acknowledged, &seen, a[4].id, 0,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        }
        if (seed % 64 == 0 &&
            (rv = sse_store_tidy(worker.store,
                                 apr_time_now() + apr_time_from_sec(20),
                                 &more)) &&
            !is_held_up(rv)) {
            _exit(7);
        }
    }
}

typedef struct {
    sse_id_t expect;
    int holes;
} whole_t;

static apr_status_t check_whole(void *baton, const sse_record_t *record)
{
    whole_t *whole = baton;

    whole->holes += whole->expect && record->id != whole->expect;
    whole->expect = record->id + 1;
    return APR_SUCCESS;
}

static void test_kills(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "kills", "16m", "off");
    const char *notice, *noticed = NULL;
    whole_t whole = {0, 0};
    sse_store_t *store;
    pid_t pid[2];
    sse_id_t start, next;
    int round, i, early = 0, failed = 0, lost = 0, missing;

    test_prepare(conf, &notice, pool);
    shared->acknowledged = 0;
    for (round = 0; round < KILLS; ++round) {
        for (i = 0; i < 2; ++i) {
            if (!(pid[i] = fork())) {
                append_for_ever(conf, (unsigned int)(round * 2 + i) * 100000);
            }
        }
        /* Any moment: while it opens, appends, tidies, reads. */
        usleep((unsigned int)(round * 7919 % 23) * 500);
        /* However slow the machine is, in one round they have come so far. */
        for (i = 0; round == KILLS - 1 && i < 10000 &&
                    !__atomic_load_n(&shared->acknowledged, __ATOMIC_SEQ_CST);
             ++i) {
            usleep(1000);
        }
        for (i = 0; i < 2; ++i) {
            kill(pid[i], SIGKILL);
            early |= wait_for(pid[i]) != -SIGKILL;
            usleep(200);
        }
        failed |= test_prepare(conf, &notice, pool) != APR_SUCCESS;
        noticed = notice ? notice : noticed;
    }
    is_num(early, 0, "all lived until they were killed");
    is_num(failed, 0, "prepare is content every time");
    ok(!noticed, "and the store sound");
    printf("# %s\n", noticed ? noticed : "no notice");
    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS, "open");
    lost = last_of(store) < shared->acknowledged;
    is_num(lost, 0, "nothing acknowledged was lost");
    ok(shared->acknowledged > 0, "there was something");
    start = last_of(store);
    for (i = 0; i < 100; ++i) {
        failed |= !publish(store, "c", "x", &keep_all);
    }
    sse_store_follow(store, start, 1000, check_whole, &whole, &next, &missing);
    ok(!failed && !missing && !whole.holes && next == start + 100,
       "and it goes on without a hole");
    ok(tidy_all(store, apr_time_now() + apr_time_from_sec(20)) > 0, "tidy too");
    apr_pool_destroy(pool);
}

/* A reader that died inside a read transaction holds no pages for ever. */
static void test_dead_reader(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "dead", "1m", "off");
    char data[2000];
    const char *notice;
    sse_store_t *store;
    pid_t pid;
    int i, failed = 0;

    memset(data, 'x', sizeof(data));
    data[sizeof(data) - 1] = '\0';
    test_prepare(conf, &notice, pool);
    sse_store_open(&store, conf, NULL, pool);
    for (i = 0; i < 10; ++i) {
        publish(store, "c", data, &keep_all);
    }
    if (!(pid = fork())) {
        worker_t worker;

        if (sse_store_open(&worker.store, conf, NULL, test_pool())) {
            _exit(9);
        }
        read_for_ever(&worker);
    }
    usleep(30000);
    kill(pid, SIGSTOP);
    kill(pid, SIGKILL);
    wait_for(pid);
    for (i = 0; i < 2000; ++i) {
        failed |= !publish(store, "c", data, &keep_all);
    }
    is_num(failed, 0, "a dead reader's pages are given out again");
    apr_pool_destroy(pool);
}

/* A second generation has a larger store; the first lives on with it. */
static void test_grown(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *small = test_conf(pool, "grown", "1m", "off");
    sse_store_conf_t *large = test_conf(pool, "grown", "64m", "off");
    const char *notice;
    sse_store_t *store;
    pid_t pid;
    sse_id_t start;
    char data[2000];
    int i, failed = 0;

    memset(data, 'x', sizeof(data));
    data[sizeof(data) - 1] = '\0';
    test_prepare(small, &notice, pool);
    sse_store_open(&store, small, NULL, pool);
    start = publish(store, "c", data, &keep_all);
    if (!(pid = fork())) {
        sse_store_t *own;

        if (sse_store_open(&own, large, NULL, test_pool())) {
            _exit(9);
        }
        for (i = 0; i < 3000; ++i) {
            failed |= !publish(own, "d", data, &keep_all);
        }
        _exit(failed);
    }
    is_num(wait_for(pid), 0,
           "the new generation fills more than the old's map");
    is_num(last_of(store), start + 3000, "the old one sees it");
    is_num(gap_of(store, "d", start), 0, "all of it");
    ok(publish(store, "c", data, &keep_all), "and can publish");
    apr_pool_destroy(pool);
}

static void *append_a_lot(void *data)
{
    worker_t *worker = data;
    sse_append_t a;
    int i;

    /* One of them asks too much now and then; the others must not notice. */
    for (i = 0; i < EACH; ++i) {
        a = item("c", "x", NULL, &keep_all);
        if (worker->who % 4 == 3 && i % 10 == 0) {
            a.idempotency.ptr = "x";
            a.idempotency.len = SSE_STORE_IDEMPOTENCY_MAX + 1;
            worker->failed |= append_one(worker, &a) != APR_EINVAL;
        }
        else {
            worker->failed |= append_one(worker, &a) != APR_SUCCESS;
        }
        shared->ids[worker->who][i] = a.id;
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const sse_id_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void test_threads(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "threads", "16m", "on");
    sse_store_t *store = test_open(conf, pool);
    sse_id_t start = last_of(store), *ids = &shared->ids[0][0];
    pthread_t thread[8];
    worker_t worker[8];
    int i, failed = 0, total = 8 * EACH, refused = 2 * EACH / 10, right = 1;

    memset(shared, 0, sizeof(*shared));
    for (i = 0; i < 8; ++i) {
        worker[i].store = store;
        worker[i].who = i;
        worker[i].failed = 0;
        pthread_create(&thread[i], NULL, append_a_lot, &worker[i]);
    }
    for (i = 0; i < 8; ++i) {
        pthread_join(thread[i], NULL);
        failed |= worker[i].failed;
    }
    is_num(failed, 0, "threads that share their commits");
    is_num(last_of(store), start + (sse_id_t)(total - refused),
           "each in its own right");
    qsort(ids, (size_t)total, sizeof(*ids), compare);
    for (i = refused; i < total; ++i) {
        right &= ids[i] == start + 1 + (sse_id_t)(i - refused);
    }
    ok(right, "every id once");
    apr_pool_destroy(pool);
}

int main(void)
{
    test_begin();
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return 1;
    }
    test_order("off");
    each = EACH / 10;
    test_order("on");
    each = EACH;
    test_duplicates();
    test_threads();
    test_kills();
    test_dead_reader();
    test_grown();
    return test_end();
}
