/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The table of channels: who listens to which, with many coming and going. */

#include <apr_general.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <time.h>

#include "hub/sse_channels.h"
#include "tap.h"

#define MANY     500
#define CHANNELS 20
#define NAMED    4096 /* names of 12 pairs */
#define PAIRS    12

static apr_pool_t *pool;

static int count(sse_channels_t *channels, const char *key)
{
    sse_link_t *listener = sse_channels_find(channels, sse_slice(key));
    int n = 0;

    for (; listener; listener = LIST_NEXT(listener, next)) {
        ++n;
    }
    return n;
}

static void count_each(void *subscription, void *baton)
{
    ++*(int *)subscription;
    ++*(int *)baton;
}

static int count_all(sse_channels_t *channels)
{
    int n = 0;

    sse_channels_each(channels, count_each, &n);
    return n;
}

static void test_one(void)
{
    sse_channels_t *channels = sse_channels_create(pool);
    sse_link_t listener = {0};
    char key[] = "news";
    int told = 0;

    listener.subscription = &told;
    ok(!sse_channels_find(channels, sse_slice("news")),
       "nobody listens at first");
    sse_channels_remove(channels, &listener);
    ok(!listener.node, "one that listens to nothing can be removed");

    sse_channels_add(channels, sse_slice(key), &listener);
    key[0] = 'X';
    ok(sse_channels_find(channels, sse_slice("news")) == &listener,
       "who listens is found, whatever becomes of the key it was added with");
    ok(!sse_channels_find(channels, sse_slice("new")) &&
           !sse_channels_find(channels, sse_slice("newsx")) &&
           !sse_channels_find(channels, sse_slice("Xews")),
       "under that name alone");
    is_num(count_all(channels), 1, "and is one of all");
    is_num(told, 1, "called once");

    sse_channels_remove(channels, &listener);
    ok(!sse_channels_find(channels, sse_slice("news")) && !listener.node,
       "removed, it is found no more");
    is_num(count_all(channels), 0, "and there is no channel");
    sse_channels_remove(channels, &listener);
    sse_channels_add(channels, sse_slice("news"), &listener);
    is_num(count(channels, "news"), 1, "it can come back");
    sse_channels_remove(channels, &listener);
}

/* A key is bytes: namespace, zero, name. */
static void test_keys(void)
{
    static const sse_slice_t keys[] = {
        {"a\0x", 3}, {"a\0y", 3}, {"a", 1}, {"a\0", 2}, {"b\0x", 3}};
    sse_channels_t *channels = sse_channels_create(pool);
    sse_link_t listeners[5] = {{0}};
    int i, wrong = 0;

    for (i = 0; i < 5; ++i) {
        listeners[i].subscription = &listeners[i];
        sse_channels_add(channels, keys[i], &listeners[i]);
    }
    for (i = 0; i < 5; ++i) {
        wrong += sse_channels_find(channels, keys[i]) != &listeners[i] ||
                 LIST_NEXT(&listeners[i], next);
    }
    is_num(wrong, 0, "keys are told apart by all of their bytes");
    for (i = 0; i < 5; ++i) {
        sse_channels_remove(channels, &listeners[i]);
    }
    is_num(count_all(channels), 0, "all gone");
}

/* From the front, the end and the middle of a channel's list. */
static void test_removing(void)
{
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2},
                                    {1, 2, 0}, {0, 2, 1}, {2, 0, 1}};
    sse_channels_t *channels = sse_channels_create(pool);
    sse_link_t listeners[3];
    sse_link_t *l;
    int order, i, wrong = 0;

    for (order = 0; order < 6; ++order) {
        memset(listeners, 0, sizeof(listeners));
        for (i = 0; i < 3; ++i) {
            sse_channels_add(channels, sse_slice("c"), &listeners[i]);
        }
        for (i = 0; i < 3; ++i) {
            sse_channels_remove(channels, &listeners[orders[order][i]]);
            wrong += count(channels, "c") != 2 - i;
            for (l = sse_channels_find(channels, sse_slice("c")); l;
                 l = LIST_NEXT(l, next)) {
                wrong += l == &listeners[orders[order][i]];
            }
        }
    }
    is_num(wrong, 0, "listeners leave in any order");
}

