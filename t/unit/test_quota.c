/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The counters behind the limits: exact, with many processes and threads at it,
 * and when some of them are killed, whatever they were doing. */

#include <apr_general.h>
#include <apr_time.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sse_atomic.h"
#include "shared/sse_quota.h"
#include "tap.h"

#define PROCESSES  6
#define LIMIT      20
#define HAMMERINGS 20000
#define KILL_MOST  3000
#define ADDRESSES  97 /* more than the killed ones have room for */

/* What the processes of a test share besides. */
typedef struct {
    apr_uint32_t go;    /* atomic */
    apr_uint32_t taken; /* atomic: now */
    apr_uint32_t wrong; /* atomic */
    apr_uint32_t ever;  /* atomic */
    apr_uint32_t begun; /* atomic: processes */
} shared_t;

static void *map(apr_size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        abort();
    }
    return p;
}

static sse_quota_t *create(apr_uint32_t clients, apr_uint32_t totals)
{
    sse_quota_t *quota = map(sse_quota_size(clients, totals));

    if (sse_quota_init(quota, clients, totals) != APR_SUCCESS) {
        abort();
    }
    return quota;
}

static void destroy(sse_quota_t *quota, apr_uint32_t clients,
                    apr_uint32_t totals)
{
    munmap(quota, sse_quota_size(clients, totals));
}

static sse_quota_want_t want(sse_quota_kind_e kind, const char *text,
                             apr_uint32_t limit)
{
    sse_quota_want_t w;

    sse_quota_key(&w.key, kind, text);
    w.limit = limit;
    return w;
}

static sse_quota_want_t client(unsigned int n, apr_uint32_t limit)
{
    char text[40];

    snprintf(text, sizeof(text), "10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255,
             n & 255);
    return want(SSE_QUOTA_CLIENT, text, limit);
}

static int is_same(const char *a, const char *b)
{
    sse_quota_key_t one, two;

    sse_quota_key(&one, SSE_QUOTA_CLIENT, a);
    sse_quota_key(&two, SSE_QUOTA_CLIENT, b);
    return !memcmp(&one, &two, sizeof(one));
}

static void test_keys(void)
{
    sse_quota_key_t host, server;

    ok(is_same("192.0.2.1", "::ffff:192.0.2.1"), "IPv4, however it is told");
    ok(is_same("2001:DB8::1", "2001:db8:0:0::1"), "IPv6, however it is spelt");
    ok(!is_same("2001:db8::1", "2001:db8::2"), "a full address, not a network");
    ok(!is_same("192.0.2.1", "192.0.2.10"), "another one");
    ok(!is_same("fe80::1%eth0", "fe80::1%eth1"), "a zone belongs to it");
    ok(is_same("anything", "anything") && !is_same("anything", "else"),
       "what is no address is a key, too");
    sse_quota_key(&host, SSE_QUOTA_HOST, "x");
    sse_quota_key(&server, SSE_QUOTA_SERVER, "x");
    ok(memcmp(&host, &server, sizeof(host)) != 0, "kinds are apart");
}

