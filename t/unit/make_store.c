/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Stores for t/store/tool.pl: make_store DIR COMMAND
 *
 *   fill     a store with something of all kinds
 *   write    append, forget and let expire, until stdin ends; a line on stdout
 *            when it has begun, and the number of events at the end
 *   read     hold a snapshot until stdin ends; a line when it has begun
 *   version  say that it is of version 9
 *   lose     take an event away of which the index knows
 *   miscount say that a channel has one event more
 *   unmark   take away the mark by which a member is found
 */

#include <poll.h>

#include "store.h"
#include "store/lmdb/sse_lmdb.h"

#define KEY(s)                                                                 \
    (sse_slice_t) { s, sizeof(s) - 1 }
#define NEWS KEY("a.example\0/events/news")

static const sse_history_t keep_two = {2, 0, 0};
static const sse_history_t keep_short = {100, 1, 0};

static void must_append(sse_store_t *store, sse_append_t *append, int times)
{
    apr_status_t rv;

    while ((rv = sse_store_append(store, append, 1)) &&
           (rv == SSE_STORE_ESIZE || rv == SSE_STORE_EBUSY) && --times > 0) {
        apr_sleep(apr_time_from_msec(10));
    }
    if (rv) {
        fputs("append failed\n", stderr);
        exit(1);
    }
}

static void add(sse_store_t *store, sse_slice_t key, const char *event,
                const char *data, const char *idempotency,
                const sse_history_t *history)
{
    sse_append_t append = item("", data, idempotency, history);

    append.channel = key;
    append.fields.event = text(event);
    if (event) {
        append.fields.retry = 1500;
    }
    must_append(store, &append, 1);
}

/* No failure but those that a busy or full store has. */
static void must_change(sse_store_t *store, sse_presence_t change)
{
    apr_status_t rv = sse_store_presence_change(store, &change, 1);

    if (rv && rv != SSE_STORE_ESIZE && rv != SSE_STORE_EBUSY) {
        fputs("change failed\n", stderr);
        exit(1);
    }
}

static sse_presence_t joins(sse_slice_t channel, const char *stream,
                            const char *user)
{
    return (sse_presence_t){.what = SSE_PRESENCE_JOIN,
                            .channel = channel,
                            .stream = text(stream),
                            .person = text(user),
                            .user = text(user),
                            .owner = text("77.1"),
                            .since = apr_time_now()};
}

static sse_presence_t leaves(sse_slice_t channel, const char *stream,
                             apr_interval_time_t grace)
{
    return (sse_presence_t){.what = SSE_PRESENCE_LEAVE,
                            .channel = channel,
                            .stream = text(stream),
                            .grace = grace};
}

/* Many on one channel, and one on a channel without events. */
static void fill_members(sse_store_t *store)
{
    char name[16];
    int i;

    must_change(store, joins(NEWS, "back", "ann"));
    must_change(store, leaves(NEWS, "back", apr_time_from_sec(3600)));
    must_change(store, joins(NEWS, "again", "ann"));
    for (i = 0; i < 300; ++i) {
        snprintf(name, sizeof(name), "s%d", i);
        must_change(store, joins(NEWS, name, ""));
    }
    must_change(store, joins(NEWS, "waits", "b\\\x1b"));
    must_change(store, leaves(NEWS, "waits", apr_time_from_sec(3600)));
    must_change(store, joins(KEY("b.example\0/quiet"), "alone", "ann"));
}

static void fill(sse_store_t *store)
{
    sse_id_t id;
    int i;

    add(store, NEWS, NULL, "one", NULL, &keep_all);
    add(store, NEWS, "tick", "two\nlines", NULL, &keep_all);
    add(store, NEWS, NULL, "", "a-key", &keep_all);
    for (i = 0; i < 5; ++i) {
        add(store, KEY("a.example\0/events/two"), NULL, "xxxx", NULL,
            &keep_two);
    }
    add(store, KEY("a.example\0/odd\\ \x1b"), NULL, "x", NULL, &keep_all);
    add(store, KEY("a.example\0/short"), NULL, "gone", NULL, &keep_short);
    add(store, KEY("b.example\0/events/news"), NULL, "other", NULL, &keep_all);
    add(store, KEY("b.example\0/none"), NULL, "never kept", NULL, &keep_none);
    add(store, KEY("b.example\0/forgotten"), NULL, "x", "k", &keep_all);
    sse_store_forget(store, KEY("b.example\0/forgotten"), &id);
    fill_members(store);
}

