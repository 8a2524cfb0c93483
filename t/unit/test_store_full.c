/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The store without room: a full map gives up what there is most of, a full
 * disk says so and recovers, and no reader fails. */

#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "store.h"
#include "store/lmdb/sse_lmdb.h"

#define TRIES 5

static char block[900000];

/* Data of that many bytes. */
static sse_append_t large(const char *channel, apr_size_t size)
{
    sse_append_t a = item(channel, "", NULL, &keep_all);

    a.fields.data.ptr = block;
    a.fields.data.len = size;
    return a;
}

static apr_status_t count_it(void *baton, const sse_record_t *record)
{
    ++*(int *)baton;
    return record->fields.data.len && record->fields.data.ptr[0] != 'x'
               ? APR_EINVAL
               : APR_SUCCESS;
}

/* The whole log, and one channel's history, can be read. @return records */
static int readable(sse_store_t *store, const char *channel)
{
    sse_slice_t key = text(channel);
    sse_id_t next, last = last_of(store);
    int missing, gap, log = 0, kept = 0;

    if (sse_store_follow(store, last - 200000, 1000000, count_it, &log, &next,
                         &missing) ||
        next != last ||
        sse_store_history(store, &key, 1, 0, last, 1 << 30, count_it, &kept,
                          NULL, &next, &gap) ||
        next != last) {
        return -1;
    }
    return log;
}

/* An ever-running publisher in the smallest store, events of all sizes. */
static void test_ever(void)
{
    static const apr_size_t sizes[] = {0,    10,   100,   1000, 1990,
                                       3000, 5000, 20000, 60000};
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("ever", "1m", pool);
    sse_append_t a;
    sse_id_t start = last_of(store), last;
    int i, refused = 0, unread = 0;
    struct stat st;
    char channel[32];

    for (i = 0; i < 10000; ++i) {
        snprintf(channel, sizeof(channel), "channel-%d", i % 37);
        a = large(channel, sizes[(i * 7) % 9]);
        refused += sse_store_append(store, &a, 1) != APR_SUCCESS;
        if (i % 500 == 0) {
            unread += readable(store, "channel-1") < 1;
        }
    }
    is_num(refused, 0, "a full store takes every event");
    is_num(unread, 0, "and is readable all the time");
    is_num(last_of(store), start + 10000, "no id was lost");
    is_num(stat(apr_pstrcat(pool, test_dir, "/ever/data.mdb", NULL), &st), 0,
           "its file");
    ok(st.st_size <= 1 << 20, "is no larger than it may be");
    last = last_of(store);
    is_num(gap_of(store, "channel-1", start + 1), 1, "what went is a gap");
    is_num(gap_of(store, "channel-1", last), 0, "the end is not");
    apr_pool_destroy(pool);
}

static void test_too_large(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("large", "1m", pool);
    sse_append_t a[600];
    sse_id_t last;
    int i, failed = 0;

    for (i = 0; i < 100; ++i) {
        failed |= !publish(store, "small", "x", &keep_all);
    }
    last = last_of(store);
    a[0] = large("c", 190000);
    is_num(sse_store_append(store, a, 1), APR_SUCCESS, "one that just fits");
    a[0] = large("c", 900000);
    is_num(sse_store_append(store, a, 1), SSE_STORE_ESIZE, "one that does not");
    is_num(a[0].id, 0, "has no id");
    for (i = 0; i < 600; ++i) {
        a[i] = large("c", 1500);
    }
    is_num(sse_store_append(store, a, 600), SSE_STORE_ESIZE,
           "a batch that does not");
    is_num(last_of(store), last + 1, "nothing of them is there");
    ok(strlen(history_of(store, "small", 0, NULL)) == 200,
       "and nothing was given up for them");
    is_num(sse_store_append(store, a, 100), APR_SUCCESS, "a smaller batch");
    for (i = 0; i < 50; ++i) {
        failed |= sse_store_append(store, a, 100) != APR_SUCCESS;
    }
    is_num(failed, 0, "again and again");
    a[0] = large("c", 190000);
    for (i = 0; i < 50; ++i) {
        failed |= sse_store_append(store, a, 1) != APR_SUCCESS;
        failed |= !publish(store, "small", "x", &keep_all);
    }
    is_num(failed, 0, "large ones between small ones");
    ok(readable(store, "small") > 0, "readable");
    apr_pool_destroy(pool);
}