static void test_one(void)
{
    sse_quota_t *quota = create(64, 16);
    sse_quota_want_t w[3];
    sse_quota_claim_t claim[4];
    int which = -1;

    w[0] = want(SSE_QUOTA_CLIENT, "192.0.2.1", 3);
    w[1] = want(SSE_QUOTA_HOST, "a", 2);
    w[2] = want(SSE_QUOTA_SERVER, "", 4);
    ok(sse_quota_acquire(quota, 1, w, 3, &claim[0], &which) ==
               SSE_QUOTA_TAKEN &&
           sse_quota_acquire(quota, 2, w, 3, &claim[1], &which) ==
               SSE_QUOTA_TAKEN,
       "below all limits, for two processes");
    is_num(sse_quota_acquire(quota, 1, w, 3, &claim[2], &which),
           SSE_QUOTA_REFUSED, "one of the limits is reached");
    is_num(which, 1, "it is told which");
    is_num(sse_quota_count(quota, &w[0].key), 2, "nothing else was taken");
    w[1] = want(SSE_QUOTA_HOST, "b", 2);
    is_num(sse_quota_acquire(quota, 1, w, 3, &claim[2], &which),
           SSE_QUOTA_TAKEN, "another host has room");
    is_num(sse_quota_acquire(quota, 2, w, 3, &claim[3], &which),
           SSE_QUOTA_REFUSED, "the client has not");
    is_num(which, 0, "the first one that has none is told");
    w[0].limit = 4;
    is_num(sse_quota_acquire(quota, 2, w, 3, &claim[3], &which),
           SSE_QUOTA_TAKEN, "a limit that was raised");
    w[0].limit = 2;
    sse_quota_release(quota, &claim[1]);
    sse_quota_release(quota, &claim[1]);
    is_num(sse_quota_count(quota, &w[2].key), 3, "given back, once");
    is_num(sse_quota_acquire(quota, 2, w, 3, &claim[1], &which),
           SSE_QUOTA_REFUSED, "a limit that was lowered");

    sse_quota_leave(quota, 1);
    is_num(sse_quota_count(quota, &w[0].key), 1, "a dead process has none");
    is_num(sse_quota_count(quota, &w[2].key), 1, "under any key");
    sse_quota_leave(quota, 1);
    sse_quota_leave(quota, 3);
    is_num(sse_quota_count(quota, &w[2].key), 1, "others keep theirs");
    is_num(sse_quota_acquire(quota, 3, w, 3, &claim[0], &which),
           SSE_QUOTA_TAKEN, "and there is room again");
    destroy(quota, 64, 16);
}

static void test_full(void)
{
    enum { CLIENTS = 40, TOTALS = 2 };
    sse_quota_t *quota = create(CLIENTS, TOTALS);
    sse_quota_claim_t claim[CLIENTS], other, more;
    sse_quota_want_t w[2];
    int i, which, wrong = 0;

    for (i = 0; i < CLIENTS; ++i) {
        w[0] = client((unsigned)i, 1);
        wrong += sse_quota_acquire(quota, 1, w, 1, &claim[i], &which) !=
                 SSE_QUOTA_TAKEN;
    }
    is_num(wrong, 0, "as many clients as there is room for");
    w[0] = client(0, 1);
    is_num(sse_quota_acquire(quota, 2, w, 1, &other, &which), SSE_QUOTA_REFUSED,
           "their limits hold");
    w[0] = client(CLIENTS, 1);
    w[1] = want(SSE_QUOTA_HOST, "a", 1);
    is_num(sse_quota_acquire(quota, 1, w, 2, &other, &which),
           SSE_QUOTA_UNCOUNTED, "one more client is not counted");
    is_num(sse_quota_count(quota, &w[1].key), 1, "its host is");
    is_num(sse_quota_count(quota, &w[0].key), 0, "nothing stands for it");
    sse_quota_release(quota, &other);
    is_num(sse_quota_count(quota, &w[1].key), 0, "and can be given back");

    sse_quota_release(quota, &claim[7]);
    is_num(sse_quota_acquire(quota, 1, w, 2, &other, &which), SSE_QUOTA_TAKEN,
           "a place that was given back makes room");
    for (i = 0; i < CLIENTS; ++i) {
        w[0] = client((unsigned)i, 1);
        wrong += sse_quota_count(quota, &w[0].key) != (i != 7);
    }
    is_num(wrong, 0, "nobody lost his");

    sse_quota_release(quota, &claim[8]);
    w[0] = client(1000, 1);
    w[1] = want(SSE_QUOTA_HOST, "b", 1);
    ok(sse_quota_acquire(quota, 1, w + 1, 1, &more, &which) == SSE_QUOTA_TAKEN,
       "as many hosts as there is room for");
    w[1] = want(SSE_QUOTA_HOST, "c", 1);
    is_num(sse_quota_acquire(quota, 1, w, 2, &more, &which), SSE_QUOTA_FULL,
           "one more host");
    is_num(which, 1, "is told");
    is_num(sse_quota_count(quota, &w[0].key), 0, "and nothing was taken");
    destroy(quota, CLIENTS, TOTALS);
}

