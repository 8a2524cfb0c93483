/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* "make bench-store": what the store costs by itself, a figure per line.  The
 * directory is made below $TMPDIR or /tmp: sync=on measures that disk. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "store/sse_store.h"

#define THREADS 8
#define PRESENT 10000 /* members, while others come and go */
#define COMERS  500   /* changes in one call, at most */

static const sse_history_t thousand = {1000, 3600000000, 16 << 20};
static const char payload[] = "{\"price\":123.45,\"symbol\":\"ACME\",\"at\":"
                              "\"2026-01-01T00:00:00Z\",\"volume\":100000000}";
static char dir[256];

static sse_append_t item(const char *channel)
{
    static const sse_fields_t none = SSE_FIELDS_NONE;
    sse_append_t a;

    memset(&a, 0, sizeof(a));
    a.channel.ptr = channel;
    a.channel.len = strlen(channel);
    a.fields = none;
    a.fields.data.ptr = payload;
    a.fields.data.len = sizeof(payload) - 1;
    a.history = &thousand;
    return a;
}

static sse_store_t *start(const char *sync, apr_pool_t *pool)
{
    const char *argv[3], *notice;
    sse_store_conf_t *conf;
    sse_store_t *store;

    argv[0] = "lmdb";
    argv[1] = apr_pstrcat(pool, "dir=", sync, NULL);
    argv[2] = apr_pstrcat(pool, "sync=", sync, NULL);
    if (sse_store_configure(&conf, pool, dir, 3, argv) ||
        sse_store_prepare(conf, (apr_uid_t)-1, (apr_gid_t)-1, &notice, pool) ||
        sse_store_open(&store, conf, NULL, pool)) {
        fprintf(stderr, "no store in %s\n", dir);
        exit(1);
    }
    return store;
}

static void show(const char *what, apr_time_t since, double n)
{
    double us = (double)(apr_time_now() - since);

    printf("%-44s %10.0f /s %10.3f us each\n", what, n / us * 1e6, us / n);
    fflush(stdout);
}

static void must(apr_status_t rv)
{
    if (rv) {
        fprintf(stderr, "error %d\n", (int)rv);
        exit(1);
    }
}

static void append_single(sse_store_t *store, int n, const char *what)
{
    apr_time_t since = apr_time_now();
    int i;

    for (i = 0; i < n; ++i) {
        sse_append_t a = item(i % 10 ? "/events/news" : "/events/other");

        must(sse_store_append(store, &a, 1));
    }
    show(what, since, n);
}

static void append_batch(sse_store_t *store, int n, const char *what)
{
    static sse_append_t a[1000];
    apr_time_t since = apr_time_now();
    int i, j;

    for (i = 0; i < n; ++i) {
        for (j = 0; j < 1000; ++j) {
            a[j] = item("/events/news");
        }
        must(sse_store_append(store, a, 1000));
    }
    show(what, since, n * 1000.0);
}

typedef struct {
    sse_store_t *store;
    int n;
} work_t;

static void *append_thread(void *data)
{
    work_t *work = data;
    int i;

    for (i = 0; i < work->n; ++i) {
        sse_append_t a = item("/events/news");

        must(sse_store_append(work->store, &a, 1));
    }
    return NULL;
}

static void append_threads(sse_store_t *store, int n, const char *what)
{
    work_t work = {store, n / THREADS};
    pthread_t thread[THREADS];
    apr_time_t since = apr_time_now();
    int i;

    for (i = 0; i < THREADS; ++i) {
        pthread_create(&thread[i], NULL, append_thread, &work);
    }
    for (i = 0; i < THREADS; ++i) {
        pthread_join(thread[i], NULL);
    }
    show(what, since, n);
}

static apr_status_t add(void *baton, const sse_record_t *record)
{
    *(apr_size_t *)baton += record->fields.data.len;
    return APR_SUCCESS;
}