/* Of one owner's channels the largest gives up its oldest. */
static void test_fair(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("fair", "1m", pool);
    sse_append_t a = item("large", "x", "key", &keep_all);
    sse_id_t first, before;
    int i, failed = 0;

    publish(store, "small", "x", &keep_all);
    sse_store_append(store, &a, 1);
    first = a.id;
    for (i = 0; i < 2000; ++i) {
        a = large("large", 1000);
        failed |= sse_store_append(store, &a, 1) != APR_SUCCESS;
    }
    before = a.id;
    is_num(failed, 0, "all were taken");
    is_str(history_of(store, "small", 0, NULL), "x ", "the small one stays");
    is_num(gap_of(store, "small", first - 2), 0, "without a gap");
    is_num(gap_of(store, "large", first), 1, "the large one has one");
    is_num(gap_of(store, "large", before - 1), 0, "before its newest");
    a = item("large", "x", "key", &keep_all);
    sse_store_append(store, &a, 1);
    is_num(a.duplicate, 0, "what went took its key with it");
    tidy_all(store, apr_time_now() + apr_time_from_sec(3600));
    ok(readable(store, "large") > 50, "the newest stay");
    apr_pool_destroy(pool);
}

/* Many publishers in a small store, one of them asking too much. */
static void *publish_sizes(void *data)
{
    sse_store_t *store = data;
    sse_append_t a;
    apr_uintptr_t failed = 0;
    int i;

    for (i = 0; i < 500; ++i) {
        a = large("c", (apr_size_t)(i * 37 % 4000));
        failed += sse_store_append(store, &a, 1) != APR_SUCCESS;
        if (i % 50 == 0) {
            a = large("c", 100000);
            failed += sse_store_append(store, &a, 1) != APR_SUCCESS;
        }
    }
    return (void *)failed;
}

static void test_threads(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("threads", "1m", pool);
    sse_id_t start = last_of(store);
    pthread_t thread[6];
    void *result;
    int i, failed = 0;

    for (i = 0; i < 6; ++i) {
        pthread_create(&thread[i], NULL, publish_sizes, store);
    }
    for (i = 0; i < 6; ++i) {
        pthread_join(thread[i], &result);
        failed += result != NULL;
    }
    is_num(failed, 0, "threads in a full store");
    is_num(last_of(store), start + 6 * 510, "every event");
    ok(readable(store, "c") > 0, "readable");
    apr_pool_destroy(pool);
}

static apr_status_t slow(void *baton, const sse_record_t *record)
{
    usleep(200);
    return APR_SUCCESS;
}

/** One that reads all the time. */
typedef struct {
    sse_store_t *store;
    int stop;                    /**< atomic */
    apr_interval_time_t longest; /**< that one reading took */
} reader_t;

static void *read_slowly(void *data)
{
    reader_t *reader = data;
    sse_slice_t key = text("kept");
    apr_interval_time_t took;
    apr_time_t began;
    sse_id_t next;
    int gap;

    while (!__atomic_load_n(&reader->stop, __ATOMIC_SEQ_CST)) {
        began = apr_time_now();
        sse_store_history(reader->store, &key, 1, 0, ~(sse_id_t)0, 1 << 20,
                          slow, NULL, NULL, &next, &gap);
        took = apr_time_now() - began;
        reader->longest = took > reader->longest ? took : reader->longest;
    }
    return NULL;
}