/* In so small a table each host needs the entry that the server has just been
 * found to have, and no longer uses. */
static void test_recycling(void)
{
    sse_quota_t *quota = create(4, 2);
    sse_quota_want_t w[2];
    sse_quota_claim_t claim;
    int i, which, wrong = 0;
    char name[8];

    w[1] = want(SSE_QUOTA_SERVER, "", 5);
    for (i = 0; i < 20; ++i) {
        snprintf(name, sizeof(name), "h%d", i);
        w[0] = want(SSE_QUOTA_HOST, name, 1);
        wrong += sse_quota_acquire(quota, 1, w, 2, &claim, &which) !=
                 SSE_QUOTA_TAKEN;
        wrong += sse_quota_count(quota, &w[0].key) != 1;
        wrong += sse_quota_count(quota, &w[1].key) != 1;
        sse_quota_release(quota, &claim);
        wrong += sse_quota_count(quota, &w[0].key) != 0;
        wrong += sse_quota_count(quota, &w[1].key) != 0;
    }
    is_num(wrong, 0, "an entry that becomes another key's is not mistaken");
    destroy(quota, 4, 2);
}

/* -- Several processes ----------------------------------------------------- */

static void wait_for(apr_uint32_t *flag)
{
    while (!sse_atomic_load(flag)) {
        usleep(100);
    }
}

static void start(pid_t *pids, int n, void (*run)(sse_quota_t *, shared_t *),
                  sse_quota_t *quota, shared_t *shared)
{
    int i;

    fflush(stdout);
    for (i = 0; i < n; ++i) {
        pids[i] = fork();
        if (!pids[i]) {
            wait_for(&shared->go);
            run(quota, shared);
            _exit(0);
        }
        if (pids[i] < 0) {
            abort();
        }
    }
}

static void wait_all(const pid_t *pids, int n)
{
    int i, status;

    for (i = 0; i < n; ++i) {
        waitpid(pids[i], &status, 0);
    }
}

/* All at once, and nobody gives back. */
static void grab(sse_quota_t *quota, shared_t *shared)
{
    sse_quota_want_t w[2];
    sse_quota_claim_t claim;
    int i, which;

    w[0] = client(1, LIMIT);
    w[1] = want(SSE_QUOTA_SERVER, "", 1000);
    for (i = 0; i < LIMIT; ++i) {
        if (sse_quota_acquire(quota, getpid(), w, 2, &claim, &which) ==
            SSE_QUOTA_TAKEN) {
            sse_atomic_add(&shared->taken, 1);
        }
    }
}

static void test_grabbing(void)
{
    sse_quota_t *quota = create(64, 64);
    shared_t *shared = map(sizeof(*shared));
    pid_t pids[PROCESSES];
    sse_quota_want_t w = client(1, LIMIT);
    int round, i, wrong = 0;

    for (round = 0; round < 30; ++round) {
        memset(shared, 0, sizeof(*shared));
        start(pids, PROCESSES, grab, quota, shared);
        sse_atomic_store(&shared->go, 1);
        wait_all(pids, PROCESSES);
        wrong += sse_atomic_load(&shared->taken) != LIMIT;
        wrong += sse_quota_count(quota, &w.key) != LIMIT;
        for (i = 0; i < PROCESSES; ++i) {
            sse_quota_leave(quota, pids[i]);
        }
        wrong += sse_quota_count(quota, &w.key) != 0;
    }
    is_num(wrong, 0, "at the same time exactly as many get in as may");
    munmap(shared, sizeof(*shared));
    destroy(quota, 64, 64);
}

/* In and out; whoever is in counts himself in, too. */
static void hammer(sse_quota_t *quota, shared_t *shared)
{
    sse_quota_want_t w[2];
    sse_quota_claim_t claim;
    int i, which;

    for (i = 0; i < HAMMERINGS; ++i) {
        w[0] = client((unsigned)i % 7, 3);
        w[1] = want(SSE_QUOTA_SERVER, "", 4);
        if (sse_quota_acquire(quota, getpid(), w, 2, &claim, &which) !=
            SSE_QUOTA_TAKEN) {
            continue;
        }
        sse_atomic_add(&shared->ever, 1);
        if (sse_atomic_add(&shared->taken, 1) > 4) {
            sse_atomic_add(&shared->wrong, 1);
        }
        sse_atomic_sub(&shared->taken, 1);
        sse_quota_release(quota, &claim);
    }
}

