/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The databases of who is on a channel: what is in them, what is found when
 * they are damaged, and stores that have none. */

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "presence.h"

/* Nothing is left of those who have gone. */
static void test_nothing_left(apr_pool_t *pool)
{
    sse_store_t *store = test_store("left", "16m", pool);

    did(store, joins("c", "s1", "ann", NULL));
    is_num(entries(store, SSE_DB_PRESENCE), 1, "a channel with members");
    is_num(entries(store, SSE_DB_MARKS), 3, "stream, user and child");
    did(store, leaves("c", "s1", 1000, "-s1"));
    is_num(entries(store, SSE_DB_MARKS), 4, "stream, user, person and time");
    expired(store, "c", "s1", NULL);
    ok(!entries(store, SSE_DB_PRESENCE) && !entries(store, SSE_DB_MEMBERS) &&
           !entries(store, SSE_DB_MARKS),
       "nothing is left");
}

/* Each kind of damage is found. */
static void spoil(sse_store_t *store, int db, const void *key, apr_size_t len,
                  const void *val, apr_size_t val_len, const char *words)
{
    sse_lmdb_write_t w;
    int rc = sse_lmdb_write_begin(&w, LMDB(store));
    const char *found;

    rc = rc    ? rc
         : val ? sse_lmdb_set(&w, db, key, len, val, val_len)
               : sse_lmdb_del(&w, db, (void *)key, len);
    rc = rc ? rc : mdb_txn_commit(w.txn);
    sse_lmdb_gate_leave(LMDB(store), NULL);
    is_num(rc, 0, "damaged");
    found = check(store);
    ok(strstr(found, words), words);
    printf("# %s\n", found);
}

/* A copy of a value; the next write may move it. */
static void value_of(sse_store_t *store, int db, void *key, apr_size_t len,
                     void *to, apr_size_t size)
{
    MDB_val name = {len, key}, val;
    sse_lmdb_state_t state;
    MDB_txn *txn;

    if (!sse_lmdb_read_begin(LMDB(store), &txn, &state)) {
        if (!mdb_get(txn, LMDB(store)->db[db], &name, &val)) {
            memcpy(to, val.mv_data, val.mv_size < size ? val.mv_size : size);
        }
        sse_lmdb_read_end(LMDB(store), txn);
    }
}

static void test_damage(apr_pool_t *pool)
{
    sse_store_t *store = test_store("damage", "16m", pool);
    unsigned char key[16], buf[16], mark[25] = {SSE_MARK_DUE, 0};
    unsigned char owner[2 + 5 + 16] = {
        SSE_MARK_OWNER, 5, 'c', 'h', 'i', 'l', 'd'};
    sse_lmdb_presence_t on = {0}, more;
    char member[512] = "";

    did(store, joins("c", "s1", "ann", NULL));
    did(store, joins("c", "s2", "ann", NULL));
    value_of(store, SSE_DB_PRESENCE, (void *)"c", 1, &on, sizeof(on));
    more = on;
    more.streams++;
    spoil(store, SSE_DB_PRESENCE, "c", 1, &more, sizeof(more),
          "presence has a channel that has not as many members");
    more = on;
    more.users++;
    spoil(store, SSE_DB_PRESENCE, "c", 1, &more, sizeof(more),
          "presence has a channel that has not as many users");
    more = on;
    more.number += 1000;
    spoil(store, SSE_DB_PRESENCE, "c", 1, &more, sizeof(more),
          "presence has a number that was never given");
    spoil(store, SSE_DB_PRESENCE, "c", 1, NULL, 0,
          "members has a member of which its channel does not know");
    spoil(store, SSE_DB_PRESENCE, "c", 1, "x", 1,
          "presence has a channel that is none");
    spoil(store, SSE_DB_MARKS, mark, sizeof(mark), "", 0, "presence has");
    spoil(store, SSE_DB_PRESENCE, "c", 1, &on, sizeof(on),
          "marks has a mark without its member");
    spoil(store, SSE_DB_MARKS, mark, sizeof(mark) - 1, "", 0,
          "marks has a mark that is none");
    spoil(store, SSE_DB_MARKS, mark, sizeof(mark) - 1, NULL, 0, "marks has");
    memset(mark + 1, 0, sizeof(mark) - 1);
    spoil(store, SSE_DB_MARKS, mark, sizeof(mark), NULL, 0, "sound");
    sse_lmdb_pair_set(mark + 9, on.number, on.number + 1);
    spoil(store, SSE_DB_MARKS, mark, sizeof(mark), "", 0,
          "marks has a mark that its member has not");
    spoil(store, SSE_DB_MARKS, mark, sizeof(mark), NULL, 0, "sound");
    mark[0] = SSE_MARK_PERSON;
    sse_lmdb_pair_set(mark + 1, on.number, 9);
    sse_lmdb_pair_set(buf, on.number + 1, 0);
    memcpy(mark + 17, buf, 8);
    spoil(store, SSE_DB_MARKS, mark, sizeof(mark), "", 0,
          "marks has a mark that its member has not");
    spoil(store, SSE_DB_MARKS, mark, sizeof(mark), NULL, 0, "sound");
    sse_lmdb_pair_set(owner + 7, on.number, on.number + 1);
    spoil(store, SSE_DB_MARKS, owner, sizeof(owner), NULL, 0,
          "members has a member that lacks a mark");
    sse_lmdb_pair_set(key, on.number, on.number + 1);
    value_of(store, SSE_DB_MEMBERS, key, sizeof(key), member, sizeof(member));
    ok(member[0] == 7, "a member");
    spoil(store, SSE_DB_MEMBERS, key, sizeof(key), member, 50,
          "presence has a channel that has not as many members");
    spoil(store, SSE_DB_MEMBERS, key, sizeof(key), NULL, 0,
          "presence has a channel that has not as many members");
}