/* As streams come and go, against a plain table of who is where. */
static void test_many(void)
{
    sse_channels_t *channels = sse_channels_create(pool);
    sse_link_t *listeners = calloc(MANY, sizeof(*listeners));
    int *told = calloc(MANY, sizeof(*told));
    int where[MANY], per[CHANNELS] = {0};
    unsigned int seed = 1;
    int i, n, round, here = 0, wrong = 0;
    char key[16];

    for (i = 0; i < MANY; ++i) {
        where[i] = -1;
        listeners[i].subscription = &told[i];
    }
    for (round = 0; round < 50000; ++round) {
        i = rand_r(&seed) % MANY;
        if (where[i] >= 0) {
            sse_channels_remove(channels, &listeners[i]);
            --per[where[i]];
            where[i] = -1;
            --here;
            continue;
        }
        n = rand_r(&seed) % CHANNELS;
        apr_snprintf(key, sizeof(key), "channel-%d", n);
        sse_channels_add(channels, sse_slice(key), &listeners[i]);
        where[i] = n;
        ++per[n];
        ++here;
        if (round % 100 == 0) {
            wrong += count(channels, key) != per[n];
        }
    }
    is_num(wrong, 0, "each channel has its listeners, all the time");
    memset(told, 0, MANY * sizeof(*told));
    is_num(count_all(channels), here, "all who listen are called");
    for (i = 0; i < MANY; ++i) {
        wrong += told[i] != (where[i] >= 0);
    }
    is_num(wrong, 0, "each once, and nobody else");
    for (i = 0; i < MANY; ++i) {
        sse_channels_remove(channels, &listeners[i]);
    }
    is_num(count_all(channels), 0, "until none is left");
    free(told);
    free(listeners);
}

/* Each bit of n as one of two pairs of letters. */
static sse_slice_t name_of(char *name, int n, const char *zero, const char *one)
{
    sse_slice_t key = {name, 2 * PAIRS};
    int i;

    for (i = 0; i < PAIRS; ++i) {
        memcpy(name + 2 * i, n >> i & 1 ? one : zero, 2);
    }
    return key;
}

/* The time it takes that all of these channels come, are looked up and go. */
static double cost_of(const char *zero, const char *one)
{
    sse_channels_t *channels = sse_channels_create(pool);
    sse_link_t *listeners = calloc(NAMED, sizeof(*listeners));
    char name[2 * PAIRS];
    clock_t begun = clock();
    int i, round, wrong = 0;

    for (i = 0; i < NAMED; ++i) {
        sse_channels_add(channels, name_of(name, i, zero, one), &listeners[i]);
    }
    for (round = 0; round < 3; ++round) {
        for (i = 0; i < NAMED; ++i) {
            wrong += sse_channels_find(channels, name_of(name, i, zero, one)) !=
                     &listeners[i];
        }
    }
    for (i = 0; i < NAMED; ++i) {
        sse_channels_remove(channels, &listeners[i]);
    }
    is_num(wrong, 0, "all are found");
    free(listeners);
    return (double)(clock() - begun) / CLOCKS_PER_SEC;
}

/* The least of three, in case that something else took the time. */
static double least_cost_of(const char *zero, const char *one)
{
    double least = cost_of(zero, one), cost;
    int i;

    for (i = 1; i < 3; ++i) {
        cost = cost_of(zero, one);
        least = cost < least ? cost : least;
    }
    return least;
}

/* "Aa" and "B@" are the same to a function that takes each byte times 33. */
static void test_collisions(void)
{
    unsigned int one, other;
    apr_ssize_t len = 2;
    double plain, made;

    one = apr_hashfunc_default("Aa", &len);
    other = apr_hashfunc_default("B@", &len);
    is_num(one, other, "names that APR's function cannot tell apart");
    plain = least_cost_of("Aa", "Ab");
    made = least_cost_of("Aa", "B@");
    ok(made < 10 * plain + 0.02, "cost no more than others");
    printf("# %.4f s, others %.4f s\n", made, plain);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_one();
    test_keys();
    test_removing();
    test_many();
    test_collisions();
    apr_terminate();
    return done_testing();
}