static void test_hammering(void)
{
    sse_quota_t *quota = create(16, 64);
    shared_t *shared = map(sizeof(*shared));
    sse_quota_want_t w = want(SSE_QUOTA_SERVER, "", 4);
    pid_t pids[PROCESSES];

    start(pids, PROCESSES, hammer, quota, shared);
    sse_atomic_store(&shared->go, 1);
    wait_all(pids, PROCESSES);
    is_num(shared->wrong, 0, "never more than may");
    ok(shared->ever > PROCESSES * 100, "though many came and went");
    is_num(sse_quota_count(quota, &w.key), 0, "all gave back");
    munmap(shared, sizeof(*shared));
    destroy(quota, 16, 64);
}

/* -- Killed ---------------------------------------------------------------- */

static void for_ever(sse_quota_t *quota, shared_t *shared)
{
    sse_quota_claim_t claim[8] = {{{0}}};
    sse_quota_want_t w[3];
    unsigned int i;
    int which;

    sse_atomic_add(&shared->begun, 1);
    for (i = 0;; ++i) {
        w[0] = client(i % ADDRESSES, 5);
        w[1] = want(SSE_QUOTA_HOST, i & 1 ? "a" : "b", 9);
        w[2] = want(SSE_QUOTA_SERVER, "", LIMIT);
        sse_quota_release(quota, &claim[i % 8]);
        sse_quota_acquire(quota, getpid(), w, 3, &claim[i % 8], &which);
    }
}

/* What is counted: all of the clients', and all of the server's. */
static void sums(sse_quota_t *quota, apr_uint32_t *clients,
                 apr_uint32_t *server)
{
    sse_quota_want_t w = want(SSE_QUOTA_SERVER, "", 0);
    unsigned int i;

    *server = sse_quota_count(quota, &w.key);
    for (*clients = 0, i = 0; i < ADDRESSES; ++i) {
        w = client(i, 0);
        *clients += sse_quota_count(quota, &w.key);
    }
}

/* Until one was killed with the lock, and 100 times at least.  The parent has
 * a place of its own all the time. */
static void test_killing(void)
{
    enum { CLIENTS = 32 };
    sse_quota_t *quota = create(CLIENTS, 64);
    shared_t *shared = map(sizeof(*shared));
    sse_quota_want_t w = client(5, 5);
    sse_quota_claim_t mine;
    apr_uint32_t clients, server;
    pid_t pids[3];
    int round, i, which, wrong = 0;

    sse_quota_acquire(quota, getpid(), &w, 1, &mine, &which);
    for (round = 0; round < KILL_MOST && !wrong &&
                    (round < 100 || sse_quota_deaths(quota) < 3);
         ++round) {
        memset(shared, 0, sizeof(*shared));
        start(pids, 3, for_ever, quota, shared);
        sse_atomic_store(&shared->go, 1);
        for (i = 0; i < 100000 && sse_atomic_load(&shared->begun) < 3; ++i) {
            usleep(100);
        }
        for (i = 0; i < 3; ++i) {
            usleep(rand() % 2000);
            kill(pids[i], SIGKILL);
            wait_all(&pids[i], 1);
            sse_quota_leave(quota, pids[i]);
        }
        sums(quota, &clients, &server);
        wrong += clients != 1 || server != 0;
    }
    is_num(wrong, 0, "what killed processes had comes back, all of it");
    ok(sse_quota_deaths(quota) >= 3, "also when they die with the lock");
    printf("# %d rounds, %u died with the lock\n", round,
           (unsigned)sse_quota_deaths(quota));

    sse_quota_release(quota, &mine);
    for (wrong = 0, i = 0; i < CLIENTS; ++i) {
        w = client(1000 + (unsigned)i, 1);
        wrong += sse_quota_acquire(quota, 1, &w, 1, &mine, &which) !=
                 SSE_QUOTA_TAKEN;
        wrong += sse_quota_acquire(quota, 1, &w, 1, &mine, &which) !=
                 SSE_QUOTA_REFUSED;
    }
    is_num(wrong, 0, "every entry is free and found afterwards");
    sse_quota_leave(quota, 1);

    memset(shared, 0, sizeof(*shared));
    start(pids, 3, grab, quota, shared);
    sse_atomic_store(&shared->go, 1);
    wait_all(pids, 3);
    is_num(shared->taken, LIMIT, "and the limit is exact afterwards");
    munmap(shared, sizeof(*shared));
    destroy(quota, CLIENTS, 64);
}

