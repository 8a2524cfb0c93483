/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Who is on a channel, with many processes: whoever is killed at whatever
 * moment, the members are what the events tell; and what a snapshot shows is
 * what came before its id. */

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "presence.h"

#define KILLS     50
#define PROCESSES 2
#define CHANNELS  2
#define USERS     4
#define STREAMS   24
#define BATCH     6
#define SNAPSHOTS 150
#define THREADS   4

static int *changed; /* atomic, shared by all processes: calls that did well */

/* How many members each channel has of each user, as the events tell. */
typedef int crowd_t[CHANNELS][USERS];

/** A random change, with all that it points to. */
typedef struct {
    sse_presence_t change;
    char channel[8], stream[8], user[8], words[16];
    sse_append_t event;
} random_t;

/* A stream's number tells its user's. */
static void make_random(random_t *r, unsigned int *seed, int process)
{
    int channel = rand_r(seed) % CHANNELS, stream = rand_r(seed) % STREAMS;
    int what = rand_r(seed) % 5;

    snprintf(r->channel, sizeof(r->channel), "c%d", channel);
    snprintf(r->stream, sizeof(r->stream), "s%d", stream);
    snprintf(r->user, sizeof(r->user), "u%d", stream % USERS);
    snprintf(r->words, sizeof(r->words), "%c%d %d", what < 2 ? '+' : '-',
             channel, stream % USERS);
    r->change = what < 2    ? joins(r->channel, r->stream, r->user, NULL)
                : what == 2 ? leaves(r->channel, r->stream, 0, NULL)
                : what == 3
                    ? leaves(r->channel, r->stream, 2000, NULL)
                    : change(SSE_PRESENCE_EXPIRE, r->channel, r->stream, NULL);
    r->change.owner = text(process ? "second" : "first");
    r->event = item("told", r->words, NULL, &keep_all);
    r->change.event = what < 4 ? &r->event : NULL;
}

static apr_status_t change_some(sse_store_t *store, unsigned int *seed,
                                int process)
{
    random_t random[BATCH];
    sse_presence_t changes[BATCH];
    int i, n = 1 + rand_r(seed) % BATCH;

    for (i = 0; i < n; ++i) {
        make_random(&random[i], seed, process);
        changes[i] = random[i].change;
    }
    return sse_store_presence_change(store, changes, n);
}

static void change_for_ever(const sse_store_conf_t *conf, unsigned int seed)
{
    sse_store_t *store;
    apr_status_t rv;

    if (sse_store_open(&store, conf, NULL, test_pool())) {
        _exit(9);
    }
    for (;;) {
        rv = change_some(store, &seed, (int)seed % PROCESSES);
        if (rv && !is_held_up(rv)) {
            _exit(8);
        }
        __atomic_fetch_add(changed, !rv, __ATOMIC_SEQ_CST);
    }
}

static apr_status_t apply_event(void *baton, const sse_record_t *record)
{
    int(*crowd)[USERS] = baton;
    char words[16], sign;
    int channel, user;

    snprintf(words, sizeof(words), "%.*s", (int)record->fields.data.len,
             record->fields.data.ptr);
    if (sscanf(words, "%c%d %d", &sign, &channel, &user) != 3) {
        return APR_EINVAL;
    }
    crowd[channel][user] += sign == '+' ? 1 : -1;
    return APR_SUCCESS;
}

/* Apply the events from *next up to that id. @return whether none is missing */
static int apply_upto(sse_store_t *store, crowd_t crowd, sse_id_t *next,
                      sse_id_t upto)
{
    int missing, n;

    while (*next < upto) {
        n = upto - *next < 1000 ? (int)(upto - *next) : 1000;
        if (sse_store_follow(store, *next, n, apply_event, crowd, next,
                             &missing) ||
            missing) {
            return 0;
        }
    }
    return *next == upto;
}

static apr_status_t count_member(void *baton,
                                 const sse_presence_member_t *member)
{
    int(*crowd)[USERS] = baton;

    crowd[member->channel.ptr[1] - '0'][member->user.ptr[1] - '0']++;
    return APR_SUCCESS;
}

/* The members of a channel, in one snapshot.
 * @return whether the counts are those of the list */
static int look(sse_store_t *store, int channel, crowd_t crowd, sse_id_t *last)
{
    apr_uint64_t streams, users;
    char name[8];
    int i, n = 0, n_users = 0;

    snprintf(name, sizeof(name), "c%d", channel);
    memset(crowd[channel], 0, sizeof(crowd[channel]));
    if (sse_store_presence_list(store, text(name), 10000, count_member, crowd,
                                last, &streams, &users)) {
        return 0;
    }
    for (i = 0; i < USERS; ++i) {
        n += crowd[channel][i];
        n_users += crowd[channel][i] > 0;
    }
    return streams == (apr_uint64_t)n && users == (apr_uint64_t)n_users;
}

static void start(pid_t *pid, const sse_store_conf_t *conf, unsigned int seed)
{
    let_threads_end();
    if (!(*pid = fork())) {
        change_for_ever(conf, seed);
    }
}

