/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/notify/webhook/sse_hook_claim.c: what dead owners have left is sent, by
 * one, in order; each open has its close.  Whoever is killed, at whatever
 * point, loses nothing. */

#include "hook_spool.h"

#include <apr_hash.h>
#include <fcntl.h>
#include <pthread.h>

#include "sse_atomic.h"

static sse_spool_t *spool_of(const char *owner, apr_pool_t **own)
{
    apr_pool_create(own, NULL);
    return open_as(owner, *own);
}

static void test_claim(void)
{
    apr_pool_t *first, *second, *third;
    sse_spool_t *living, *dead, *mine;
    sse_spool_at_t at = {0, 0};
    const char *all;

    living = spool_of("living.1", &first);
    dead = spool_of("dead.1", &second);
    mine = spool_of("me.2", &third);
    say(living, "open x");
    say(dead, "open a");
    say(dead, "publish p");
    say(dead, "open b");
    say(dead, "close a");
    say(dead, "silent c");
    say(mine, "open m");
    all = waiting_from(mine, &at, NULL);
    is_str(all, "m.open", "one's own");
    is_num(claim(mine), APR_SUCCESS, "the dead are claimed");
    say(mine, "close m");
    all = waiting_from(mine, &at, NULL);
    is_str(all, "a.open p.publish b.open a.close b.close c.close m.close",
           "what waits, in order, and closes of what was open");
    is_str(waiting(mine),
           "m.open a.open p.publish b.open a.close b.close c.close m.close",
           "all of it, for who begins");
    is_num(claim(mine), APR_SUCCESS, "again");
    is_num(calls_of(mine), 8, "changes nothing");
    is_num(count_files(dir, "hooks.me.2."), 2, "the queue has a new owner");
    is_num(count_files(dir, "hooks.dead"), 0, "the old one has none");
    is_str(waiting(living), "x.open", "who lives keeps all");
    is_num(send_some(mine, -1), 8, "all is sent");
    is_num(count_files(dir, "hooks.me.2."), 1, "and the queue is gone");
    send_some(living, -1);
    say(living, "close x");
    send_some(living, -1);
    apr_pool_destroy(first);
    apr_pool_destroy(third);
    apr_pool_destroy(second); /* its files are gone */
    is_num(count_files(dir, ""), 0, "nothing is left");
}

static void test_others(void)
{
    apr_pool_t *own;
    sse_spool_t *mine = spool_of("me.1", &own);
    const char *names[] = {"data.mdb", "open.dead.1", "hooks.dead.1", "hooks.x",
                           "hooks.dead.1.x"};
    int i;

    for (i = 0; i < 5; ++i) {
        close(open(path_of(names[i]), O_CREAT | O_WRONLY, 0600));
    }
    mkdir(path_of("hooks.dead.2.1+"), 0700);
    mkdir(path_of("hooks.dead.2.7"), 0700);
    close(open(path_of("hooks.dead.2.7/000001"), O_CREAT | O_WRONLY, 0600));
    is_num(claim(mine), APR_SUCCESS, "other files are left alone");
    is_num(count_files(dir, ""), 6, "but those that were only begun");
    for (i = 0; i < 5; ++i) {
        unlink(path_of(names[i]));
    }
    apr_pool_destroy(own);
    is_num(count_files(dir, ""), 0, "nothing is left");
}

/* An orphan that nobody makes a close for is told of again. */
static void on_orphan_count(void *baton, const sse_call_t *open)
{
    ++*(int *)baton;
}

static void test_left(void)
{
    apr_pool_t *first, *second;
    sse_spool_t *dead = spool_of("dead.1", &first), *mine;
    int n = 0;

    say(dead, "open a");
    say(dead, "open b");
    send_some(dead, -1);
    apr_pool_destroy(first);
    mine = spool_of("dead.2", &second);
    is_num(sse_spool_claim(mine, is_living, on_orphan_count, &n, second),
           APR_EAGAIN, "no close was added");
    is_num(n, 2, "for two");
    is_num(say(mine, "close b"), APR_SUCCESS, "one comes later");
    is_num(sse_spool_claim(mine, is_living, on_orphan_count, &n, second),
           APR_EAGAIN, "the other one");
    is_num(n, 3, "is told again");
    is_num(claim(mine), APR_SUCCESS, "until it has a close");
    is_str(waiting(mine), "b.close a.close", "all are there");
    send_some(mine, -1);
    apr_pool_destroy(second);
    is_num(count_files(dir, ""), 0, "nothing is left");
}

