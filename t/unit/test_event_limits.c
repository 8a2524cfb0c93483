/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Where a reader of text/event-stream stops: at what its callback says, and at
 * events that are too large; and that neither many events nor endless input
 * take more memory, or more time than they should. */

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <apr_general.h>
#include <apr_pools.h>

#include "event/sse_event.h"
#include "t/unit/event_oracle.h"
#include "t/unit/tap.h"

#define MAX 65536

static apr_pool_t *pool;

static void test_stop(void)
{
    static const char in[] = "data: a\n\ndata: b\n\ndata: c\n\n";
    tape_t tape = {0};
    sse_reader_t *reader = sse_reader_create(pool, MAX, tape_event, &tape);

    tape.stop_at = 2;
    tape.error = APR_EGENERAL;
    is_num(sse_reader_feed(reader, in, sizeof(in) - 1), APR_EGENERAL,
           "what the callback returns comes back");
    is_str(tape.ptr, "data(a);data(b);", "nothing is read after it");
    is_num(sse_reader_feed(reader, in, sizeof(in) - 1), APR_EGENERAL,
           "a later call returns it again");
    is_num(sse_reader_feed(reader, "", 0), APR_EGENERAL, "even an empty one");
    is_num(tape.count, 2, "and reads nothing");
    tape_free(&tape);
    apr_pool_clear(pool);
}

static void max_is(sse_slice_t in, size_t max, apr_status_t want_rv,
                   const char *want_tape, const char *what)
{
    dice_t dice = {11};
    tape_t want = {0}, oracle = {0};
    int partial = 0;
    const char *p;

    tape_add(&want, want_tape, strlen(want_tape));
    for (p = want_tape; (p = strchr(p, ';')) != NULL; p++) {
        ++want.count;
    }
    is_num(oracle_read(in.ptr, in.len, max, &oracle, &partial), want_rv, what);
    ok(tape_same(&oracle, &want), "  the events before it");
    ok(reads_all_ways(pool, in, max, 30, &dice, &want, want_rv, partial),
       "  and so for every cut");
    tape_free(&want);
    tape_free(&oracle);
}

#define MAX_IS(in, max, rv, tape, what)                                        \
    max_is((sse_slice_t){in, sizeof(in) - 1}, max, rv, tape, what)

static void test_max(void)
{
    MAX_IS("data: 12345\n\n", 5, APR_SUCCESS, "data(12345);", "data of max");
    MAX_IS("data: 123456\n\n", 5, APR_ENOSPC, "", "one byte more");
    MAX_IS("data: 123456", 5, APR_ENOSPC, "", "a line end is not waited for");
    MAX_IS("data: 12345", 5, APR_SUCCESS, "", "an unfinished line of max");
    MAX_IS("data: 12\ndata: 34\n\n", 5, APR_SUCCESS, "data(12\n34);",
           "lines count with the LF between");
    MAX_IS("data: 12\ndata: 345\n\n", 5, APR_ENOSPC, "", "which is too much");
    MAX_IS("data\ndata\ndata\n\n", 2, APR_SUCCESS, "data(\n\n);", "only LFs");
    MAX_IS("data\ndata\ndata\ndata\n\n", 2, APR_ENOSPC, "", "an LF too many");
    MAX_IS("data: 1\ndata", 1, APR_SUCCESS, "", "not data before its colon");
    MAX_IS("data: 1\ndata:", 1, APR_ENOSPC, "", "but with it");
    MAX_IS("data: 1\ndatas: 1\n\n", 1, APR_SUCCESS, "data(1);",
           "another field is not in the way");
    MAX_IS("id: 1\nevent: 22\ndata: 33\n\n", 5, APR_SUCCESS,
           "id(1)event(22)data(33);", "all values together");
    MAX_IS("id: 1\nevent: 22\ndata: 333\n\n", 5, APR_ENOSPC, "", "too much");
    MAX_IS("data: 333\nevent: 22\nid: 1\n\n", 5, APR_ENOSPC, "", "by its id");
    MAX_IS("data: 333\nid: 1\nevent: 22\n\n", 5, APR_ENOSPC, "",
           "by its event");
    MAX_IS("id: 12345\nid: 54321\nid:\nevent: 12345\nevent: 1\ndata: 1234\n\n",
           5, APR_SUCCESS, "id()event(1)data(1234);",
           "a value that is replaced does not count");
    MAX_IS("retry: 00001\ndata: 12345\n\n", 5, APR_SUCCESS,
           "retry(1)data(12345);", "a retry does not count");
    MAX_IS("retry: 000001\ndata: 1\n\n", 5, APR_ENOSPC, "",
           "but must not be longer than max");
    MAX_IS("data: 12345\n\ndata: 12345\n\ndata: 123456\n\ndata: 1\n\n", 5,
           APR_ENOSPC, "data(12345);data(12345);", "the third is too large");
    MAX_IS(": 123456\n12345678: 123456\ndata: 1\n: 123456\n\n", 5, APR_SUCCESS,
           "data(1);", "comments and other fields may have any length");
    MAX_IS("data: 1\n\n", 1, APR_SUCCESS, "data(1);", "max 1");
    MAX_IS("id: \0\0\ndata: 1\n\n", 1, APR_ENOSPC, "",
           "an id is too long before it is ignored");
}

