/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Who is on a channel, where room runs out and where many are there. */

#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "presence.h"

#define MANY  10000
#define BATCH 500

static apr_pool_t *names; /* of streams and users */

/* Streams of these numbers. @return how many changes were made */
static int change_all(sse_store_t *store, sse_presence_e what, int from, int n,
                      apr_status_t *rv)
{
    static sse_presence_t changes[BATCH];
    int i = 0, done;

    apr_pool_clear(names);
    for (*rv = APR_SUCCESS, done = 0; done < n && !*rv; done += i) {
        for (i = 0; i < BATCH && done + i < n; ++i) {
            const char *stream = apr_psprintf(names, "s%d", from + done + i);
            const char *user =
                apr_psprintf(names, "user-%d", (from + done + i) / 2);

            changes[i] = what == SSE_PRESENCE_JOIN
                             ? joins("c", stream, user, NULL)
                             : leaves("c", stream, 0, NULL);
        }
        *rv = sse_store_presence_change(store, changes, i);
    }
    return *rv ? done - i : done;
}

static apr_uint64_t count(sse_store_t *store, apr_uint64_t *users)
{
    apr_uint64_t streams = 0;
    sse_id_t last;

    sse_store_presence_list(store, text("c"), 0, NULL, NULL, &last, &streams,
                            users);
    return streams;
}

static int publish_many(sse_store_t *store, int n)
{
    char data[1000];
    int i, failed = 0;

    memset(data, 'x', sizeof(data) - 1);
    data[sizeof(data) - 1] = '\0';
    for (i = 0; i < n; ++i) {
        failed |= !publish(store, "told", data, &keep_all);
    }
    return !failed;
}

/* One after the other joins another channel. @return how the last one did */
static const char *fill_up(sse_store_t *store, apr_pool_t *pool)
{
    const char *words = "";
    int i;

    for (i = 0; i < 2 * BATCH && strncmp(words, "error", 5); ++i) {
        words = did(store, joins("d", apr_psprintf(pool, "s%d", i), "", NULL));
    }
    return words;
}

/* Events go for members, up to a half; members never do. */
static void test_full(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("full", "4m", pool);
    apr_uint64_t users = 0;
    apr_status_t rv;
    int n, before, after;

    ok(publish_many(store, 4000), "more events than there is room for");
    before = (int)entries(store, SSE_DB_EVENTS);
    n = change_all(store, SSE_PRESENCE_JOIN, 0, 20000, &rv);
    is_num(rv, SSE_STORE_ESIZE, "more members than there is room for");
    ok(n > 1000 && n < 20000, "not at once");
    printf("# %d members\n", n);
    is_num(count(store, &users), n, "all are there that were told so");
    is_num(users, n / 2, "each user once");
    after = (int)entries(store, SSE_DB_EVENTS);
    ok(after < before && after > before / 8, "events have gone for them");
    printf("# %d events, %d now\n", before, after);
    ok(publish_many(store, 4000), "publishing goes on");
    is_num(count(store, &users), n, "and no member has gone for that");
    is_str(check(store), "sound", "sound when full");
    is_str(fill_up(store, pool),
           apr_psprintf(pool, "error %d", SSE_STORE_ESIZE),
           "in the end there is not room for one more");
    is_num(change_all(store, SSE_PRESENCE_LEAVE, 0, n / 2, &rv), n / 2,
           "members can leave");
    says(did(store, joins("e", "s1", "ann", NULL)), "changed 1 1",
         "then others can join");
    is_num(change_all(store, SSE_PRESENCE_LEAVE, 0, n, &rv), n, "and all go");
    is_num(count(store, &users), 0, "nobody is left");
    is_str(check(store), "sound", "sound");
    apr_pool_destroy(pool);
}

static void set_limit(rlim_t bytes)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* The disk is full: as good as a file that may not grow. */
static void test_no_space(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("space", "64m", pool);
    apr_uint64_t users = 0;
    apr_status_t rv;
    sse_id_t last;
    int n;

    signal(SIGXFSZ, SIG_IGN);
    set_limit(1000000);
    n = change_all(store, SSE_PRESENCE_JOIN, 0, 20000, &rv);
    set_limit(RLIM_INFINITY);
    is_num(rv, APR_ENOSPC, "no space is told");
    ok(n > 0, "not at once");
    is_num(count(store, &users), n, "nothing is half done");
    last = last_of(store);
    says(did(store, joins("d", "s1", "ann", "+s1")), "changed 1 1",
         "it goes on when there is room");
    is_num(last_of(store), last + 1, "with its event");
    is_str(check(store), "sound", "sound");
    apr_pool_destroy(pool);
}

static double cpu_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Microseconds that a join and a leave take, the best of some. */
static double cost(sse_store_t *store, int *failed)
{
    double best = 1e9, since;
    char stream[16];
    int i, j;

    for (i = 0; i < 10; ++i) {
        since = cpu_now();
        for (j = 0; j < 20; ++j) {
            snprintf(stream, sizeof(stream), "t%d", j);
            *failed |= *did(store, joins("c", stream, "ann", NULL)) != 'c';
            *failed |= *did(store, leaves("c", stream, 0, NULL)) != 'c';
        }
        since = (cpu_now() - since) / 20;
        best = since < best ? since : best;
    }
    return best;
}

static apr_status_t add_one(void *baton, const sse_presence_member_t *member)
{
    ++*(int *)baton;
    return APR_SUCCESS;
}

static void test_many(void)
{
    apr_pool_t *pool = test_pool();
    sse_store_t *store = test_store("many", "64m", pool);
    double few, many, since, best = 1e9;
    apr_uint64_t streams = 0, users = 0;
    int i, n, failed = 0;
    apr_status_t rv;
    sse_id_t last;

    change_all(store, SSE_PRESENCE_JOIN, 0, 100, &rv);
    few = cost(store, &failed);
    is_num(change_all(store, SSE_PRESENCE_JOIN, 100, MANY - 100, &rv),
           MANY - 100, "many join");
    many = cost(store, &failed);
    is_num(failed, 0, "one joins and leaves");
    printf("# join and leave, 100 there: %.1f us, %d there: %.1f us\n", few,
           MANY, many);
    ok(many < 8 * few, "which does not cost more for the others");
    for (i = 0; i < 5; ++i) {
        n = 0;
        since = cpu_now();
        rv = sse_store_presence_list(store, text("c"), MANY + 1, add_one, &n,
                                     &last, &streams, &users);
        since = cpu_now() - since;
        best = since < best ? since : best;
    }
    ok(!rv && n == MANY && streams == MANY && users == MANY / 2,
       "all are listed");
    printf("# listed in %.0f us\n", best);
    ok(best < 100000, "in no time");
    n = 0;
    sse_store_presence_list(store, text("c"), 10, add_one, &n, &last, &streams,
                            &users);
    ok(n == 10 && streams == MANY, "or some of them");
    is_str(check(store), "sound", "sound");
    apr_pool_destroy(pool);
}

int main(void)
{
    test_begin();
    names = test_pool();
    test_full();
    test_no_space();
    test_many();
    return test_end();
}
