/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/notify/webhook/sse_hook_spool.c: calls wait in their order until they are
 * finished; opens and closes; bounds; segments that go. */

#include "hook_spool.h"

#include <malloc.h>
#include <pthread.h>

/* A child ends in order, and another one sends what it left. */
static void leave_nothing(apr_pool_t *own)
{
    sse_spool_t *spool;

    apr_pool_clear(own);
    spool = open_as("dead.last", own);
    claim(spool);
    send_some(spool, -1);
    is_num(calls_of(spool), 0, "another one can send the rest");
    apr_pool_destroy(own);
}

static void test_order(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    sse_spool_at_t at = {0, 0}, none = {0, 0}, first = {0, 0};
    sse_room_t room = {0};
    const char *all;
    sse_call_t call = call_of(SSE_CALL_PUBLISH, "target one", "id 1", NULL,
                              "{\"type\":\"publish\"}");

    apr_pool_create(&own, pool);
    spool = open_as("dead.1", own);
    call.time = 12345678;
    is_num(sse_spool_next(spool, NULL, &at, &call, &room), APR_EOF,
           "nothing waits at first");
    is_num(sse_spool_add(spool, &call), APR_SUCCESS, "a call");
    memset(&call, 0, sizeof(call));
    is_num(sse_spool_next(spool, NULL, &at, &call, &room), APR_SUCCESS,
           "comes");
    is_num(call.type, SSE_CALL_PUBLISH, "with its type");
    is_num(call.time, 12345678, "its time");
    is_mem(call.target.ptr, call.target.len, "target one", 10, "its target");
    is_mem(call.id.ptr, call.id.len, "id 1", 4, "its id");
    is_num(call.stream.len, 0, "no stream");
    is_mem(call.body.ptr, call.body.len, "{\"type\":\"publish\"}", 18,
           "its body");
    first = at;
    is_num(sse_spool_next(spool, NULL, &at, &call, &room), APR_EOF, "once");
    say(spool, "publish 2");
    say(spool, "publish 3@other");
    say(spool, "publish 4");
    all = waiting_from(spool, &at, NULL);
    is_str(all, "2.publish 3.publish@other 4.publish",
           "a position goes on when others were added");
    all = waiting_from(spool, &none, "other");
    is_str(all, "3.publish@other", "only one target's");
    is_num(calls_of(spool), 4, "four wait");
    sse_spool_done(spool, first);
    sse_spool_done(spool, first);
    is_num(calls_of(spool), 3, "one is finished, once");
    is_str(waiting(spool), "2.publish 3.publish@other 4.publish",
           "and does not come again");
    is_num(send_some(spool, -1), 3, "all are sent");
    is_str(waiting(spool), "", "nothing waits");
    sse_room_free(&room);
    apr_pool_destroy(own);
    is_num(count_files(dir, ""), 0, "and no file is left");
}

static void test_pairs(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;

    apr_pool_create(&own, pool);
    spool = open_as("dead.1", own);
    is_num(say(spool, "close a"), APR_NOTFOUND, "a close without its open");
    is_num(say(spool, "open a"), APR_SUCCESS, "an open");
    is_num(say(spool, "close a@other"), APR_NOTFOUND, "is of its target");
    is_num(say(spool, "close a"), APR_SUCCESS, "and has its close");
    is_num(say(spool, "close a"), APR_NOTFOUND, "once");
    is_num(say(spool, "silent b"), APR_SUCCESS, "an open that is not sent");
    is_num(say(spool, "close b"), APR_SUCCESS, "has its close, too");
    is_num(add(spool, SSE_CALL_CLOSE, "t", "c", NULL), APR_SUCCESS,
           "a close that needs no open");
    is_num(add(spool, SSE_CALL_OPEN, "t", "d", NULL), APR_SUCCESS,
           "an open that has no close");
    is_str(waiting(spool), "a.open a.close b.close c d", "in their order");
    say(spool, "open e");
    say(spool, "silent f");
    is_num(send_some(spool, -1), 6, "all are sent");
    apr_pool_clear(own);
    is_num(count_files(dir, "hooks.dead.1"), 1, "what is open stays");
    spool = open_as("dead.2", own);
    is_num(claim(spool), APR_SUCCESS, "it is claimed");
    is_str(waiting(spool), "e.close f.close", "whose close is told");
    is_num(claim(spool), APR_SUCCESS, "again");
    is_num(send_some(spool, -1), 2, "once");
    leave_nothing(own);
}

