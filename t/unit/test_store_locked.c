/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Another process has LMDB's writer lock and does not let go: who publishes is
 * told in time, nothing of that is published later, and readers see nothing of
 * it at all. */

#include <lmdb.h>
#include <pthread.h>
#include <signal.h>

#include "store.h"
#include "store/lmdb/sse_lmdb.h"
#include "store/lmdb/sse_lmdb_writer.h"

#define PUBLISHERS 8
#define LIMIT      2
#define TRIES      3

/** A process that holds the lock until it is killed or its input ends. */
typedef struct {
    pid_t pid;
    int in;
} holder_t;

static const char *path_of(apr_pool_t *pool, const char *name)
{
    return apr_pstrcat(pool, test_dir, "/", name, NULL);
}

static void hold_until_end(const char *path, int in, int out)
{
    MDB_env *env;
    MDB_txn *txn;
    char c;

    if (mdb_env_create(&env) || mdb_env_set_maxdbs(env, SSE_DB_COUNT) ||
        mdb_env_open(env, path, MDB_NOSYNC | MDB_NOTLS, 0600) ||
        mdb_txn_begin(env, NULL, 0, &txn) || write(out, "h", 1) != 1) {
        _exit(1);
    }
    while (read(in, &c, 1) > 0) {
    }
    mdb_txn_abort(txn);
    _exit(0);
}