static void reading(sse_store_t *store)
{
    sse_slice_t key = item("/events/news").channel;
    sse_position_t position;
    sse_id_t last, next;
    apr_size_t bytes = 0;
    apr_time_t since;
    int i, n = 1000000, missing, gap;

    must(sse_store_last(store, &last));
    since = apr_time_now();
    for (i = 0; i < n; ++i) {
        must(sse_store_last(store, &next));
    }
    show("last", since, n);
    since = apr_time_now();
    for (i = 0; i < n; ++i) {
        must(sse_store_look(store, &key, 1, last - 10, &position));
    }
    show("look, one channel", since, n);
    since = apr_time_now();
    for (i = 0; i < n; ++i) {
        must(sse_store_follow(store, last, 100, add, &bytes, &next, &missing));
    }
    show("follow, nothing new", since, n);
    since = apr_time_now();
    for (i = 0; i < n; ++i) {
        must(sse_store_follow(store, last - 1, 100, add, &bytes, &next,
                              &missing));
    }
    show("follow, one new event", since, n);
    since = apr_time_now();
    for (i = 0; i < n / 100; ++i) {
        must(sse_store_follow(store, last - 1000, 1000, add, &bytes, &next,
                              &missing));
    }
    show("follow, each of 1000 events", since, n * 10.0);
    since = apr_time_now();
    for (i = 0; i < n / 1000; ++i) {
        must(sse_store_history(store, &key, 1, last - 1000, last, 1 << 30, add,
                               &bytes, NULL, &next, &gap));
    }
    show("history, each of about 1000 events", since, n);
}

/* -- Who is on a channel --------------------------------------------------- */

/* Streams that come or go, in one call; each with an event. */
static void change(sse_store_t *store, sse_presence_e what, int from, int n)
{
    static sse_presence_t changes[COMERS];
    static char stream[COMERS][16], user[COMERS][16];
    sse_append_t event = item("/events/presence");
    int i;

    memset(changes, 0, sizeof(changes));
    for (i = 0; i < n; ++i) {
        sse_presence_t *c = &changes[i];

        c->what = what;
        c->channel = item("/events/news").channel;
        c->stream.ptr = stream[i];
        c->stream.len = (apr_size_t)snprintf(stream[i], sizeof(stream[i]),
                                             "stream-%d", from + i);
        c->user.ptr = user[i];
        c->user.len = (apr_size_t)snprintf(user[i], sizeof(user[i]), "user-%d",
                                           (from + i) / 2);
        c->person = c->user;
        c->owner.ptr = "12345.1";
        c->owner.len = 7;
        c->event = &event;
    }
    must(sse_store_presence_change(store, changes, n));
}

static void come_and_go(sse_store_t *store, int n, int total)
{
    apr_time_t since = apr_time_now();
    char what[64];
    int i;

    for (i = 0; i < total; i += n) {
        change(store, SSE_PRESENCE_JOIN, PRESENT + i, n);
        change(store, SSE_PRESENCE_LEAVE, PRESENT + i, n);
    }
    snprintf(what, sizeof(what), "join and leave, %d members, batches of %d",
             PRESENT, n);
    show(what, since, i);
}

static apr_status_t count(void *baton, const sse_presence_member_t *member)
{
    ++*(int *)baton;
    return APR_SUCCESS;
}

static void presence(sse_store_t *store)
{
    sse_slice_t key = item("/events/news").channel;
    apr_uint64_t streams, users;
    apr_time_t since;
    sse_id_t last;
    int i, n = 0;

    for (i = 0; i < PRESENT; i += COMERS) {
        change(store, SSE_PRESENCE_JOIN, i, COMERS);
    }
    come_and_go(store, 1, 20000);
    come_and_go(store, 50, 50000);
    come_and_go(store, COMERS, 50000);
    since = apr_time_now();
    for (i = 0; i < 100; ++i) {
        must(sse_store_presence_list(store, key, PRESENT, count, &n, &last,
                                     &streams, &users));
    }
    show("list, each of 10000 members", since, n);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    apr_pool_t *pool;
    sse_store_t *store;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    snprintf(dir, sizeof(dir), "%s/bench-store.XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        perror(dir);
        return 1;
    }
    store = start("off", pool);
    append_single(store, 300000, "append, sync=off");
    append_batch(store, 500, "append, batches of 1000, sync=off");
    append_threads(store, 300000, "append, 8 threads, sync=off");
    reading(store);
    presence(store);
    apr_pool_clear(pool);
    store = start("on", pool);
    append_single(store, 2000, "append, sync=on");
    append_threads(store, 8000, "append, 8 threads, sync=on");
    append_batch(store, 50, "append, batches of 1000, sync=on");
    apr_pool_destroy(pool);
    {
        static const char *const files[] = {
            "off/data.mdb", "off/lock.mdb", "off", "on/data.mdb",
            "on/lock.mdb",  "on",           ""};
        char path[512];
        apr_size_t i;

        for (i = 0; i < sizeof(files) / sizeof(files[0]); ++i) {
            snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
            remove(path);
        }
    }
    return 0;
}
