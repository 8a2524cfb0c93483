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
    apr_status_t rv = sse_store_append(store, &append, 1);

    *id = append.id;
    return rv;
}

/* Files that were moved or replaced are noticed within a second. */
static void settle(void) { apr_sleep(1100000); }

/* A child of the next generation. */
static sse_store_t *restart(sse_store_conf_t *conf, apr_pool_t *pool)
{
    sse_store_t *store = NULL;
    const char *notice;

    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "a restart");
    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS,
           "opens what is there");
    ok(!sse_store_report(store), "and has nothing to say");
    return store;
}

static sse_store_conf_t *conf_of(const char *name, apr_pool_t *pool)
{
    return test_conf(pool, name, "16m", "off");
}

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
    is_num(sse_store_tidy(store, apr_time_now(), &more), SSE_STORE_EGONE,
           "housekeeping says so as well");
    ok(!sse_store_report(store), "no news while nothing has changed");
    is_num(rename(there, here), 0, "it comes back");
    is_num(append_one(store, "b", &id), APR_SUCCESS,
           "and takes events at once");
    is_num(id, before + 1, "the ids go on");
    is_str(history_of(store, "c", 0, NULL), "a b ", "nothing is lost");
    ok(!sse_store_report(store), "it is the same store");
    apr_pool_destroy(pool);
}

static void test_removed(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = conf_of("removed/store", pool);
    sse_store_t *store = test_open(conf, pool), *other, *later;
    char *here = path_of(pool, "removed/store");
    sse_id_t before, id, next;
    int more;

    append_one(store, "a", &before);
    test_remove(here);
    is_num(append_one(store, "b", &id), SSE_STORE_EGONE,
           "a removed directory is noticed at once");
    is_num(sse_store_open(&later, conf, NULL, pool), APR_SUCCESS,
           "a child starts");
    is_num(append_one(later, "b", &id), SSE_STORE_EGONE, "with nothing");
    ok(access(here, F_OK) != 0, "and makes nothing");
    other = restart(conf_of("removed/store", pool), pool);
    is_num(append_one(other, "b", &id), APR_SUCCESS, "and takes events");
    ok(id > before, "with ids above the old ones");
    is_str(history_of(other, "c", 0, NULL), "b ", "a new store");
    is_num(gap_of(other, "c", before), 1, "in which the old ids are a gap");
    settle();
    is_num(append_one(store, "b", &next), SSE_STORE_EGONE,
           "the children from before are not in it");
    is_num(append_one(later, "b", &next), SSE_STORE_EGONE, "none of them");
    sse_store_tidy(store, apr_time_now(), &more);
    ok(sse_store_report(store) != NULL, "the administrator hears of it");
    ok(!sse_store_report(store), "once");
    is_str(history_of(store, "c", 0, NULL), "a ", "and still read the old one");
    is_num(append_one(other, "c", &next), APR_SUCCESS, "the new one goes on");
    is_num(next, id + 1, "alone");
    is_str(history_of(other, "c", 0, NULL), "b c ", "with its own");
    apr_pool_destroy(pool);
}

/* Two processes with two lock files would write over each other. */
static void test_lock_file(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = conf_of("lock/store", pool);
    apr_pool_t *own = test_pool();
    sse_store_t *store = test_open(conf, own);
    sse_id_t before, id;

    append_one(store, "a", &before);
    is_num(unlink(path_of(pool, "lock/store/lock.mdb")), 0,
           "only the lock file is removed");
    settle();
    is_num(append_one(store, "b", &id), SSE_STORE_EGONE, "nothing is written");
    apr_pool_destroy(own);
    store = restart(conf_of("lock/store", pool), pool);
    is_num(append_one(store, "b", &id), APR_SUCCESS, "it goes on");
    is_num(id, before + 1, "with the same store");
    is_num(access(path_of(pool, "lock/store/lock.mdb"), F_OK), 0,
           "and a lock file that others find");
    apr_pool_destroy(pool);
}

static void test_opened_later(void)
{
    apr_pool_t *pool = test_pool(), *own = test_pool();
    sse_store_conf_t *conf = conf_of("late/store", pool);
    sse_id_t before, id;
    sse_store_t *store;

    append_one(test_open(conf, own), "a", &before);
    apr_pool_destroy(own);
    rename(path_of(pool, "late"), path_of(pool, "later"));
    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS,
           "a store that is not there can be opened");
    ok(sse_store_report(store) != NULL, "which is news");
    is_num(sse_store_last(store, &id), SSE_STORE_EGONE, "it cannot be read");
    is_num(append_one(store, "b", &id), SSE_STORE_EGONE, "nor written to");
    rename(path_of(pool, "later"), path_of(pool, "late"));
    is_num(append_one(store, "b", &id), APR_SUCCESS, "until it comes");
    is_num(id, before + 1, "as it was");
    apr_pool_destroy(pool);
}

/* What could not be prepared: a directory that is made later is used, by who
 * writes first; readers do not make a store in it. */