/* -- Stores without them --------------------------------------------------- */

/* As a module that does not know them leaves it. */
static int drop_dbs(sse_store_t *store)
{
    sse_lmdb_write_t w;
    int db, rc = sse_lmdb_write_begin(&w, LMDB(store));

    for (db = SSE_DB_PRESENCE; db < SSE_DB_COUNT && !rc; ++db) {
        rc = mdb_drop(w.txn, LMDB(store)->db[db], 1);
    }
    rc = rc ? rc : mdb_txn_commit(w.txn);
    sse_lmdb_gate_leave(LMDB(store), NULL);
    return rc;
}

/* Settings of a store that has an event and none of these databases. */
static sse_store_conf_t *old_conf(apr_pool_t *pool, const char *name)
{
    sse_store_conf_t *conf = test_conf(pool, name, "16m", "off");
    apr_pool_t *sub;
    sse_store_t *store;

    apr_pool_create(&sub, pool);
    store = test_open(conf, sub);
    publish(store, "told", "old", &keep_all);
    is_num(drop_dbs(store), 0, "a store without these databases");
    apr_pool_destroy(sub);
    return conf;
}

static void test_prepared(apr_pool_t *pool)
{
    sse_store_conf_t *conf = old_conf(pool, "prepared");
    sse_store_t *store = test_open(conf, pool); /* fails if there is a notice */

    ok(LMDB(store)->db[SSE_DB_MARKS], "is prepared with them");
    says(did(store, joins("c", "s1", "ann", "+s1")), "changed 1 1", "for use");
    is_str(events(store), "old +s1 ", "and its events are there");
    is_str(check(store), "sound", "sound");
}

/* As it could not be prepared: children open it as it is. */
static void test_at_need(apr_pool_t *pool)
{
    sse_store_conf_t *conf = old_conf(pool, "need");
    sse_inspect_stat_t stat;
    sse_inspect_t in;
    sse_store_t *store;

    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS, "opened");
    ok(!LMDB(store)->db[SSE_DB_MARKS], "without them");
    is_str(who(store, "c"), "", "nobody is on a channel");
    is_str(whose(store, "child", 9), "", "no child has members");
    is_str(who_is_due(store, 0, 9), "", "nobody is due");
    is_str(check(store), "sound", "it is sound");
    in.store = LMDB(store);
    ok(sse_inspect_stat(&in, &stat) == SSE_INSPECT_OK && stat.events == 1,
       "and has its event");
    ok(publish(store, "told", "new", &keep_all), "one more");
    says(did(store, leaves("c", "s1", 0, "-s1")), "nothing 0 0",
         "with the first change");
    ok(LMDB(store)->db[SSE_DB_MARKS], "they are made");
    says(did(store, joins("c", "s1", "ann", "+s1")), "changed 1 1", "for use");
    is_str(events(store), "old new +s1 ", "and its events are there");
    is_str(check(store), "sound", "sound");
}

/* A process that has LMDB's lock until its input ends. */
static pid_t hold_lock(const sse_store_conf_t *conf, int *in)
{
    int to[2], from[2];
    sse_lmdb_write_t w;
    sse_store_t *store;
    char c = 'x';
    pid_t pid;

    if (pipe(to) || pipe(from)) {
        exit(1);
    }
    if (!(pid = fork())) {
        close(to[1]);
        if (sse_store_open(&store, conf, NULL, test_pool()) ||
            sse_lmdb_write_begin(&w, LMDB(store)) ||
            write(from[1], &c, 1) != 1) {
            _exit(9);
        }
        _exit(read(to[0], &c, 1) != 0);
    }
    is_num(read(from[0], &c, 1), 1, "another process has the lock");
    close(to[0]);
    close(from[0]);
    close(from[1]);
    *in = to[1];
    return pid;
}

static int is_over; /* atomic */

