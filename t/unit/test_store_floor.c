/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What a channel that is gone has lost, the store's own time, and a store of an
 * earlier version. */

#include <pthread.h>
#include <stddef.h>

#include "clock.h"
#include "store.h"
#include "store/lmdb/sse_lmdb_inspect.h"

#define MANY 1000

static const char *name_of(const char *kind, int i)
{
    static char name[32];

    snprintf(name, sizeof(name), "%s%c/%d", kind, '-', i);
    return name;
}

/* -- Floors ---------------------------------------------------------------- */

static int gaps_of(sse_store_t *store, const char *kind, sse_id_t after)
{
    int i, n = 0;

    for (i = 0; i < MANY; ++i) {
        n += gap_of(store, name_of(kind, i), after);
    }
    return n;
}

/* Inboxes whose history has run out, and others that come and go. */
static void test_floors(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("floors", "64m", pool);
    sse_id_t before = last_of(store), seen;
    sse_slice_t keys[2];
    sse_id_t next;
    int i, gap, n;

    for (i = 0; i < MANY; ++i) {
        publish(store, name_of("inbox", i), "x", &keep_none);
    }
    seen = last_of(store);
    tidy_all(store, apr_time_now() + 2 * SSE_STORE_LINGER);
    is_num(gaps_of(store, "inbox", before), MANY,
           "who has missed what is gone is told");
    is_num(gaps_of(store, "inbox", seen), 0, "who has seen it is not");
    n = gaps_of(store, "other", before);
    ok(n < MANY / 2, "nor are most of others");
    printf("# %d of %d share a bucket\n", n, MANY);

    for (i = 0; i < 20; ++i) {
        publish(store, name_of("passing", i), "x", &keep_none);
    }
    tidy_all(store, apr_time_now() + 2 * SSE_STORE_LINGER);
    n = gaps_of(store, "inbox", seen);
    ok(n < MANY / 20, "nor when other channels go");
    printf("# %d of %d are told for nothing\n", n, MANY);
    is_num(gaps_of(store, "inbox", last_of(store)), 0,
           "with the newest id nobody is");

    keys[0] = text("passing-/0");
    keys[1] = text("other");
    sse_store_history(store, keys, 2, seen, last_of(store), 1 << 20, see,
                      &(seen_t){.count = 0}, NULL, &next, &gap);
    is_num(gap, 1, "reading the history says so, too");
    publish(store, "passing-/0", "again", &keep_all);
    is_num(gap_of(store, "passing-/0", seen), 1, "also when it is there again");
    is_num(gap_of(store, "passing-/0", last_of(store) - 1), 0,
           "where nothing is missing, nothing is told");
    apr_pool_destroy(pool);
}

static void test_bits(void)
{
    is_num(sse_lmdb_floor_bits(1 << 20), 6, "few buckets in a small store");
    is_num(sse_lmdb_floor_bits(1 << 30), 16, "65536 in the default one");
    is_num(sse_lmdb_floor_bits(APR_UINT64_C(1) << 44), 18, "and not too many");
}

/* -- Time ------------------------------------------------------------------ */

static const sse_history_t minute = {1000, 60000000, 0};

/* The clock is set: what is kept neither goes nor stays for that. */
static void test_step(const char *name, apr_time_t by)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store(name, "64m", pool);
    sse_position_t position;
    sse_slice_t key = text("a");

    publish(store, "a", "first", &minute);
    step = by;
    publish(store, "a", "second", &minute);
    tidy_all(store, apr_time_now());
    is_str(history_of(store, "a", 0, NULL), "first second ", name);
    publish(store, "gone", "x", &keep_none);
    step = 0;
    publish(store, "a", "third", &minute);
    tidy_all(store, apr_time_now());
    is_str(history_of(store, "a", 0, NULL), "first second third ",
           "and it is set right again");
    step = by;
    tidy_all(store, apr_time_now() + apr_time_from_sec(30));
    is_str(history_of(store, "a", 0, NULL), "first second third ",
           "in half a minute it is kept");
    tidy_all(store, apr_time_now() + apr_time_from_sec(61));
    is_str(history_of(store, "a", 0, NULL), "", "in a minute it is gone");
    is_num(sse_store_look(store, &key, 1, last_of(store), &position),
           APR_SUCCESS, "looked");
    is_num(position.gap, 0, "with no gap for who has seen it");
    step = 0;
    apr_pool_destroy(pool);
}