static void test_made_later(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = conf_of("made", pool);
    sse_store_t *store, *reader, *keeper;
    sse_id_t id;
    int more;

    sse_store_open(&store, conf, NULL, pool);
    sse_store_open(&reader, conf, NULL, pool);
    sse_store_open(&keeper, conf, NULL, pool);
    is_num(append_one(store, "a", &id), SSE_STORE_EGONE, "there is none");
    mkdir(path_of(pool, "made"), 0755);
    is_num(sse_store_last(reader, &id), SSE_STORE_EGONE,
           "an empty one says nothing");
    is_num(sse_store_tidy(keeper, apr_time_now(), &more), APR_SUCCESS,
           "housekeeping makes a store in it");
    is_num(sse_store_last(reader, &id), APR_SUCCESS, "which can be read");
    is_num(append_one(store, "a", &id), APR_SUCCESS, "and written to");
    is_str(history_of(keeper, "c", 0, NULL), "a ", "by all");
    apr_pool_destroy(pool);
}

/* As if the clock had been set back since it was made.
 * @return its newest id from now on */
static sse_id_t run_ahead(sse_store_t *store)
{
    sse_lmdb_write_t w;

    if (sse_lmdb_write_begin(&w, LMDB(store))) {
        return 0;
    }
    w.state.last += 1000000000000;
    return sse_lmdb_write_end(&w, 0) ? 0 : w.state.last;
}

/* What is in the way of a new store does not make the old one forgotten. */
static void test_obstacle(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("obstacle/store", "16m", pool);
    char *here = path_of(pool, "obstacle/store");
    char *aside = path_of(pool, "obstacle/aside");
    char *obstacle = path_of(pool, "obstacle/store/data.mdb");
    sse_id_t before, id;
    int more;

    ok((before = run_ahead(store)) != 0, "ids that are ahead of the clock");
    rename(here, aside);
    mkdir(here, 0755);
    mkdir(obstacle, 0755);
    settle();
    ok(append_one(store, "a", &id) != APR_SUCCESS, "it cannot be written to");
    ok(sse_store_tidy(store, apr_time_now(), &more) != APR_SUCCESS,
       "nor again");
    rmdir(obstacle);
    rmdir(here);
    ok(append_one(store, "a", &id) != APR_SUCCESS, "nor with nothing there");
    rename(aside, here);
    is_num(append_one(store, "b", &id), APR_SUCCESS, "until it is back");
    is_num(id, before + 1, "its ids are above those of before all the same");
    test_remove(here);
    is_num(append_one(store, "c", &id), SSE_STORE_EGONE, "removed once more");
    apr_pool_destroy(pool);
}

/* An earlier copy is put back: it is another store. */
static void test_earlier(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("earlier/store", "16m", pool);
    char *here = path_of(pool, "earlier/store");
    char *newer = path_of(pool, "earlier/newer");
    char *copy = path_of(pool, "earlier/copy");
    sse_id_t early, before, id;
    char *cp = apr_psprintf(pool, "cp -a '%s' '%s'", here, copy);
    sse_store_t *other;
    int more;

    append_one(store, "a", &early);
    is_num(system(cp), 0, "a copy is made");
    before = run_ahead(store);
    rename(here, newer);
    rename(copy, here);
    settle();
    is_num(append_one(store, "b", &id), SSE_STORE_EGONE, "and put back");
    is_num(sse_store_tidy(store, apr_time_now(), &more), SSE_STORE_EGONE,
           "housekeeping sees it, too");
    ok(sse_store_report(store) != NULL, "the administrator hears of it");
    is_num(last_of(store), before, "the newer one can be read");
    other = restart(conf_of("earlier/store", pool), pool);
    is_num(append_one(other, "b", &id), APR_SUCCESS, "it is used");
    is_num(id, early + 1, "its ids go on where they were");
    rename(here, copy);
    rename(newer, here);
    is_num(append_one(store, "c", &id), APR_SUCCESS, "the newer one is back");
    is_num(id, before + 1, "ids are above the highest there were");
    apr_pool_destroy(pool);
}

/* What is open cannot be read any more when the files go. */
static void test_unreadable(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = conf_of("unreadable/store", pool);
    sse_store_t *store = test_open(conf, pool);
    sse_id_t before, id;

    is_num(append_one(store, "a", &before), APR_SUCCESS, "written");
    LMDB(store)->db[SSE_DB_META] = 1000; /* LMDB knows no such database */
    test_remove(path_of(pool, "unreadable/store"));
    is_num(append_one(store, "b", &id), SSE_STORE_EGONE, "and gone");
    store = restart(conf_of("unreadable/store", pool), pool);
    is_num(append_one(store, "b", &id), APR_SUCCESS, "a new store");
    ok(id > before, "its ids are above what was written before");
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
        wrong = worse(wrong, sse_store_look(store, &key, 1, 1, &position));
        wrong = worse(wrong, sse_store_tidy(store, apr_time_now(), &more));
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
        apr_sleep(i % 4 ? 20000 : 1100000);
        rename(here, there);
        if (i % 2) {
            mkdir(here, 0755);
        }
        apr_sleep(10000);
        rmdir(here);
        rename(there, here);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (i = 0; i < THREADS; ++i) {
        pthread_join(threads[i], &result);
        wrong = worse(wrong, (apr_status_t)(apr_uintptr_t)result);
    }
    is_num(wrong, APR_SUCCESS, "threads that use it meet no other error");
    is_num(append_one(store, "y", &id), APR_SUCCESS, "and it works at last");
    apr_pool_destroy(pool);
}

int main(void)
{
    test_begin();
    test_away();
    test_removed();
    test_lock_file();
    test_opened_later();
    test_made_later();
    test_obstacle();
    test_earlier();
    test_unreadable();
    test_threads();
    return test_end();
}
