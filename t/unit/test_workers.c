/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/loop/sse_workers: what is pushed runs once, or never where that was said;
 * and what blocks holds up nothing while there may be another thread. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <apr_time.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#include "loop/sse_workers.h"
#include "sse_atomic.h"
#include "tap.h"

static int no_threads; /* atomic */

/* In front of the C library's. */
__attribute__((visibility("default"))) int
pthread_create(pthread_t *thread, const pthread_attr_t *attr,
               void *(*fn)(void *), void *baton)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (sse_atomic_load(&no_threads)) {
        return EAGAIN;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attr, fn, baton);
}

static void count(void *baton) { sse_atomic_add((int *)baton, 1); }

/* From 1 to 2: it runs; until 3; 4: no longer. */
static void block(void *baton)
{
    int *state = baton;

    sse_atomic_store(state, 2);
    while (sse_atomic_load(state) != 3) {
        apr_sleep(1000);
    }
    sse_atomic_store(state, 4);
}

static int becomes(int *number, int value)
{
    int i;

    for (i = 0; i < 10000 && sse_atomic_load(number) != value; ++i) {
        apr_sleep(1000);
    }
    return sse_atomic_load(number) == value;
}

/* A queue is first in, first out. */
static void test_none(void)
{
    int failed = 0, done = 0;

    sse_atomic_store(&no_threads, 1);
    ok(sse_workers_push(count, &failed) != APR_SUCCESS,
       "without a thread nothing can run");
    sse_atomic_store(&no_threads, 0);
    ok(sse_workers_push(count, &done) == APR_SUCCESS && becomes(&done, 1),
       "later there is one");
    ok(sse_workers_finish(apr_time_from_sec(10)) == SSE_WORKERS_NONE,
       "that comes to its end");
    is_num(sse_atomic_load(&failed), 0, "what was refused does not run");
}

/* Where no other can be made, it has to wait. */
static void test_busy(void)
{
    int state = 1, done = 0;

    ok(sse_workers_push(block, &state) == APR_SUCCESS && becomes(&state, 2),
       "a thread that is busy");
    sse_atomic_store(&no_threads, 1);
    ok(sse_workers_push(count, &done) == APR_SUCCESS,
       "and none for the next one, which waits for it");
    sse_atomic_store(&no_threads, 0);
    is_num(sse_atomic_load(&done), 0, "that long");
    sse_atomic_store(&state, 3);
    ok(becomes(&done, 1), "and then runs");
    ok(sse_workers_finish(apr_time_from_sec(10)) == SSE_WORKERS_NONE,
       "all come to their ends");
}

/* Back to back, beside a thread that is idle. */
static void test_both(void)
{
    int i, good = 0;

    for (i = 0; i < 20; ++i) {
        int state = 1, done = 0;

        ok(sse_workers_push(count, &done) == APR_SUCCESS && becomes(&done, 1),
           "one has become idle");
        sse_workers_push(block, &state);
        sse_workers_push(count, &done);
        good += becomes(&done, 2);
        sse_atomic_store(&state, 3);
        becomes(&state, 4);
    }
    is_num(good, 20, "the second never waits for the first");
    ok(sse_workers_finish(0) != SSE_WORKERS_OWN, "no other is at it");
}

typedef struct {
    sse_job_t job; /* first */
    int state;
} own_t;

static void run_own(sse_job_t *job) { block(&((own_t *)job)->state); }

static void test_own(void)
{
    own_t one = {{run_own, NULL}, 1}, two = one, three = one;
    int done = 0;

    sse_workers_do(&one.job);
    sse_workers_do(&two.job);
    sse_workers_do(&three.job);
    ok(becomes(&one.state, 2) && becomes(&two.state, 2),
       "two of our own at a time");
    is_num(sse_atomic_load(&three.state), 1, "the third one waits");
    ok(sse_workers_push(count, &done) == APR_SUCCESS && becomes(&done, 1),
       "listeners do not");
    sse_atomic_store(&one.state, 3);
    ok(becomes(&three.state, 2), "it has the first place that is free");
    ok(sse_workers_finish(1000) == SSE_WORKERS_OWN, "they are at it");
    sse_atomic_store(&two.state, 3);
    sse_atomic_store(&three.state, 3);
    ok(sse_workers_finish(apr_time_from_sec(10)) == SSE_WORKERS_NONE,
       "all come to their ends");
}

int main(void)
{
    sse_workers_init(3);
    test_none();
    test_busy();
    test_both();
    test_own();
    return done_testing();
}
