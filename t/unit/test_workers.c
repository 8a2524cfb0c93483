/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/loop/sse_workers: what is given to them runs once, or never where that
 * was said, and never on the caller's thread; what blocks holds up nothing of
 * its kind while there may be another thread, and nothing of another kind; and
 * a thread that was reserved stays. */

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

/* It counts, and says on which thread. */
typedef struct {
    sse_job_t job; /* first */
    int done;      /* atomic */
    pthread_t thread;
} count_t;

static void count(sse_job_t *job)
{
    count_t *counter = (count_t *)(void *)job;

    counter->thread = pthread_self();
    sse_atomic_add(&counter->done, 1);
}

/* From 1 to 2: it runs; until 3; 4: no longer. */
typedef struct {
    sse_job_t job; /* first */
    int state;     /* atomic */
} block_t;

static void block(sse_job_t *job)
{
    int *state = &((block_t *)(void *)job)->state;

    sse_atomic_store(state, 2);
    while (sse_atomic_load(state) != 3) {
        apr_sleep(1000);
    }
    sse_atomic_store(state, 4);
}

static const count_t counts = {{.run = count}, 0, 0};
static const block_t blocks = {{.run = block}, 1};

static int becomes(int *number, int value)
{
    int i;

    for (i = 0; i < 10000 && sse_atomic_load(number) != value; ++i) {
        apr_sleep(1000);
    }
    return sse_atomic_load(number) == value;
}

static int is_over(void)
{
    return sse_workers_finish(apr_time_from_sec(10)) == SSE_WORKERS_NONE;
}

/* A queue is first in, first out. */
static void test_none(void)
{
    count_t failed = counts, done = counts;

    sse_atomic_store(&no_threads, 1);
    ok(sse_workers_try(SSE_WORKERS_OWN, &failed.job) != APR_SUCCESS,
       "without a thread nothing can run");
    ok(sse_workers_reserve(SSE_WORKERS_OWN) != APR_SUCCESS,
       "nor is one to be had");
    sse_atomic_store(&no_threads, 0);
    ok(sse_workers_try(SSE_WORKERS_OWN, &done.job) == APR_SUCCESS &&
           becomes(&done.done, 1),
       "later there is one");
    ok(is_over(), "that comes to its end");
    is_num(sse_atomic_load(&failed.done), 0, "what was refused does not run");
}

/* Longer than one that is idle is kept for. */
static void test_reserved(void)
{
    count_t done = counts, other = counts;
    int i = 1, is_gone;

    ok(sse_workers_reserve(SSE_WORKERS_CLOSE) == APR_SUCCESS, "one reserved");
    ok(sse_workers_reserve(SSE_WORKERS_CLOSE) == APR_SUCCESS, "and again");
    ok(sse_workers_try(SSE_WORKERS_READY, &other.job) == APR_SUCCESS &&
           becomes(&other.done, 1),
       "another kind, that is not");
    /* On a slow machine it may be late, and still there. */
    do {
        apr_sleep(apr_time_from_msec(1500));
        sse_atomic_store(&no_threads, 1);
        is_gone = sse_workers_try(SSE_WORKERS_READY, &other.job) != APR_SUCCESS;
    } while (!is_gone && ++i <= 5 && becomes(&other.done, i));
    ok(is_gone, "whose thread has gone");
    sse_workers_do(SSE_WORKERS_CLOSE, &done.job);
    ok(becomes(&done.done, 1), "the one that was reserved is there");
    ok(!pthread_equal(done.thread, pthread_self()),
       "and nobody else has run it");
    ok(is_over(), "it becomes idle again");
    sse_atomic_store(&no_threads, 0);
}

/* Where no other can be made, it has to wait. */
static void test_busy(void)
{
    block_t busy = blocks;
    count_t done = counts;

    sse_workers_do(SSE_WORKERS_CLOSE, &busy.job);
    ok(becomes(&busy.state, 2), "a thread that is busy");
    sse_atomic_store(&no_threads, 1);
    sse_workers_do(SSE_WORKERS_CLOSE, &done.job);
    apr_sleep(1000);
    is_num(sse_atomic_load(&done.done), 0, "the next one waits");
    sse_atomic_store(&no_threads, 0);
    sse_atomic_store(&busy.state, 3);
    ok(becomes(&done.done, 1), "and then runs");
    ok(is_over(), "all come to their ends");
}

