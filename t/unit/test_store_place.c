/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The store's files are removed, replaced or come back while they are in use,
 * by one thread and by many. */

#include <pthread.h>

#include "store.h"
#include "store/lmdb/sse_lmdb.h"

#define THREADS 4
#define SWAPS   20

static char *path_of(apr_pool_t *pool, const char *name)
{
    return apr_pstrcat(pool, test_dir, "/", name, NULL);
}

static apr_status_t append_one(sse_store_t *store, const char *data,
                               sse_id_t *id)
{
    sse_append_t append = item("c", data, NULL, &keep_all);
    apr_status_t rv = P->append(store, &append, 1);

    *id = append.id;
    return rv;
}

/* What is tried only now and then may take a moment. */
static apr_status_t append_soon(sse_store_t *store, const char *data,
                                sse_id_t *id)
{
    apr_status_t rv = append_one(store, data, id);
    int i;

    for (i = 0; rv && i < 100; ++i) {
        apr_sleep(10000);
        rv = append_one(store, data, id);
    }
    return rv;
}

/* That the files are gone is seen a moment later. */
static void settle(void) { apr_sleep(50000); }

/* The directory above is away, so that nobody can make the store's again. */
static void test_away(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("away/store", "16m", pool);
    char *here = path_of(pool, "away"), *there = path_of(pool, "elsewhere");
    sse_id_t before, id;
    int more;

    append_one(store, "a", &before);
    is_num(rename(here, there), 0, "the directory is moved away");
    settle();
    is_num(append_one(store, "b", &id), SSE_STORE_EGONE, "nothing is taken");
    is_num(id, 0, "and has no id");
    is_str(history_of(store, "c", 0, NULL), "a ", "what there was can be read");
    is_num(P->tidy(store, apr_time_now(), &more), SSE_STORE_EGONE,
           "housekeeping says so as well");
    ok(!P->news(store), "no news while nothing has changed");
    is_num(rename(there, here), 0, "it comes back");
    is_num(append_soon(store, "b", &id), APR_SUCCESS, "and takes events");
    is_num(id, before + 1, "the ids go on");
    is_str(history_of(store, "c", 0, NULL), "a b ", "nothing is lost");
    ok(!P->news(store), "it is the same store");
    apr_pool_destroy(pool);
}

static void test_removed(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("removed/store", "16m", pool);
    sse_store_t *other =
        test_open(test_conf(pool, "removed/store", "16m", "off"), pool);
    char *here = path_of(pool, "removed/store");
    sse_id_t before, id, next;

    append_one(store, "a", &before);
    test_remove(here);
    settle();
    is_num(append_soon(store, "b", &id), APR_SUCCESS,
           "a removed directory is made again");
    ok(id > before, "with ids above the old ones");
    is_str(history_of(store, "c", 0, NULL), "b ", "a new store");
    is_num(gap_of(store, "c", before), 1, "in which the old ids are a gap");
    ok(P->news(store) != NULL, "the administrator hears of it");
    ok(!P->news(store), "once");
    is_num(append_soon(other, "c", &next), APR_SUCCESS, "another process too");
    is_num(next, id + 1, "moves to the same store");
    is_str(history_of(store, "c", 0, NULL), "b c ", "which both read");
    apr_pool_destroy(pool);
}

/* Two processes with two lock files would write over each other. */
static void test_lock_file(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("lock/store", "16m", pool);
    sse_id_t before, id;

    append_one(store, "a", &before);
    is_num(unlink(path_of(pool, "lock/store/lock.mdb")), 0,
           "only the lock file is removed");
    settle();
    is_num(append_soon(store, "b", &id), APR_SUCCESS, "it goes on");
    is_num(id, before + 1, "with the same store");
    is_num(access(path_of(pool, "lock/store/lock.mdb"), F_OK), 0,
           "and a lock file that others find");
    apr_pool_destroy(pool);
}

static void test_opened_later(void)
{
    apr_pool_t *pool = test_pool(), *own = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "late/store", "16m", "off");
    sse_id_t before, id;
    sse_store_t *store;

    append_one(test_open(conf, own), "a", &before);
    apr_pool_destroy(own);
    rename(path_of(pool, "late"), path_of(pool, "later"));
    is_num(P->open(&store, conf, pool), APR_SUCCESS,
           "a store that is not there can be opened");
    ok(P->news(store) != NULL, "which is news");
    is_num(P->last(store, &id), SSE_STORE_EGONE, "it cannot be read");
    is_num(append_one(store, "b", &id), SSE_STORE_EGONE, "nor written to");
    rename(path_of(pool, "later"), path_of(pool, "late"));
    is_num(append_soon(store, "b", &id), APR_SUCCESS, "until it comes");
    is_num(id, before + 1, "as it was");
    apr_pool_destroy(pool);
}

/* As if the clock had been set back since it was made.
 * @return its newest id from now on */
static sse_id_t run_ahead(sse_store_t *store)
{
    sse_lmdb_write_t w;

    if (sse_lmdb_write_begin(&w, store)) {
        return 0;
    }
    w.state.last += 1000000000000;
    return sse_lmdb_write_commit(&w) ? 0 : w.state.last;
}

