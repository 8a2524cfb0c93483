/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/loop/sse_workers: what is pushed runs once, or never where that was said.
 * APR leaves a task in its queue for which it can make no thread. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <apr_general.h>
#include <apr_time.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#include "loop/sse_workers.h"
#include "sse_atomic.h"
#include "tap.h"

static int no_threads; /* atomic */

/* In front of the C library's, for libapr. */
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

/* From 1 to 2: it runs; until 3. */
static void block(void *baton)
{
    int *state = baton;

    sse_atomic_store(state, 2);
    while (sse_atomic_load(state) != 3) {
        apr_sleep(1000);
    }
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
    ok(sse_workers_finish(apr_time_from_sec(10)), "that comes to its end");
    is_num(sse_atomic_load(&failed), 0, "what was refused does not run");
}

static void test_busy(void)
{
    int state = 1, failed = 0, done = 0;

    ok(sse_workers_push(block, &state) == APR_SUCCESS && becomes(&state, 2),
       "a thread that is busy");
    sse_atomic_store(&no_threads, 1);
    ok(sse_workers_push(count, &failed) != APR_SUCCESS,
       "and none for the next");
    sse_atomic_store(&no_threads, 0);
    sse_atomic_store(&state, 3);
    ok(sse_workers_push(count, &done) == APR_SUCCESS && becomes(&done, 1),
       "later there is one");
    ok(sse_workers_finish(apr_time_from_sec(10)), "all come to their ends");
    is_num(sse_atomic_load(&failed), 0, "what was refused does not run");
}

int main(void)
{
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (sse_workers_init(pool, 2) != APR_SUCCESS) {
        return 1;
    }
    test_none();
    test_busy();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