static void *tidy_ahead(void *store)
{
    int more;

    sse_store_tidy(store, apr_time_now() + 2 * SSE_STORE_LINGER, &more);
    return NULL;
}

/* The clock is set back while tidying waits for another process. */
static void test_step_while_tidying(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("tidying", "64m", pool);
    sse_lmdb_write_t w;
    pthread_t thread;
    int rc;

    publish(store, "a", "first", &minute);
    publish(store, "gone", "x", &keep_none);
    rc = sse_lmdb_write_begin(&w, LMDB(store));
    pthread_create(&thread, NULL, tidy_ahead, store);
    usleep(300000); /* it waits */
    __atomic_store_n(&step, -apr_time_from_sec(3600), __ATOMIC_SEQ_CST);
    if (!rc) {
        sse_lmdb_write_abort(&w);
    }
    is_num(rc, 0, "the writer was kept waiting");
    pthread_join(thread, NULL);
    is_str(history_of(store, "a", 0, NULL), "first ",
           "what is not old stays when the clock is set back meanwhile");
    step = 0;
    apr_pool_destroy(pool);
}

/* Over a boot there is nothing but the clock: it may be behind. */
static void test_boot(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("boot", "64m", pool);
    sse_lmdb_write_t w;
    int rc;

    publish(store, "a", "first", &minute);
    rc = sse_lmdb_write_begin(&w, LMDB(store));
    if (!rc) {
        w.state.boot ^= 2;
        rc = sse_lmdb_write_end(&w, 0);
    }
    is_num(rc, 0, "another boot");
    step = -apr_time_from_sec(7200);
    publish(store, "a", "second", &minute);
    is_str(history_of(store, "a", 0, NULL), "first second ",
           "two hours earlier: all is kept");
    tidy_all(store, apr_time_now() + apr_time_from_sec(61));
    is_str(history_of(store, "a", 0, NULL), "", "and goes in time");
    step = 0;
    apr_pool_destroy(pool);
}

/* -- An earlier version ---------------------------------------------------- */

static int is_of_version(sse_store_t *store, apr_uint32_t version)
{
    sse_lmdb_state_t state;
    MDB_txn *txn;
    int rc = sse_lmdb_read_begin(LMDB(store), &txn, &state);

    if (!rc) {
        sse_lmdb_read_end(LMDB(store), txn);
    }
    return !rc && state.version == version;
}