/* What is in the way of a new store does not make the old one forgotten. */
static void test_obstacle(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("obstacle/store", "16m", pool);
    char *here = path_of(pool, "obstacle/store");
    char *obstacle = path_of(pool, "obstacle/store/data.mdb");
    sse_id_t before, id;
    int more;

    ok((before = run_ahead(store)) != 0, "ids that are ahead of the clock");
    test_remove(here);
    mkdir(here, 0755);
    mkdir(obstacle, 0755);
    settle();
    ok(append_one(store, "a", &id) != APR_SUCCESS, "it cannot be opened");
    apr_sleep(300000); /* it is tried again after a while */
    ok(P->tidy(store, apr_time_now(), &more) != APR_SUCCESS, "nor again");
    rmdir(obstacle);
    is_num(append_soon(store, "b", &id), APR_SUCCESS, "until it can");
    is_num(id, before + 2, "its ids are above those of before all the same");
    test_remove(here);
    settle();
    is_num(append_soon(store, "c", &id), APR_SUCCESS, "removed once more");
    is_num(id, before + 4, "they go on");
    apr_pool_destroy(pool);
}

/* An earlier copy's ids are its own; a new store's are above all there were. */
static void test_earlier(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("earlier/store", "16m", pool);
    char *here = path_of(pool, "earlier/store");
    char *newer = path_of(pool, "earlier/newer");
    char *copy = path_of(pool, "earlier/copy");
    sse_id_t early, before, id;
    char *cp = apr_psprintf(pool, "cp -a '%s' '%s'", here, copy);

    append_one(store, "a", &early);
    is_num(system(cp), 0, "a copy is made");
    before = run_ahead(store);
    rename(here, newer);
    settle();
    append_one(store, "lost", &id);
    test_remove(here);
    rename(copy, here);
    settle();
    is_num(append_soon(store, "b", &id), APR_SUCCESS, "and put back");
    is_num(id, early + 1, "its ids go on where they were");
    test_remove(here);
    settle();
    is_num(append_soon(store, "c", &id), APR_SUCCESS, "and removed");
    ok(id > before, "ids are above the highest there were");
    apr_pool_destroy(pool);
}

/* What is open cannot be read any more when the files go: what was written here
 * is known all the same. */
static void test_unreadable(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("unreadable/store", "16m", pool);
    sse_id_t before, id;

    before = run_ahead(store);
    is_num(append_one(store, "a", &id), APR_SUCCESS, "written, and never read");
    is_num(id, before + 1, "ahead of the clock");
    store->db[SSE_DB_META] = 1000; /* LMDB knows no such database */
    test_remove(path_of(pool, "unreadable/store"));
    settle();
    is_num(append_soon(store, "b", &id), APR_SUCCESS, "a new store");
    ok(id > before + 1, "its ids are above what was written before");
    apr_pool_destroy(pool);
}

static int stop; /* atomic */

/* The directory may be absent, and on a busy machine the store may be opened
 * for longer than one waits; everything else is a failure.
 * @return the first one */
static apr_status_t worse(apr_status_t wrong, apr_status_t rv)
{
    return wrong == APR_SUCCESS && rv != SSE_STORE_EGONE &&
                   rv != SSE_STORE_EBUSY
               ? rv
               : wrong;
}

/* Appends and reads. */
static void *use(void *baton)
{
    sse_store_t *store = baton;
    apr_status_t wrong = APR_SUCCESS;
    sse_slice_t key = text("c");
    sse_position_t position;
    sse_id_t id;
    int more;

    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        wrong = worse(wrong, append_one(store, "x", &id));
        wrong = worse(wrong, P->look(store, &key, 1, 1, &position));
        wrong = worse(wrong, P->tidy(store, apr_time_now(), &more));
    }
    return (void *)(apr_uintptr_t)wrong;
}

static void test_threads(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("swap/store", "16m", pool);
    char *here = path_of(pool, "swap"), *there = path_of(pool, "swapped");
    pthread_t threads[THREADS];
    apr_status_t wrong = APR_SUCCESS;
    void *result;
    sse_id_t id;
    int i;

    for (i = 0; i < THREADS; ++i) {
        pthread_create(&threads[i], NULL, use, store);
    }
    for (i = 0; i < SWAPS; ++i) {
        apr_sleep(20000);
        if (i % 2) {
            test_remove(path_of(pool, "swap/store"));
        }
        else {
            rename(here, there);
            apr_sleep(10000);
            rename(there, here);
        }
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (i = 0; i < THREADS; ++i) {
        pthread_join(threads[i], &result);
        wrong = worse(wrong, (apr_status_t)(apr_uintptr_t)result);
    }
    is_num(wrong, APR_SUCCESS, "threads that use it meet no other error");
    is_num(append_soon(store, "y", &id), APR_SUCCESS, "and it works at last");
    apr_pool_destroy(pool);
}

int main(void)
{
    test_begin();
    test_away();
    test_removed();
    test_lock_file();
    test_opened_later();
    test_obstacle();
    test_earlier();
    test_unreadable();
    test_threads();
    return test_end();
}