/* -- Many ------------------------------------------------------------------ */

static void test_many(void)
{
    enum { CLIENTS = 131072, MANY = 100000 };
    sse_quota_t *quota = create(CLIENTS, 64);
    sse_quota_claim_t *claim = calloc(MANY, sizeof(*claim));
    sse_quota_want_t w[2];
    apr_time_t begin = apr_time_now();
    int i, which, wrong = 0;

    w[1] = want(SSE_QUOTA_SERVER, "", MANY);
    for (i = 0; i < MANY; ++i) {
        w[0] = client((unsigned)i, 1);
        wrong += sse_quota_acquire(quota, 1 + i % 4, w, 2, &claim[i], &which) !=
                 SSE_QUOTA_TAKEN;
    }
    printf("# %d addresses: %.2f us each\n", MANY,
           (double)(apr_time_now() - begin) / MANY);
    is_num(wrong, 0, "100,000 addresses have a stream each");
    is_num(sse_quota_acquire(quota, 1, w, 2, &claim[0], &which),
           SSE_QUOTA_REFUSED, "the last one no second");
    begin = apr_time_now();
    for (i = 1; i < MANY; ++i) {
        sse_quota_release(quota, &claim[i]);
    }
    printf("# given back: %.3f us each\n",
           (double)(apr_time_now() - begin) / MANY);
    begin = apr_time_now();
    for (i = 1; i < MANY; ++i) {
        w[0] = client((unsigned)(MANY + i), 1);
        wrong += sse_quota_acquire(quota, 1 + i % 4, w, 2, &claim[i], &which) !=
                 SSE_QUOTA_TAKEN;
    }
    printf("# other addresses: %.2f us each\n",
           (double)(apr_time_now() - begin) / MANY);
    is_num(wrong, 0, "others come, in their room");
    begin = apr_time_now();
    sse_quota_leave(quota, 1);
    printf("# a process dies: %ld us\n", (long)(apr_time_now() - begin));
    is_num(sse_quota_count(quota, &w[1].key), MANY - MANY / 4,
           "a quarter of them goes with its process");
    free(claim);
    destroy(quota, CLIENTS, 64);
}

static void *thread_main(void *baton)
{
    void **both = baton;

    hammer(both[0], both[1]);
    return NULL;
}

/* Last: a process that has had threads is not forked. */
static void test_threads(void)
{
    sse_quota_t *quota = create(16, 64);
    shared_t *shared = map(sizeof(*shared));
    sse_quota_want_t w = want(SSE_QUOTA_SERVER, "", 4);
    void *both[2] = {quota, shared};
    pthread_t threads[4];
    int i;

    for (i = 0; i < 4; ++i) {
        pthread_create(&threads[i], NULL, thread_main, both);
    }
    for (i = 0; i < 4; ++i) {
        pthread_join(threads[i], NULL);
    }
    is_num(shared->wrong, 0, "threads: never more than may");
    is_num(sse_quota_count(quota, &w.key), 0, "and all gave back");
    munmap(shared, sizeof(*shared));
    destroy(quota, 16, 64);
}

int main(void)
{
    apr_initialize();
    test_keys();
    test_one();
    test_full();
    test_recycling();
    test_grabbing();
    test_hammering();
    test_killing();
    test_many();
    test_threads();
    apr_terminate();
    return done_testing();
}