static void *change_one(void *store)
{
    sse_presence_t c = joins("c", "s1", "ann", NULL);
    static apr_status_t rv;

    rv = sse_store_presence_change(store, &c, 1);
    __atomic_store_n(&is_over, 1, __ATOMIC_SEQ_CST);
    return &rv;
}

/* Who would make them waits for the lock, but nobody else does. */
static void test_locked(apr_pool_t *pool)
{
    sse_store_conf_t *conf = old_conf(pool, "locked");
    int i, in, failed = 0;
    pthread_t thread;
    sse_store_t *store;
    void *result;
    sse_id_t id;
    pid_t pid = hold_lock(conf, &in);

    sse_lmdb_lock_know(-1); /* as on a machine that has not seen its word */
    sse_store_open(&store, conf, NULL, pool);
    pthread_create(&thread, NULL, change_one, store);
    for (i = 0; i < 10000 && !__atomic_load_n(&is_over, __ATOMIC_SEQ_CST);
         ++i) {
        failed |= sse_store_last(store, &id) != APR_SUCCESS;
        usleep(1000);
    }
    close(in);
    pthread_join(thread, &result);
    is_num(*(apr_status_t *)result, SSE_STORE_EBUSY, "they cannot be made");
    is_num(failed, 0, "readers did not notice");
    ok(!LMDB(store)->db[SSE_DB_MARKS], "there are none");
    is_num(wait_for(pid), 0, "the lock is free");
    says(did(store, joins("c", "s1", "ann", NULL)), "changed 1 1",
         "then they are made");
    is_str(check(store), "sound", "sound");
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* A disk without room for them is no reason to begin a new store. */
static void test_no_room(apr_pool_t *pool)
{
    sse_store_conf_t *conf = old_conf(pool, "full");
    const char *notice = NULL;
    sse_store_t *store;

    limit_files(4096);
    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS,
           "on a full disk it is prepared");
    limit_files(RLIM_INFINITY);
    ok(!notice, "and nothing said");
    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS, "opened");
    ok(!LMDB(store)->db[SSE_DB_MARKS], "without them");
    is_str(events(store), "old ", "but with its event");
    says(did(store, joins("c", "s1", "ann", NULL)), "changed 1 1",
         "they are made when there is room");
    is_str(check(store), "sound", "sound");
}

/* The check at the start sees a member that cannot be one. */
static void test_moved_aside(apr_pool_t *pool)
{
    sse_store_conf_t *conf = test_conf(pool, "aside", "16m", "off");
    apr_pool_t *sub;
    sse_store_t *store;
    const char *notice = NULL;
    unsigned char key[16];

    apr_pool_create(&sub, pool);
    store = test_open(conf, sub);
    did(store, joins("c", "s1", "ann", NULL));
    sse_lmdb_pair_set(key, 1, 1);
    spoil(store, SSE_DB_MEMBERS, key, sizeof(key), "x", 1, "damaged");
    apr_pool_destroy(sub);
    is_num(test_prepare(conf, &notice, pool), APR_SUCCESS, "prepared");
    ok(notice && strstr(notice, "damaged"), "and moved aside");
    is_num(sse_store_open(&store, conf, NULL, pool), APR_SUCCESS, "a new one");
    is_str(who(store, "c"), "", "begins with nobody");
}

/* One child has opened it as it is, and another makes them. */
static void test_another_makes_them(apr_pool_t *pool)
{
    sse_store_conf_t *conf = old_conf(pool, "another");
    sse_store_t *store;
    int to[2], from[2];
    char c = 'x';
    pid_t pid;

    if (pipe(to) || pipe(from)) {
        return;
    }
    if (!(pid = fork())) {
        sse_store_open(&store, conf, NULL, pool);
        c = *who(store, "c") ? 'n' : 'y';
        if (write(from[1], &c, 1) != 1 || read(to[0], &c, 1) != 1) {
            _exit(9);
        }
        _exit(strcmp(who(store, "c"), "s1/s1=ann ") != 0);
    }
    is_num(read(from[0], &c, 1), 1, "it is open");
    is_num(c, 'y', "with nobody in it");
    sse_store_open(&store, conf, NULL, pool);
    says(did(store, joins("c", "s1", "ann", NULL)), "changed 1 1",
         "another process has members");
    is_num(write(to[1], &c, 1), 1, "the first looks again");
    is_num(wait_for(pid), 0, "and sees them");
    close(to[0]);
    close(to[1]);
    close(from[0]);
    close(from[1]);
}

int main(void)
{
    static void (*const tests[])(apr_pool_t *) = {
        test_nothing_left,       test_damage,  test_prepared,    test_at_need,
        test_another_makes_them, test_no_room, test_moved_aside, test_locked};
    apr_size_t i;

    test_begin();
    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); ++i) {
        apr_pool_t *pool = test_pool();

        tests[i](pool);
        apr_pool_destroy(pool);
    }
    return test_end();
}