/* @return the longest time that the reader took at once */
static apr_interval_time_t publish_beside(sse_store_t *store, int *failed)
{
    static const sse_history_t few = {5, 0, 0};
    reader_t reader = {store, 0, 0};
    pthread_t thread;
    int i, more;

    *failed = 0;
    for (i = 0; i < 20; ++i) {
        publish(store, "kept", "x", &keep_all);
    }
    pthread_create(&thread, NULL, read_slowly, &reader);
    for (i = 0; i < 2000; ++i) {
        *failed |= !publish(store, "other", "x", &few);
        if (i % 100 == 0) {
            *failed |=
                sse_store_tidy(store, apr_time_now() + apr_time_from_sec(20),
                               &more) != APR_SUCCESS;
        }
    }
    __atomic_store_n(&reader.stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    return reader.longest;
}

/* Readers that take their time hold pages: publishers wait for them rather
 * than give up what is kept.  Not for long: a reader that the machine held up
 * does not count. */
static void test_slow_reader(void)
{
    apr_pool_t *pool = test_pool(), *own;
    apr_interval_time_t longest;
    sse_store_t *store;
    sse_id_t start;
    int failed, tries = 0;

    for (;;) {
        apr_pool_create(&own, pool);
        store = test_store(apr_psprintf(own, "slow-%d", tries), "1m", own);
        start = last_of(store);
        longest = publish_beside(store, &failed);
        printf("# a reader took %d ms\n", (int)(longest / 1000));
        if (longest < apr_time_from_msec(100) || ++tries == TRIES) {
            break;
        }
        apr_pool_destroy(own);
    }
    is_num(failed, 0, "publishing beside a slow reader");
    is_num(gap_of(store, "kept", start), 0, "costs no history");
    ok(strlen(history_of(store, "kept", 0, NULL)) == 40, "none at all");
    apr_pool_destroy(pool);
}

/* What a reader held is to be had again once it has gone: the round after does
 * not give up more for it. */
static void test_held(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("held", "1m", pool);
    sse_lmdb_state_t state;
    MDB_txn *txn;
    int i, kept;

    for (i = 0; i < 100; ++i) {
        publish(store, "c", "x", &keep_all);
    }
    sse_lmdb_read_begin(LMDB(store), &txn, &state);
    publish(store, "d", "x", &keep_all);
    kept = readable(store, "c");
    sse_lmdb_make_room(LMDB(store), 1, 2);
    is_num(readable(store, "c"), kept, "a reader holds: nothing is given up");
    sse_lmdb_read_end(LMDB(store), txn);
    sse_lmdb_make_room(LMDB(store), 1, 3);
    is_num(readable(store, "c"), kept, "nor in the round after it");
    sse_lmdb_make_room(LMDB(store), 1, 4);
    ok(readable(store, "c") < kept, "then it is");
    sse_lmdb_read_begin(LMDB(store), &txn, &state);
    publish(store, "d", "x", &keep_all);
    kept = readable(store, "c");
    for (i = 1; i <= SSE_LMDB_WAITS; ++i) {
        sse_lmdb_make_room(LMDB(store), 1, i);
    }
    sse_lmdb_make_room(LMDB(store), 1, i++);
    is_num(readable(store, "c"), kept, "nor after the last wait");
    sse_lmdb_make_room(LMDB(store), 1, i);
    ok(readable(store, "c") < kept, "it is not waited for for ever");
    sse_lmdb_read_end(LMDB(store), txn);
    apr_pool_destroy(pool);
}

/* Fill until it is refused, then let room() make room. */
static void fill(sse_store_t *store, void (*room)(void), const char *what)
{
    sse_append_t a[3];
    sse_id_t last = 0;
    apr_status_t rv = APR_SUCCESS;
    int i, n = 0, records;

    printf("# %s\n", what);
    while (!rv && n < 5000) {
        a[0] = large("c", 3000);
        a[1] = item("c", "x", "key", &keep_all);
        a[2] = large("d", 30000);
        a[1].idempotency.ptr = (const char *)&n;
        a[1].idempotency.len = sizeof(n);
        last = last_of(store);
        rv = sse_store_append(store, a, 3);
        ++n;
    }
    is_num(rv, APR_ENOSPC, "no space is told");
    ok(n > 3, "not at once");
    is_num(last_of(store), last, "nothing is half published");
    ok(!a[0].id && !a[1].id && !a[2].id, "and has no ids");
    records = readable(store, "c");
    is_num(records, 3 * (n - 1), "all that was taken is there");
    for (i = 0; i < 20; ++i) {
        rv = sse_store_append(store, a, 3);
    }
    is_num(readable(store, "c") - records, last_of(store) - last,
           "and what fits later");
    room();
    last = last_of(store);
    for (i = 0; i < 20; ++i) {
        a[1].idempotency.ptr = (const char *)&i;
        a[1].idempotency.len = 3;
        rv = rv && i ? rv : sse_store_append(store, a, 3);
    }
    is_num(rv, APR_SUCCESS, "it goes on when there is room");
    ok(last_of(store) >= last + 20 * 2, "with all of them");
}

static void raise_limit(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* Limits that end in the middle of what LMDB writes at once, too. */
static void test_file_limit(const char *name, rlim_t bytes)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store(name, "64m", pool);
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
    fill(store, raise_limit, name);
    raise_limit();
    apr_pool_destroy(pool);
}

static const char *ballast;

static void drop_ballast(void) { unlink(ballast); }

/* A disk that is really full; where mounting is not allowed, the file limits
 * above have to do. */
static void test_disk(void)
{
    apr_pool_t *pool = test_pool();
    const char *dir = apr_pstrcat(pool, test_dir, "/disk", NULL);
    sse_store_t *store;
    FILE *file;

    mkdir(dir, 0755);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=8m")) {
        printf("# no tmpfs may be mounted here\n");
        apr_pool_destroy(pool);
        return;
    }
    ballast = apr_pstrcat(pool, dir, "/ballast", NULL);
    file = fopen(ballast, "w");
    while (ftell(file) < 4 << 20) {
        fwrite(block, sizeof(block), 1, file);
    }
    fclose(file);
    store = test_store("disk/store", "64m", pool);
    fill(store, drop_ballast, "a full disk");
    apr_pool_destroy(pool);
    is_num(umount(dir), 0, "nobody holds it any more");
}

int main(void)
{
    test_begin();
    signal(SIGXFSZ, SIG_IGN);
    memset(block, 'x', sizeof(block));
    test_ever();
    test_too_large();
    test_fair();
    test_threads();
    test_slow_reader();
    test_held();
    test_file_limit("limit-a", 2000000);
    test_file_limit("limit-b", 3 * 1048576);
    test_file_limit("limit-c", 1234567);
    test_disk();
    return test_end();
}