/* A child does not take more than the bounds allow. */
static void test_most(void)
{
    apr_pool_t *own[4];
    sse_spool_t *spool;
    int i, n;

    for (i = 0; i < 3; ++i) {
        spool = spool_of(apr_psprintf(pool, "dead.%d", i), &own[i]);
        for (n = 0; n < 60; ++n) {
            say(spool, "publish p");
        }
        apr_pool_destroy(own[i]);
    }
    apr_pool_create(&own[3], NULL);
    spool = open_sized("me.1", 100, MANY_BYTES, own[3]);
    is_num(claim(spool), APR_EAGAIN, "three have left queues");
    is_num(calls_of(spool), 120, "two are claimed");
    is_num(say(spool, "publish p"), APR_SUCCESS, "which count for themselves");
    send_some(spool, -1);
    is_num(claim(spool), APR_SUCCESS, "the third one later");
    is_num(send_some(spool, -1), 60, "is sent, too");
    apr_pool_destroy(own[3]);
    is_num(count_files(dir, ""), 0, "nothing is left");
}

/* -- Threads --------------------------------------------------------------- */

enum { QUEUES = 30, OPENS = 20 };

typedef struct {
    sse_spool_t *spool;
    int is_over; /* atomic */
    int failed;
} busy_t;

/* Dead owners, one after the other: each has its opens told. */
static void *run_claims(void *baton)
{
    busy_t *busy = baton;
    apr_pool_t *own;
    sse_spool_t *dead;
    char words[40];
    int i, n;

    for (i = 0; i < QUEUES; ++i) {
        apr_snprintf(words, sizeof(words), "dead.%d", i);
        apr_pool_create(&own, NULL);
        dead = open_as(words, own);
        for (n = 0; n < OPENS; ++n) {
            apr_snprintf(words, sizeof(words), "open d%d.%d", i, n);
            busy->failed += say(dead, words) != APR_SUCCESS;
        }
        send_some(dead, n / 2);
        apr_pool_destroy(own);
        busy->failed += claim(busy->spool) != APR_SUCCESS;
    }
    return NULL;
}

static void *run_adds(void *baton)
{
    busy_t *busy = baton;
    char words[40];
    int i;

    for (i = 0; !sse_atomic_load(&busy->is_over); ++i) {
        apr_snprintf(words, sizeof(words), "open m%d", i);
        busy->failed += say(busy->spool, words) != APR_SUCCESS;
        apr_snprintf(words, sizeof(words), "close m%d", i);
        busy->failed += say(busy->spool, words) != APR_SUCCESS;
    }
    return NULL;
}

/* A child adds, claims and sends at the same time. */
static void test_busy(void)
{
    apr_pool_t *own;
    busy_t adds = {0}, claims = {0};
    pthread_t threads[2];
    sse_spool_at_t at = {0, 0};
    sse_room_t room = {0};
    sse_call_t call;
    int n = 0;

    adds.spool = claims.spool = spool_of("me.1", &own);
    pthread_create(&threads[0], NULL, run_adds, &adds);
    pthread_create(&threads[1], NULL, run_claims, &claims);
    while (n < QUEUES * OPENS * 3 / 2) {
        if (sse_spool_next(claims.spool, NULL, &at, &call, &room) ==
            APR_SUCCESS) {
            n += *call.stream.ptr == 'd';
            sse_spool_done(claims.spool, at);
        }
    }
    pthread_join(threads[1], NULL);
    sse_atomic_store(&adds.is_over, 1);
    pthread_join(threads[0], NULL);
    is_num(adds.failed + claims.failed, 0, "one adds while another claims");
    while (sse_spool_next(claims.spool, NULL, &at, &call, &room) ==
           APR_SUCCESS) {
        n += *call.stream.ptr == 'd';
        sse_spool_done(claims.spool, at);
    }
    is_num(n, QUEUES * OPENS * 3 / 2, "each of the dead's calls comes once");
    is_num(calls_of(claims.spool), 0, "a position passes none");
    sse_room_free(&room);
    apr_pool_destroy(own);
    is_num(count_files(dir, ""), 0, "nothing is left");
}

/* -- Processes ------------------------------------------------------------- */