static void test_bounds(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    int i, n[3] = {0, 0, 0};

    apr_pool_create(&own, pool);
    spool = open_sized("dead.1", 100, MANY_BYTES, own);
    for (i = 0; i < 50; ++i) {
        say(spool, apr_psprintf(own, "silent s%d", i));
    }
    for (i = 0; i < 200; ++i) {
        n[0] += say(spool, "publish p") == APR_SUCCESS;
    }
    for (i = 0; i < 200; ++i) {
        n[1] += say(spool, apr_psprintf(own, "open o%d", i)) == APR_SUCCESS;
    }
    for (i = 0; i < 50; ++i) {
        n[2] += say(spool, apr_psprintf(own, "close s%d", i)) == APR_SUCCESS;
    }
    is_num(n[0], 50, "half of the bound is for publishes");
    is_num(n[1], 50, "all of it for opens");
    is_num(n[2], 50, "every close comes behind that");
    is_num(say(spool, "close o99"), APR_NOTFOUND,
           "none of an open that was refused");
    send_some(spool, 100);
    is_num(say(spool, "publish p"), APR_ENOSPC, "still half full");
    send_some(spool, 1);
    is_num(say(spool, "publish p"), APR_SUCCESS, "there is room again");
    leave_nothing(own);
}

static void test_bytes(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    sse_call_t call = call_of(SSE_CALL_PUBLISH, "t", "x", NULL, "");
    apr_uint64_t calls, bytes;
    int i, n = 0;

    apr_pool_create(&own, pool);
    spool = open_sized("dead.1", MANY_CALLS, 100000, own);
    call.body.ptr = apr_pcalloc(own, 100001);
    call.body.len = 10000;
    for (i = 0; i < 20; ++i) {
        n += sse_spool_add(spool, &call) == APR_SUCCESS;
    }
    sse_spool_waiting(spool, &calls, &bytes);
    is_num(n, 4, "half of 100000 bytes");
    ok(bytes > 40000 && bytes < 50000, "are counted");
    call.body.len = 100001;
    is_num(sse_spool_add(spool, &call), APR_ENOSPC, "one that is too large");
    send_some(spool, -1);
    apr_pool_destroy(own);
}

/* A target that is down leaves room for another one. */
static void test_shares(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    int i, n = 0, failed = 0;
    sse_spool_at_t at;
    sse_slice_t good = sse_slice("good");
    sse_room_t room = {0};
    sse_call_t call;

    apr_pool_create(&own, pool);
    spool = open_sized("dead.1", 1000, MANY_BYTES, own);
    for (i = 0; i < 2000; ++i) {
        memset(&at, 0, sizeof(at));
        failed += add(spool, SSE_CALL_FIRST, "good", "x", NULL) != APR_SUCCESS;
        n += add(spool, SSE_CALL_FIRST, "down", "y", NULL) == APR_SUCCESS;
        if (sse_spool_next(spool, &good, &at, &call, &room) == APR_SUCCESS) {
            sse_spool_done(spool, at);
        }
    }
    is_num(failed, 0, "calls to the one go on");
    ok(n >= 745 && n <= 750, "three quarters are for the other");
    sse_room_free(&room);
    leave_nothing(own);
}

/* -- Segments -------------------------------------------------------------- */

static int segments_of(const char *owner, int n)
{
    return count_files(path_of(apr_psprintf(pool, "hooks.%s.%d", owner, n)),
                       "");
}