/* Back to back, beside a thread that is idle. */
static void test_both(void)
{
    int i, good = 0;

    for (i = 0; i < 20; ++i) {
        count_t first = counts, second = counts;
        block_t busy = blocks;

        sse_workers_do(SSE_WORKERS_CLOSE, &first.job);
        ok(becomes(&first.done, 1), "one has become idle");
        sse_workers_do(SSE_WORKERS_CLOSE, &busy.job);
        sse_workers_do(SSE_WORKERS_CLOSE, &second.job);
        good += becomes(&second.done, 1);
        becomes(&busy.state, 2);
        sse_atomic_store(&busy.state, 3);
        becomes(&busy.state, 4);
    }
    is_num(good, 20, "the second never waits for the first");
}

static void test_kinds(void)
{
    block_t ready[4] = {blocks, blocks, blocks, blocks};
    count_t done = counts, own = counts;
    int i;

    for (i = 0; i < 4; ++i) {
        sse_workers_try(SSE_WORKERS_READY, &ready[i].job);
    }
    ok(becomes(&ready[0].state, 2) && becomes(&ready[1].state, 2) &&
           becomes(&ready[2].state, 2),
       "ready functions have all their threads");
    is_num(sse_atomic_load(&ready[3].state), 1, "one more waits");
    sse_workers_do(SSE_WORKERS_CLOSE, &done.job);
    sse_workers_try(SSE_WORKERS_OWN, &own.job);
    ok(becomes(&done.done, 1), "who listens to ends does not");
    ok(becomes(&own.done, 1), "nor does our own work");
    ok(sse_workers_finish(1000) == SSE_WORKERS_READY, "they are at it");
    for (i = 0; i < 3; ++i) {
        sse_atomic_store(&ready[i].state, 3);
    }
    ok(becomes(&ready[3].state, 2), "it has the first thread that is free");
    sse_atomic_store(&ready[3].state, 3);
    ok(is_over(), "all come to their ends");
}

static void test_own(void)
{
    block_t one = blocks, two = blocks, three = blocks;
    count_t done = counts;
    sse_workers_e busy;
    int i = 0;

    ok(sse_workers_reserve(SSE_WORKERS_OWN) == APR_SUCCESS, "our own");
    sse_workers_do(SSE_WORKERS_OWN, &one.job);
    sse_workers_do(SSE_WORKERS_OWN, &two.job);
    sse_workers_do(SSE_WORKERS_OWN, &three.job);
    ok(becomes(&one.state, 2) && becomes(&two.state, 2), "two at a time");
    is_num(sse_atomic_load(&three.state), 1, "the third one waits");
    sse_workers_do(SSE_WORKERS_CLOSE, &done.job);
    ok(becomes(&done.done, 1), "listeners do not");
    sse_atomic_store(&one.state, 3);
    ok(becomes(&three.state, 2), "it has the first place that is free");
    do { /* the listeners' thread has yet to become idle */
        busy = sse_workers_finish(1000);
    } while (busy == SSE_WORKERS_CLOSE && ++i < 10000);
    ok(busy == SSE_WORKERS_OWN, "they are at it");
    sse_atomic_store(&two.state, 3);
    sse_atomic_store(&three.state, 3);
    ok(is_over(), "all come to their ends");
}

/* The test plays the loop. */
static void test_soon(void)
{
    static count_t many[40];
    int i, done = 0;

    for (i = 0; i < 40; ++i) {
        many[i] = counts;
    }
    for (i = 0; i < 3; ++i) {
        sse_workers_do_soon(&many[i].job);
    }
    apr_sleep(20000);
    for (i = 0; i < 3; ++i) {
        done += sse_atomic_load(&many[i].done);
    }
    is_num(done, 0, "what is to be done soon waits");
    sse_workers_flush();
    ok(becomes(&many[0].done, 1) && becomes(&many[1].done, 1) &&
           becomes(&many[2].done, 1),
       "until it is flushed");
    for (i = 3; i < 39; ++i) {
        sse_workers_do_soon(&many[i].job);
    }
    ok(becomes(&many[3].done, 1), "many do not wait for that");
    sse_workers_do_soon(&many[39].job);
    ok(is_over(), "nothing is left at the end");
    for (done = 0, i = 0; i < 40; ++i) {
        done += sse_atomic_load(&many[i].done);
    }
    is_num(done, 40, "each was done once");
}

int main(void)
{
    sse_workers_init(3);
    test_none();
    test_reserved();
    test_busy();
    test_both();
    test_kinds();
    test_own();
    test_soon();
    return done_testing();
}