static holder_t hold(const char *path)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    holder_t holder;
    char c;

    if (pipe(in) || pipe(out)) {
        perror("pipe");
    }
    fflush(stdout);
    if (!(holder.pid = fork())) {
        close(in[1]);
        hold_until_end(path, in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    holder.in = in[1];
    ok(read(out[0], &c, 1) == 1, "another process holds the lock");
    close(out[0]);
    return holder;
}

static void let_go(holder_t *holder)
{
    close(holder->in);
    is_num(wait_for(holder->pid), 0, "it lets go");
}

/** Waits until it may begin, and notes how long it took. */
typedef struct {
    sse_store_t *store;
    const char *data;
    apr_status_t rv;
    apr_interval_time_t took;
    pthread_t thread;
} publisher_t;

static void *append_one(void *baton)
{
    publisher_t *publisher = baton;
    sse_append_t append = item("c", publisher->data, NULL, &keep_all);
    apr_time_t began = apr_time_now();

    publisher->rv = sse_store_append(publisher->store, &append, 1);
    publisher->took = apr_time_now() - began;
    return NULL;
}

static apr_status_t append_here(sse_store_t *store, const char *data,
                                apr_interval_time_t *took)
{
    publisher_t publisher = {0};

    publisher.store = store;
    publisher.data = data;
    append_one(&publisher);
    *took = publisher.took;
    return publisher.rv;
}

static void start(publisher_t *publishers, int n, sse_store_t *store)
{
    int i;

    for (i = 0; i < n; ++i) {
        publishers[i].store = store;
        publishers[i].data = "never";
        pthread_create(&publishers[i].thread, NULL, append_one, &publishers[i]);
    }
}

/* @return how many were refused before that time */
static int finish(publisher_t *publishers, int n, apr_interval_time_t soon,
                  int *refused)
{
    int i, early = 0;

    *refused = 0;
    for (i = 0; i < n; ++i) {
        pthread_join(publishers[i].thread, NULL);
        *refused += publishers[i].rv == SSE_STORE_EBUSY;
        early += publishers[i].took < soon;
    }
    return early;
}

/* The machine may be slow once, or twice. */
static int is_soon(apr_time_t began)
{
    return apr_time_now() - began < apr_time_from_sec(1);
}

/* What does not write goes on. */
static void test_readers(sse_store_t *store)
{
    apr_time_t began;
    sse_position_t position;
    sse_slice_t key = text("c");
    sse_id_t id;
    int more, tries = 0;

    do {
        began = apr_time_now();
        is_num(sse_store_last(store, &id), APR_SUCCESS, "it can be read");
        is_num(sse_store_look(store, &key, 1, 1, &position), APR_SUCCESS,
               "looked at");
        is_str(history_of(store, "c", 0, NULL), "before ",
               "and caught up with");
    } while (!is_soon(began) && ++tries < TRIES);
    ok(tries < TRIES, "without waiting");
    began = apr_time_now();
    is_num(
        sse_store_tidy(store, apr_time_now() + apr_time_from_sec(3600), &more),
        SSE_STORE_EBUSY, "housekeeping gives up");
    ok(apr_time_now() - began < apr_time_from_sec(10), "in time");
}

static void test_locked(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("locked", "16m", pool);
    publisher_t publishers[PUBLISHERS];
    static const sse_history_t brief = {10, 1, 0};
    apr_interval_time_t took;
    holder_t holder;
    int early, refused, tries = 0;

    sse_store_limit(store, LIMIT, NULL);
    publish(store, "c", "before", &keep_all);
    publish(store, "old", "x", &brief);
    holder = hold(path_of(pool, "locked"));
    do {
        start(publishers, PUBLISHERS, store);
        apr_sleep(apr_time_from_msec(1500));
        is_num(append_here(store, "never", &took), SSE_STORE_EBUSY,
               "one more is refused");
        test_readers(store);
        early = finish(publishers, PUBLISHERS, apr_time_from_sec(3), &refused);
        is_num(refused, PUBLISHERS, "all are refused");
    } while ((took >= apr_time_from_sec(1) || early < PUBLISHERS - LIMIT) &&
             ++tries < TRIES);
    ok(took < apr_time_from_sec(1), "at once");
    is_num(early, PUBLISHERS - LIMIT, "those beyond the limit soon");
    let_go(&holder);
    is_num(append_here(store, "after", &took), APR_SUCCESS, "then it goes on");
    is_str(history_of(store, "c", 0, NULL), "before after ",
           "nothing of what was refused was published");
    apr_pool_destroy(pool);
}

/* @return how many were published soon after the holder's death */
static int publish_after_death(apr_pool_t *pool, const char *name,
                               sse_store_t **store, int *refused)
{
    publisher_t publishers[PUBLISHERS];
    holder_t holder;
    int early;

    *store = test_store(name, "16m", pool);
    holder = hold(path_of(pool, name));
    start(publishers, PUBLISHERS, *store);
    apr_sleep(apr_time_from_msec(300));
    kill(holder.pid, SIGKILL);
    early = finish(publishers, PUBLISHERS, apr_time_from_msec(4500), refused);
    is_num(wait_for(holder.pid), -SIGKILL, "the holder has died");
    close(holder.in);
    return early;
}

/* Those that wait are written for when the lock is free in time; and a process
 * that dies with it lets go. */
static void test_in_time(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store;
    int early, refused, tries = 0;

    do {
        early = publish_after_death(
            pool, apr_psprintf(pool, "in-time-%d", tries), &store, &refused);
    } while (early < PUBLISHERS && ++tries < TRIES);
    is_num(refused, 0, "the lock is free in time: all are published");
    is_num(early, PUBLISHERS, "soon");
    is_str(history_of(store, "c", 0, NULL),
           "never never never never never never never never ", "once each");
    apr_pool_destroy(pool);
}

/* A child begins while the lock is held. */
static void test_opened(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "opened", "16m", "off");
    apr_pool_t *own = test_pool();
    sse_store_t *store = test_open(conf, own);
    apr_time_t began;
    holder_t holder;
    int tries = 0;

    publish(store, "c", "before", &keep_all);
    apr_pool_destroy(own);
    holder = hold(path_of(pool, "opened"));
    do {
        own = test_pool();
        began = apr_time_now();
        is_num(sse_store_open(&store, conf, NULL, own), APR_SUCCESS,
               "it can be opened");
        ok(!sse_store_report(store), "and used");
    } while (!is_soon(began) && ++tries < TRIES);
    ok(tries < TRIES, "without waiting");
    is_str(history_of(store, "c", 0, NULL), "before ", "and read");
    let_go(&holder);
    ok(publish(store, "c", "after", &keep_all), "and written to");
    apr_pool_destroy(own);
    apr_pool_destroy(pool);
}

/* Until a publisher waits for the lock. */
static void wait_until_it_hangs(sse_store_t *store)
{
    int i, active = 0;

    for (i = 0; i < 10000 && !active; ++i) {
        apr_sleep(1000);
        pthread_mutex_lock(&LMDB(store)->gate);
        active = LMDB(store)->active;
        pthread_mutex_unlock(&LMDB(store)->gate);
    }
    ok(active, "a publisher hangs");
}