static void test_segments(void)
{
    enum { CALLS = 2000 };
    apr_pool_t *own;
    sse_spool_t *spool;
    sse_spool_at_t at = {0, 0}, kept = {0, 0};
    sse_room_t room = {0};
    sse_call_t call;
    const char *all;
    int i, failed = 0;

    apr_pool_create(&own, pool);
    spool = open_sized("dead.1", MANY_CALLS, 64 * 65536, own);
    for (i = 0; i < CALLS; ++i) {
        failed += say(spool, "publish a call of some bytes") != APR_SUCCESS;
    }
    is_num(failed, 0, "2000 calls");
    i = segments_of("dead.1", 1);
    printf("# %d files\n", i);
    ok(i > 2 && i < 6, "are in several files");
    for (i = 0; i < CALLS; ++i) {
        failed += sse_spool_next(spool, NULL, &at, &call, &room) != APR_SUCCESS;
        if (i == CALLS / 2) {
            kept = at;
        }
        else {
            sse_spool_done(spool, at);
        }
    }
    is_num(failed, 0, "all come");
    is_num(segments_of("dead.1", 1), 2, "files go, but for what waits");
    sse_spool_done(spool, kept);
    is_num(segments_of("dead.1", 1), 1, "and then that one, too");
    is_num(sse_spool_next(spool, NULL, &kept, &call, &room), APR_EOF,
           "a position in a file that is gone");
    say(spool, "publish new");
    all = waiting_from(spool, &kept, NULL);
    is_str(all, "new.publish", "goes on behind");
    send_some(spool, -1);
    sse_room_free(&room);
    apr_pool_destroy(own);
}

/* Streams that are open for days pin no files. */
static void test_long_open(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    int i, most = 0, n;

    apr_pool_create(&own, pool);
    spool = open_sized("dead.1", MANY_CALLS, 64 * 65536, own);
    for (i = 0; i < 20000; ++i) {
        const char *name = apr_psprintf(own, "s%d", i);

        say(spool, apr_pstrcat(own, i % 2 ? "silent " : "open ", name, NULL));
        if (i % 100) {
            say(spool, apr_pstrcat(own, "close ", name, NULL));
        }
        if (i % 50 == 0) {
            send_some(spool, -1);
            n = segments_of("dead.1", 1);
            most = n > most ? n : most;
        }
    }
    send_some(spool, -1);
    printf("# at most %d files\n", most);
    ok(most <= 4, "few files for 20000 streams");
    say(spool, "close s19900");
    send_some(spool, -1);
    apr_pool_clear(own);
    spool = open_as("dead.2", own);
    claim(spool);
    is_num(calls_of(spool), 199, "and each that is open is known");
    is_num(say(spool, "close s100"), APR_NOTFOUND, "with its close");
    leave_nothing(own);
}

/* More streams are open than the bound on bytes has room for. */
static void test_many_open(void)
{
    enum { STREAMS = 8000 };
    apr_pool_t *own;
    sse_spool_t *spool;
    int i, failed = 0;

    apr_pool_create(&own, pool);
    spool = open_sized("dead.1", MANY_CALLS, 65536, own);
    for (i = 0; i < STREAMS; ++i) {
        failed += say(spool, apr_psprintf(own, "open s%d", i)) != APR_SUCCESS;
        if (i % 100 == 0) {
            send_some(spool, -1);
        }
    }
    is_num(failed, 0, "what was sent takes no room from what may wait");
    send_some(spool, -1);
    for (i = 0; i < STREAMS; ++i) {
        failed += say(spool, apr_psprintf(own, "close s%d", i)) != APR_SUCCESS;
    }
    is_num(failed, 0, "each has its close");
    is_num(send_some(spool, -1), STREAMS, "which are sent");
    is_num(say(spool, "publish p"), APR_SUCCESS, "and all room is back");
    send_some(spool, -1);
    apr_pool_destroy(own);
    is_num(count_files(dir, ""), 0, "nothing is left");
}