static void test_max_is_the_end(void)
{
    tape_t tape = {0};
    sse_reader_t *reader = sse_reader_create(pool, 3, tape_event, &tape);

    is_num(sse_reader_feed(reader, "data: 1234", 10), APR_ENOSPC, "too much");
    is_num(sse_reader_feed(reader, "\n\ndata: 1\n\n", 11), APR_ENOSPC,
           "it stays so");
    is_num(tape.count, 0, "and nothing more is given");
    tape_free(&tape);
    apr_pool_clear(pool);
}

typedef struct {
    int count;
    const char *data, *id; /* where the last event lay */
    int moved;
} place_t;

static apr_status_t on_place(void *baton, const sse_fields_t *event)
{
    place_t *place = baton;

    place->moved +=
        place->data != event->data.ptr || place->id != event->id.ptr;
    place->data = event->data.ptr;
    place->id = event->id.ptr;
    ++place->count;
    return APR_SUCCESS;
}

/* Nothing is taken from the pool, nor are there new buffers. */
static void test_memory(void)
{
    static const char in[] = "id: 17\nevent: e\nretry: 1\ndata: hello\n\n";
    place_t place = {0};
    sse_reader_t *reader = sse_reader_create(pool, MAX, on_place, &place);
    const char *before, *after;
    int i;

    sse_reader_feed(reader, in, 5);
    sse_reader_feed(reader, in + 5, sizeof(in) - 1 - 5);
    place.moved = 0;
    before = apr_palloc(pool, 8);
    for (i = 0; i < 100000; i++) {
        sse_reader_feed(reader, in, 12);
        sse_reader_feed(reader, in + 12, sizeof(in) - 1 - 12);
    }
    after = apr_palloc(pool, 8);
    is_num(place.count, 100001, "100,000 events later");
    ok(after - before == 8, "the pool gave nothing to the reader");
    is_num(place.moved, 0, "and the buffers are the same");
    apr_pool_clear(pool);
}

static long peak_kb(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static apr_status_t feed_much(const char *begin, size_t max, char fill,
                              long *grown)
{
    static char chunk[1 << 20];
    tape_t tape = {0};
    sse_reader_t *reader = sse_reader_create(pool, max, tape_event, &tape);
    apr_status_t rv = sse_reader_feed(reader, begin, strlen(begin));
    long before;
    int i;

    memset(chunk, fill, sizeof(chunk));
    before = peak_kb();
    for (i = 0; i < 64 && rv == APR_SUCCESS; i++) {
        rv = sse_reader_feed(reader, chunk, sizeof(chunk));
    }
    *grown = peak_kb() - before;
    is_num(tape.count, 0, "no event");
    apr_pool_clear(pool);
    return rv;
}

static void test_bounded(void)
{
    long grown;

    is_num(feed_much(":", 1000, 'x', &grown), APR_SUCCESS,
           "a comment of 64 MB is no error");
    ok(grown < 8192, "  and takes no memory");
    is_num(feed_much("x", 1000, 'x', &grown), APR_SUCCESS,
           "nor is an unknown field of 64 MB");
    ok(grown < 8192, "  and takes no memory");
    is_num(feed_much("data:", 1000, 'x', &grown), APR_ENOSPC,
           "data of 64 MB is too large");
    ok(grown < 8192, "  and takes no memory");
    is_num(feed_much("", 1000, '\n', &grown), APR_SUCCESS,
           "64 MB of empty lines are nothing");
    ok(grown < 8192, "  and take no memory");
}

static clock_t time_reading(const char *line, char *buf, size_t len)
{
    place_t place = {0};
    sse_reader_t *reader = sse_reader_create(pool, len, on_place, &place);
    size_t n = strlen(line), at = 0;
    clock_t start;

    while (at + n <= len) {
        oracle_put(buf, &at, line, n);
    }
    start = clock();
    sse_reader_feed(reader, buf, at);
    return clock() - start;
}

/* The least of three, in case that something else took the time. */
static clock_t least_reading(const char *line, char *buf, size_t len)
{
    clock_t least = time_reading(line, buf, len), took;
    int i;

    for (i = 1; i < 3; ++i) {
        took = time_reading(line, buf, len);
        least = took < least ? took : least;
    }
    return least;
}

static void test_linear(void)
{
    size_t len = 2000000;
    char *buf = malloc(len);
    clock_t lf = least_reading("data:xy\n", buf, len);
    clock_t cr = least_reading("data:xy\r", buf, len);

    ok(cr < 50 * lf + CLOCKS_PER_SEC / 10,
       "short lines that end in CR take no longer than those in LF");
    free(buf);
    apr_pool_clear(pool);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_bounded();
    test_stop();
    test_max();
    test_max_is_the_end();
    test_memory();
    test_linear();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