static int at_end(void)
{
    struct pollfd in = {0, POLLIN, 0};

    return poll(&in, 1, 0) != 0;
}

static void begun(void)
{
    puts("begun");
    fflush(stdout);
}

static void write_on(sse_store_t *store)
{
    static const sse_history_t some = {200, 0, 0};
    char name[32], data[3000];
    sse_append_t append;
    sse_id_t id;
    int n, more;

    memset(data, 'd', sizeof(data) - 1);
    for (n = 0; n < 2000 || !at_end(); ++n) {
        if (n == 2000) {
            begun();
        }
        snprintf(name, sizeof(name), "w%cchannel-%d", '\0', n % 300);
        name[1] = '\0';
        data[n % (int)sizeof(data)] = '\0';
        append = item("", data, n % 5 ? NULL : "again",
                      n % 300 % 7 ? &some : &keep_short);
        append.channel = (sse_slice_t){name, 2 + strlen(name + 2)};
        must_append(store, &append, 1000); /* a reader may hold its pages */
        must_change(store, n % 7 ? joins(append.channel, name + 2, name + 9)
                                 : leaves(append.channel, name + 2, 0));
        data[n % (int)sizeof(data)] = 'd';
        data[sizeof(data) - 1] = '\0';
        if (!(n % 50)) {
            sse_store_forget(store, (sse_slice_t){name, 2 + strlen(name + 2)},
                             &id);
            sse_store_tidy(store, apr_time_now() + apr_time_from_sec(11),
                           &more);
        }
    }
    printf("%d\n", n);
}

static void read_on(sse_store_t *store)
{
    sse_lmdb_state_t state;
    MDB_txn *txn;
    char c;

    if (!sse_lmdb_read_begin(LMDB(store), &txn, &state)) {
        begun();
        while (read(0, &c, 1) > 0) {
        }
        sse_lmdb_read_end(LMDB(store), txn);
    }
}

static int unmark(sse_lmdb_write_t *w)
{
    MDB_val key, val;
    int rc =
        sse_lmdb_seek(w->txn, w->store->db[SSE_DB_MARKS], MDB_LAST, &key, &val);

    return rc ? rc : sse_lmdb_del(w, SSE_DB_MARKS, key.mv_data, key.mv_size);
}

static int spoil(sse_store_t *store, const char *how)
{
    sse_lmdb_write_t w;
    int rc = sse_lmdb_write_begin(&w, LMDB(store));

    if (rc || (rc = sse_lmdb_channel_use(&w, NEWS, 0))) {
        return rc;
    }
    if (!strcmp(how, "version")) {
        w.state.version = 9;
    }
    else if (!strcmp(how, "miscount")) {
        w.channel.count++;
    }
    else if (!strcmp(how, "unmark")) {
        rc = unmark(&w);
    }
    else {
        rc = sse_lmdb_del(&w, SSE_DB_EVENTS, &w.channel.first,
                          sizeof(w.channel.first));
    }
    return rc ? rc : sse_lmdb_write_end(&w, 0);
}

int main(int argc, char **argv)
{
    apr_pool_t *pool;
    sse_store_t *store;
    int rc = 0;

    if (argc != 3) {
        return 2;
    }
    apr_initialize();
    pool = test_pool();
    snprintf(test_dir, sizeof(test_dir), "/"); /* DIR is absolute */
    store = test_open(test_conf(pool, argv[1], "16m", "off"), pool);
    if (!strcmp(argv[2], "fill")) {
        fill(store);
    }
    else if (!strcmp(argv[2], "write")) {
        write_on(store);
    }
    else if (!strcmp(argv[2], "read")) {
        read_on(store);
    }
    else {
        rc = spoil(store, argv[2]);
    }
    apr_pool_destroy(pool);
    return rc != 0;
}