static void test_memory(void)
{
    enum { CALLS = 200000 };
    apr_pool_t *own;
    sse_spool_t *spool;
    struct mallinfo2 begun, full;
    sse_spool_at_t at = {0, 0};
    sse_room_t room = {0};
    sse_call_t call = call_of(SSE_CALL_PUBLISH, "t", "x", NULL,
                              "{\"type\":\"publish\",\"id\":\"0123456789\","
                              "\"time\":1764396000.123456,\"channels\":"
                              "[\"/events/some/channel\"],\"event\":{}}");
    apr_time_t began;
    int i, n = 0, failed = 0;

    apr_pool_create(&own, pool);
    spool = open_as("dead.1", own);
    begun = mallinfo2();
    began = apr_time_now();
    for (i = 0; i < CALLS; ++i) {
        failed += sse_spool_add(spool, &call) != APR_SUCCESS;
    }
    printf("# %.2f us to add a call\n",
           (double)(apr_time_now() - began) / CALLS);
    full = mallinfo2();
    printf("# %lu bytes more\n",
           (unsigned long)(full.uordblks - begun.uordblks));
    is_num(failed, 0, "200000 calls wait");
    ok(full.uordblks - begun.uordblks < 100000, "and take no memory");
    began = apr_time_now();
    while (sse_spool_next(spool, NULL, &at, &call, &room) == APR_SUCCESS) {
        ++n;
    }
    printf("# %.2f us to read one\n", (double)(apr_time_now() - began) / CALLS);
    is_num(n, CALLS, "all are read");
    began = apr_time_now();
    is_num(send_some(spool, -1), CALLS, "all are sent");
    printf("# %.2f us to read and finish one\n",
           (double)(apr_time_now() - began) / CALLS);
    sse_room_free(&room);
    apr_pool_destroy(own);
}

/* -- Threads --------------------------------------------------------------- */

enum { ADDERS = 4, EACH = 3000 };

typedef struct {
    sse_spool_t *spool;
    int n, failed;
} adder_t;

static void *run_adder(void *baton)
{
    adder_t *adder = baton;
    char open[40], closed[40];
    int i;

    for (i = 0; i < EACH; ++i) {
        apr_snprintf(open, sizeof(open), "open %d.%d", adder->n, i);
        apr_snprintf(closed, sizeof(closed), "close %d.%d", adder->n, i);
        adder->failed += say(adder->spool, open) != APR_SUCCESS ||
                         say(adder->spool, closed) != APR_SUCCESS;
    }
    return NULL;
}

/* Each adder's in their order: an open, then its close. */
static int is_next(int *seen, const sse_call_t *call)
{
    char text[40];
    int n, i, is_close;

    apr_cpystrn(text, call->id.ptr, call->id.len + 1);
    is_close = strstr(text, ".close") != NULL;
    return sscanf(text, "%d.%d", &n, &i) == 2 && seen[n]++ == 2 * i + is_close;
}

static void test_threads(void)
{
    apr_pool_t *own;
    sse_spool_t *spool;
    pthread_t threads[ADDERS];
    adder_t adders[ADDERS];
    sse_spool_at_t at = {0, 0};
    sse_room_t room = {0};
    sse_call_t call;
    int i, n = 0, failed = 0, wrong = 0, seen[ADDERS] = {0};

    apr_pool_create(&own, pool);
    spool = open_sized("dead.1", MANY_CALLS, 64 * 65536, own);
    for (i = 0; i < ADDERS; ++i) {
        adders[i].spool = spool;
        adders[i].n = i;
        adders[i].failed = 0;
        pthread_create(&threads[i], NULL, run_adder, &adders[i]);
    }
    while (n < 2 * ADDERS * EACH) {
        if (sse_spool_next(spool, NULL, &at, &call, &room) == APR_SUCCESS) {
            ++n;
            wrong += !is_next(seen, &call);
            sse_spool_done(spool, at);
        }
        else {
            usleep(100);
        }
    }
    for (i = 0; i < ADDERS; ++i) {
        pthread_join(threads[i], NULL);
        failed += adders[i].failed;
    }
    is_num(failed, 0, "four threads add while one sends");
    is_num(wrong, 0, "each call comes once, in order");
    is_num(calls_of(spool), 0, "nothing waits");
    ok(segments_of("dead.1", 1) <= 2, "and files have gone");
    sse_room_free(&room);
    apr_pool_destroy(own);
}

int main(void)
{
    begin();
    test_order();
    test_pairs();
    test_bounds();
    test_bytes();
    test_shares();
    test_segments();
    test_long_open();
    test_many_open();
    test_memory();
    test_threads();
    return end();
}