/* Four claim at the same time, and all of them live. */
static int claim_together(const char *me, int fd)
{
    apr_pool_t *own;
    sse_spool_t *spool = spool_of(me, &own);
    int n = -1;

    if (claim(spool) == APR_SUCCESS) {
        n = send_some(spool, -1);
    }
    apr_pool_destroy(own);
    return write(fd, &n, sizeof(n)) != (ssize_t)sizeof(n);
}

static void test_together(void)
{
    enum { CHILDREN = 4, OWNERS = 40, STREAMS = 10 };
    apr_pool_t *own;
    sse_spool_t *spool;
    int fds[2] = {-1, -1}, i, n, sum = 0, failed = 0;

    for (i = 0; i < OWNERS; ++i) {
        spool = spool_of(apr_psprintf(pool, "dead.%d", i), &own);
        for (n = 0; n < STREAMS; ++n) {
            failed += say(spool, apr_psprintf(pool, "open %d.%d", i, n)) !=
                      APR_SUCCESS;
        }
        apr_pool_destroy(own);
    }
    is_num(failed, 0, "400 opens of 40 owners");
    ok(!pipe(fds), "a pipe");
    fflush(stdout);
    for (i = 0; i < CHILDREN; ++i) {
        if (fork() == 0) {
            _exit(claim_together(apr_psprintf(pool, "living.%d", i), fds[1]));
        }
    }
    for (i = 0; i < CHILDREN; ++i) {
        wait(&n);
        failed += n;
        sum += read(fds[0], &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : -10000;
    }
    is_num(failed, 0, "four processes claim at the same time");
    is_num(sum, 2 * OWNERS * STREAMS, "each open and close goes to one");
    is_num(count_files(dir, ""), 0, "nothing is left");
    close(fds[0]);
    close(fds[1]);
}

/* -- SIGKILL --------------------------------------------------------------- */

/* What a target has been told, over all processes: a pipe takes the ids of
 * calls as they are sent, and "+ID" of what was added. */
static int told[2] = {-1, -1};

static void tell(char how, const char *id, size_t len)
{
    char line[100];
    int n = apr_snprintf(line, sizeof(line), "%c%.*s\n", how, (int)len, id);

    if (write(told[1], line, (size_t)n) != n) {
        _exit(3);
    }
}

/* Sent first, finished then, as the sender does. */
static void send_and_tell(sse_spool_t *spool, int most)
{
    sse_spool_at_t at = {0, 0};
    sse_room_t room = {0};
    sse_call_t call;

    while (most-- &&
           sse_spool_next(spool, NULL, &at, &call, &room) == APR_SUCCESS) {
        tell('=', call.id.ptr, call.id.len);
        sse_spool_done(spool, at);
    }
    sse_room_free(&room);
}

static void on_orphan_told(void *baton, const sse_call_t *open)
{
    on_orphan(baton, open);
    tell('+', open->stream.ptr, open->stream.len);
}

/* A child that opens streams, closes some, sends some, until it is killed. */
static void be_child(const char *me)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    int i;

    apr_pool_create(&own, NULL);
    spool = open_sized(me, MANY_CALLS, 64 * 65536, own);
    if (sse_spool_claim(spool, is_living, on_orphan_told, spool, own)) {
        _exit(4);
    }
    for (i = 0;; ++i) {
        char words[60], stream[40];

        apr_snprintf(stream, sizeof(stream), "%s-%d", me, i);
        apr_snprintf(words, sizeof(words), "%s %s", i % 3 ? "open" : "silent",
                     stream);
        if (say(spool, words)) {
            _exit(5);
        }
        tell('+', stream, strlen(stream));
        if (i >= 5 && i % 7) {
            apr_snprintf(words, sizeof(words), "close %s-%d", me, i - 5);
            say(spool, words);
        }
        if (i % 4 == 0) {
            send_and_tell(spool, 5);
        }
        if (i % 16 == 0 && i) {
            apr_pool_t *p;

            apr_pool_create(&p, NULL);
            sse_spool_claim(spool, is_living, on_orphan_told, spool, p);
            apr_pool_destroy(p);
        }
    }
}

typedef struct {
    apr_hash_t *opens, *closes, *added; /* how often, by stream */
    int doubles, disorder;
    char *rest;
} target_t;

static int *entry(apr_hash_t *hash, const char *key)
{
    int *n = apr_hash_get(hash, key, APR_HASH_KEY_STRING);

    if (!n) {
        n = apr_pcalloc(pool, sizeof(*n));
        apr_hash_set(hash, apr_pstrdup(pool, key), APR_HASH_KEY_STRING, n);
    }
    return n;
}