/* As version 1 had them. */
static int old_channels(sse_lmdb_write_t *w)
{
    MDB_cursor *cursor;
    MDB_val key, val, old;
    char name[SSE_STORE_KEY_MAX], bytes[offsetof(sse_lmdb_channel_t, room)];
    int rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_CHANNELS], &cursor);

    rc = rc ? rc : mdb_cursor_get(cursor, &key, &val, MDB_FIRST);
    while (!rc) {
        memcpy(name, key.mv_data, key.mv_size);
        memcpy(bytes, val.mv_data, sizeof(bytes));
        key.mv_data = name;
        old.mv_data = bytes;
        old.mv_size = sizeof(bytes);
        if ((rc = mdb_put(w->txn, w->store->db[SSE_DB_CHANNELS], &key, &old,
                          0)) ||
            (rc = mdb_cursor_get(cursor, &key, &val, MDB_SET))) {
            break;
        }
        rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int old_entries(sse_lmdb_write_t *w)
{
    MDB_cursor *cursor;
    MDB_val key, val;
    sse_lmdb_entry_t entry;
    int rc = mdb_cursor_open(w->txn, w->store->db[SSE_DB_INDEX], &cursor);

    while (!rc && !(rc = mdb_cursor_get(cursor, &key, &val, MDB_NEXT))) {
        memcpy(&entry, val.mv_data, sizeof(entry));
        entry.keyed = entry.keyed != 0;
        val.mv_data = &entry;
        rc = mdb_cursor_put(cursor, &key, &val, MDB_CURRENT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int make_old(sse_store_t *store, sse_id_t floor)
{
    sse_lmdb_write_t w;
    MDB_val key = {5, (void *)"state"}, val;
    int rc = sse_lmdb_write_begin(&w, LMDB(store));

    w.state.version = 1;
    w.state.floor = floor;
    w.state.txn = mdb_txn_id(w.txn);
    val.mv_data = &w.state;
    val.mv_size = offsetof(sse_lmdb_state_t, time);
    rc = rc ? rc : old_channels(&w);
    rc = rc ? rc : old_entries(&w);
    rc = rc ? rc : mdb_drop(w.txn, LMDB(store)->db[SSE_DB_FLOORS], 1);
    rc = rc ? rc : mdb_drop(w.txn, LMDB(store)->db[SSE_DB_OWNERS], 1);
    rc = rc ? rc : mdb_drop(w.txn, LMDB(store)->db[SSE_DB_WEIGHTS], 1);
    rc = rc ? rc : mdb_put(w.txn, LMDB(store)->db[SSE_DB_META], &key, &val, 0);
    return rc ? rc : mdb_txn_commit(w.txn);
}

static void is_sound(const char *name, const char *what)
{
    char path[512];
    sse_inspect_t in;
    sse_inspect_e result;

    snprintf(path, sizeof(path), "%s/%s", test_dir, name);
    result = sse_inspect_open(&in, path);
    result = result == SSE_INSPECT_OK ? sse_inspect_check(&in) : result;
    is_num(result, SSE_INSPECT_OK, what);
    if (result != SSE_INSPECT_OK) {
        printf("# %s\n", in.words);
    }
    sse_inspect_close(&in);
}

static void fill_old(sse_store_t *store)
{
    static const sse_history_t few = {3, 0, 0};
    sse_append_t a;
    sse_id_t id;
    int i;

    for (i = 0; i < 300; ++i) {
        publish(store, name_of("kept", i % 7), "x", &keep_all);
        publish(store, name_of("few", i % 5), "y", &few);
        publish(store, "none", "z", &keep_none);
        a = item("keyed", "k", name_of("key", i % 20), &keep_all);
        sse_store_append(store, &a, 1);
    }
    publish(store, "forgotten", "x", &keep_all);
    sse_store_forget(store, text("forgotten"), &id);
}

static void test_upgrade(void)
{
    apr_pool_t *pool = test_pool(), *second = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "old", "8m", "off");
    sse_store_t *store = test_open(conf, second);
    sse_append_t a;
    sse_id_t first = last_of(store) + 1, last;
    char before[4096];
    const char *after;

    fill_old(store);
    last = last_of(store);
    apr_cpystrn(before, history_of(store, "kept-/3", 0, NULL), sizeof(before));
    is_num(make_old(store, first + 10), 0, "a store of version 1");
    apr_pool_destroy(second);

    second = test_pool();
    store = test_open(conf, second); /* fails if there is a notice */
    ok(is_of_version(store, SSE_LMDB_VERSION), "is one of this version");
    is_num(last_of(store), last, "with its ids");
    after = history_of(store, "kept-/3", 0, NULL);
    is_str(after, before, "and its histories");
    a = item("keyed", "k", "key-/7", &keep_all);
    is_num(sse_store_append(store, &a, 1), APR_SUCCESS, "a publisher's key");
    is_num(a.duplicate, 1, "is known");
    is_num(gap_of(store, "never", first), 1, "what was removed is told");
    is_num(gap_of(store, "never", first + 10), 0, "to who has not seen it");
    is_sound("old", "it is sound");
    fill_old(store);
    tidy_all(store, apr_time_now() + 2 * SSE_STORE_LINGER);
    is_sound("old", "and stays so");
    apr_pool_destroy(second);
    apr_pool_destroy(pool);
}

/* One that a child finds: an older copy was put back, say. */
static void test_upgrade_in_child(void)
{
    apr_pool_t *pool = test_pool(), *second = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "back", "8m", "off");
    sse_store_t *store = test_open(conf, second);

    publish(store, "a", "x", &keep_all);
    is_num(make_old(store, 0), 0, "a store of version 1");
    apr_pool_destroy(second);
    second = test_pool();
    is_num(sse_store_open(&store, conf, NULL, second), APR_SUCCESS,
           "a child opens it");
    ok(publish(store, "a", "y", &keep_all) != 0, "and can write to it");
    is_str(history_of(store, "a", 0, NULL), "x y ", "and read it");
    is_sound("back", "it is sound");
    apr_pool_destroy(second);
    apr_pool_destroy(pool);
}

int main(void)
{
    test_begin();
    test_floors();
    test_bits();
    test_step("the clock is set back", -apr_time_from_sec(3600));
    test_step("the clock is set ahead", apr_time_from_sec(400000000));
    test_step_while_tidying();
    test_boot();
    test_upgrade();
    test_upgrade_in_child();
    return test_end();
}