/* The administrator moves what hangs out of the way, and restarts. */
static void test_moved(void)
{
    apr_pool_t *pool = test_pool(), *own = test_pool();
    sse_store_t *old = test_store("moved/store", "16m", own), *store;
    sse_store_conf_t *conf = test_conf(pool, "moved/store", "16m", "off");
    holder_t holder = hold(path_of(pool, "moved/store"));
    publisher_t publisher;
    apr_interval_time_t took;
    apr_time_t began;
    const char *notice;
    sse_id_t id;
    int refused;

    sse_store_limit(old, 1, NULL);
    start(&publisher, 1, old);
    wait_until_it_hangs(old);
    rename(path_of(pool, "moved/store"), path_of(pool, "moved/away"));
    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "another directory");
    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS,
           "that new children open");
    is_num(append_here(store, "here", &took), APR_SUCCESS,
           "is used while a thread still hangs in the old one");
    ok(took < apr_time_from_msec(4900), "at once");
    is_str(history_of(store, "c", 0, NULL), "here ", "and read");
    is_num(sse_store_last(old, &id), APR_SUCCESS,
           "the old one can be read as well");
    finish(&publisher, 1, 0, &refused);
    is_num(refused, 1, "its publisher is refused");
    start(&publisher, 1, old);
    apr_sleep(apr_time_from_msec(100));
    let_go(&holder);
    finish(&publisher, 1, 0, &refused);
    is_num(publisher.rv, SSE_STORE_EGONE,
           "one that has waited for the lock does not write");
    is_num(append_here(old, "never", &took), SSE_STORE_EGONE,
           "nothing is written there any more");
    is_num(append_here(store, "there", &took), APR_SUCCESS, "it goes on here");
    began = apr_time_now();
    apr_pool_destroy(own);
    ok(apr_time_now() - began < apr_time_from_sec(5), "the old one is closed");
    apr_pool_destroy(pool);
}

/** A writer's function, the first call of which hangs. */
typedef struct {
    sse_lmdb_writer_t *writer;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int calls;   /* under lock */
    int is_over; /* under lock: the one that hangs may go on */
} hanging_t;

static int want_all(void *baton, const sse_lmdb_writer_job_t *job) { return 1; }

static void hang_once(void *baton)
{
    hanging_t *hanging = baton;
    sse_lmdb_writer_jobs_t jobs;

    pthread_mutex_lock(&hanging->lock);
    if (!hanging->calls++) {
        pthread_cond_broadcast(&hanging->moved);
        while (!hanging->is_over) {
            pthread_cond_wait(&hanging->moved, &hanging->lock);
        }
    }
    pthread_mutex_unlock(&hanging->lock);
    if (sse_lmdb_writer_take(hanging->writer, want_all, NULL, &jobs)) {
        sse_lmdb_writer_finish(hanging->writer, &jobs);
    }
}

static int always_free(void *baton) { return 1; }

static void *submit_one(void *baton)
{
    hanging_t *hanging = baton;
    sse_lmdb_writer_job_t job = {0};

    return sse_lmdb_writer_submit(hanging->writer, &job, apr_time_from_sec(1))
               ? hanging
               : NULL;
}

/* The publisher whose job is the first hangs in the function itself. */
static void test_hanging(void)
{
    hanging_t hanging = {NULL, PTHREAD_MUTEX_INITIALIZER,
                         PTHREAD_COND_INITIALIZER, 0, 0};
    sse_lmdb_writer_t *writer =
        sse_lmdb_writer_create(hang_once, always_free, &hanging);
    pthread_t first, second;
    apr_time_t began;
    void *failed;

    hanging.writer = writer;
    pthread_create(&first, NULL, submit_one, &hanging);
    pthread_mutex_lock(&hanging.lock);
    while (!hanging.calls) {
        pthread_cond_wait(&hanging.moved, &hanging.lock);
    }
    pthread_mutex_unlock(&hanging.lock);
    began = apr_time_now();
    pthread_create(&second, NULL, submit_one, &hanging);
    pthread_join(second, &failed);
    ok(failed, "who waits behind a publisher that hangs is refused");
    ok(apr_time_now() - began < apr_time_from_sec(10), "in time");
    ok(!sse_lmdb_writer_destroy(writer, apr_time_from_msec(50)),
       "a writer that a publisher is in is kept");
    pthread_mutex_lock(&hanging.lock);
    hanging.is_over = 1;
    pthread_cond_broadcast(&hanging.moved);
    pthread_mutex_unlock(&hanging.lock);
    pthread_join(first, &failed);
    ok(!failed, "that publisher's job is done");
    ok(sse_lmdb_writer_destroy(writer, apr_time_from_sec(5)),
       "then it can be destroyed");
}

int main(void)
{
    test_begin();
    test_locked();
    test_in_time();
    test_opened();
    test_moved();
    test_hanging();
    return test_end();
}