/* A killed process may have left part of its line at the end of what there is,
 * but writes of that size to a pipe are whole. */
static void hear(target_t *target, char *line)
{
    char *dot = strrchr(line, '.');

    if (*line == '+') {
        ++*entry(target->added, line + 1);
        return;
    }
    *dot++ = '\0';
    if (!strcmp(dot, "close")) {
        target->doubles += (*entry(target->closes, line + 1))++ > 0;
    }
    else {
        target->doubles += (*entry(target->opens, line + 1))++ > 0;
        target->disorder += apr_hash_get(target->closes, line + 1,
                                         APR_HASH_KEY_STRING) != NULL &&
                            *entry(target->opens, line + 1) == 1;
    }
}

static void hear_all(target_t *target)
{
    static char buffer[1 << 20];
    static size_t used;
    ssize_t n;
    char *line = buffer, *end;

    while ((n = read(told[0], buffer + used, sizeof(buffer) - used - 1)) > 0) {
        used += (size_t)n;
        buffer[used] = '\0';
        for (line = buffer; (end = strchr(line, '\n')) != NULL;
             line = end + 1) {
            *end = '\0';
            hear(target, line);
        }
        used -= (size_t)(line - buffer);
        memmove(buffer, line, used);
    }
}

static int count_unpaired(const target_t *target)
{
    apr_hash_index_t *i;
    int n = 0;

    for (i = apr_hash_first(pool, target->added); i; i = apr_hash_next(i)) {
        n += !apr_hash_get(target->closes, apr_hash_this_key(i),
                           APR_HASH_KEY_STRING);
    }
    return n;
}

/* Two children at a time; each is killed in the midst of what it does, also
 * while it claims what the ones before it have left. */
static void test_killed(void)
{
    enum { ROUNDS = 80 };
    apr_pool_t *own;
    sse_spool_t *spool;
    target_t target = {0};
    pid_t pid[2] = {0, 0};
    int round, i, status, wrong = 0;

    target.opens = apr_hash_make(pool);
    target.closes = apr_hash_make(pool);
    target.added = apr_hash_make(pool);
    ok(!pipe(told), "a target");
    fcntl(told[0], F_SETFL, O_NONBLOCK);
    fcntl(told[0], F_SETPIPE_SZ, 1 << 20);
    fflush(stdout);
    for (round = 0; round < ROUNDS; ++round) {
        /* who is dead has a name that says so before it is */
        const char *me = apr_psprintf(pool, "dead.%d", round);

        if (pid[0]) {
            kill(pid[0], SIGKILL);
            waitpid(pid[0], &status, 0);
            wrong += !WIFSIGNALED(status);
        }
        if (!(pid[0] = fork())) {
            be_child(me);
        }
        usleep((useconds_t)(round * 211 % 9000));
        hear_all(&target);
        /* However slow the machine is, in one round they have come so far. */
        for (i = 0; round == ROUNDS - 1 && i < 10000 &&
                    apr_hash_count(target.added) <= 100;
             ++i) {
            usleep(1000);
            hear_all(&target);
        }
    }
    kill(pid[0], SIGKILL);
    waitpid(pid[0], &status, 0);
    is_num(wrong, 0, "80 children are killed");
    spool = spool_of("dead.end", &own);
    is_num(sse_spool_claim(spool, is_living, on_orphan_told, spool, own),
           APR_SUCCESS, "the last one claims all");
    for (; calls_of(spool); hear_all(&target)) {
        send_and_tell(spool, 1000);
    }
    hear_all(&target);
    printf("# %u streams, %u opens, %u closes, %d twice\n",
           apr_hash_count(target.added), apr_hash_count(target.opens),
           apr_hash_count(target.closes), target.doubles);
    ok(apr_hash_count(target.added) > 100, "many streams were opened");
    is_num(count_unpaired(&target), 0, "each has its close");
    is_num(target.disorder, 0, "none before its open");
    ok(target.doubles <= 2 * ROUNDS, "few come twice");
    apr_pool_destroy(own);
    is_num(count_files(dir, ""), 0, "nothing is left");
}

int main(void)
{
    begin();
    test_claim();
    test_others();
    test_left();
    test_most();
    test_busy();
    test_together();
    test_killed();
    return end();
}