/* What is there after some processes were killed is what was told. */
static void test_kills(void)
{
    apr_pool_t *pool = test_pool(), *sub;
    sse_store_conf_t *conf = test_conf(pool, "kills", "64m", "off");
    const char *notice, *noticed = NULL, *found = "sound";
    crowd_t told_of = {{0}}, there = {{0}};
    sse_store_t *store;
    sse_id_t next, last = 0;
    pid_t pid[PROCESSES];
    int round, i, early = 0, wrong = 0;

    apr_pool_create(&sub, pool);
    next = last_of(test_open(conf, sub));
    apr_pool_destroy(sub);
    for (round = 0; round < KILLS; ++round) {
        for (i = 0; i < PROCESSES; ++i) {
            start(&pid[i], conf, (unsigned int)(round * PROCESSES + i));
        }
        usleep((unsigned int)(round * 7919 % 23) * 500);
        /* However slow the machine is, in one round they have come so far. */
        for (i = 0; round == KILLS - 1 && i < 10000 &&
                    !__atomic_load_n(changed, __ATOMIC_SEQ_CST);
             ++i) {
            usleep(1000);
        }
        for (i = 0; i < PROCESSES; ++i) {
            kill(pid[i], SIGKILL);
            early |= wait_for(pid[i]) != -SIGKILL;
        }
        wrong |= test_prepare(conf, &notice, pool) != APR_SUCCESS;
        noticed = notice ? notice : noticed;
        apr_pool_create(&sub, pool);
        sse_store_open(&store, conf, NULL, sub);
        found = strcmp(found, "sound") ? found : check(store);
        for (i = 0; i < CHANNELS; ++i) {
            wrong |= !look(store, i, there, &last);
        }
        wrong |= !apply_upto(store, told_of, &next, last);
        wrong |= memcmp(told_of, there, sizeof(there)) != 0;
        apr_pool_destroy(sub);
    }
    is_num(early, 0, "all lived until they were killed");
    ok(!noticed, "the store is sound for prepare");
    is_str(found, "sound", "and in all of its parts");
    is_num(wrong, 0, "who is there is who was told of, every time");
    ok(*changed > 0, "there were some");
    apr_pool_destroy(pool);
}

/* A list, and the events after its id, give the next list. */
static void test_snapshots(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_conf_t *conf = test_conf(pool, "snapshots", "64m", "off");
    sse_store_t *store = test_open(conf, pool);
    crowd_t now = {{0}}, then = {{0}};
    sse_id_t next, last = 0;
    int i, channel, wrong = 0, moved = 0;
    pid_t pid;

    start(&pid, conf, 4711);
    for (i = 0; i < SNAPSHOTS || (moved < 10 && i < 20000); ++i) {
        channel = i % CHANNELS;
        memset(then, 0, sizeof(then));
        wrong |= !look(store, channel, then, &next);
        usleep(500);
        wrong |= !look(store, channel, now, &last);
        moved += last > next;
        wrong |= !apply_upto(store, then, &next, last);
        wrong |= memcmp(then[channel], now[channel], sizeof(now[0])) != 0;
    }
    kill(pid, SIGKILL);
    is_num(wait_for(pid), -SIGKILL, "it went on until it was killed");
    is_num(wrong, 0, "what is not in the list came after its id, all of it");
    ok(moved >= 10, "while members came and went");
    apr_pool_destroy(pool);
}

/* -- Threads --------------------------------------------------------------- */

typedef struct {
    sse_store_t *store;
    int who, failed;
} worker_t;

static void *change_many(void *data)
{
    worker_t *worker = data;
    unsigned int seed = (unsigned int)worker->who;
    apr_status_t rv;
    int i;

    for (i = 0; i < 300; ++i) {
        rv = change_some(worker->store, &seed, worker->who % PROCESSES);
        worker->failed |= rv && !is_held_up(rv);
    }
    return NULL;
}

static apr_status_t see_any(void *baton, sse_slice_t owner)
{
    return APR_SUCCESS;
}

static void *look_often(void *data)
{
    worker_t *worker = data;
    crowd_t crowd = {{0}};
    apr_status_t rv;
    sse_id_t last;
    int i;

    for (i = 0; i < 300; ++i) {
        worker->failed |= !look(worker->store, i % CHANNELS, crowd, &last);
        rv = sse_store_presence_owners(worker->store, see_any, NULL);
        rv = rv ? rv
                : sse_store_presence_of(worker->store, text("first"), 5,
                                        count_member, crowd);
        rv = rv ? rv
                : sse_store_presence_due(worker->store, apr_time_now(), 5,
                                         count_member, crowd);
        worker->failed |= rv != APR_SUCCESS;
    }
    return NULL;
}

static void test_threads(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("threads", "64m", pool);
    pthread_t thread[2 * THREADS];
    worker_t worker[2 * THREADS];
    int i, failed = 0;

    for (i = 0; i < 2 * THREADS; ++i) {
        worker[i] = (worker_t){store, i, 0};
        pthread_create(&thread[i], NULL, i % 2 ? look_often : change_many,
                       &worker[i]);
    }
    for (i = 0; i < 2 * THREADS; ++i) {
        pthread_join(thread[i], NULL);
        failed |= worker[i].failed;
    }
    is_num(failed, 0, "threads that change and look");
    is_str(check(store), "sound", "sound");
    apr_pool_destroy(pool);
}

int main(void)
{
    test_begin();
    changed = mmap(NULL, sizeof(*changed), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (changed == MAP_FAILED) {
        return 1;
    }
    test_kills();
    test_snapshots();
    test_threads();
    return test_end();
}
