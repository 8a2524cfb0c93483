/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Reading text/event-stream: what a reader gives, and when, however the input
 * is cut. */

#include <stdlib.h>

#include <apr_general.h>
#include <apr_pools.h>

#include "event/sse_event.h"
#include "t/unit/event_oracle.h"
#include "t/unit/tap.h"

#define MAX 65536

static apr_pool_t *pool;

typedef struct {
    sse_slice_t in;
    sse_slice_t want;
    int partial;
    const char *what;
} row_t;

#define ROW(in, want, what)                                                    \
    {                                                                          \
        {in, sizeof(in) - 1}, {want, sizeof(want) - 1}, 0, what                \
    }
#define PARTIAL(in, want, what)                                                \
    {                                                                          \
        {in, sizeof(in) - 1}, {want, sizeof(want) - 1}, 1, what                \
    }
#define ROWS(rows) rows, sizeof(rows) / sizeof(rows[0])

static void test_rows(const row_t *rows, size_t n)
{
    dice_t dice = {7};
    size_t i, k;

    for (i = 0; i < n; i++) {
        tape_t want = {0}, oracle = {0};
        int partial = 0;

        tape_add(&want, rows[i].want.ptr, rows[i].want.len);
        for (k = 0; k < want.len; k++) {
            want.count += want.ptr[k] == ';';
        }
        ok(reads_all_ways(pool, rows[i].in, MAX, 20, &dice, &want, APR_SUCCESS,
                          rows[i].partial),
           rows[i].what);
        oracle_read(rows[i].in.ptr, rows[i].in.len, MAX, &oracle, &partial);
        if (!tape_same(&oracle, &want) || partial != rows[i].partial) {
            ok(0, "  the oracle reads it as well");
        }
        tape_free(&want);
        tape_free(&oracle);
    }
}

static void test_lines(void)
{
    static const row_t rows[] = {
        ROW("", "", "nothing"),
        ROW("data: a\n\n", "data(a);", "LF"),
        ROW("data: a\r\r", "data(a);", "CR"),
        ROW("data: a\r\n\r\n", "data(a);", "CRLF"),
        ROW("data: a\r\n\n", "data(a);", "CRLF, then LF"),
        ROW("data: a\n\r\n", "data(a);", "LF, then CRLF"),
        ROW("data: a\r\r\n", "data(a);", "CR, then CRLF"),
        ROW("data: a\n\r", "data(a);", "LF, then CR"),
        ROW("data: a\r\ndata: b\rdata: c\ndata: d\r\n\r", "data(a\nb\nc\nd);",
            "all three in one event"),
        PARTIAL("data: a\r\n", "", "CRLF is one line end, not two"),
        ROW("\n\n\r\r\r\n\r\ndata: a\n\n\n\n", "data(a);",
            "empty lines around are nothing"),
        ROW("data: a\n\ndata: b\r\rdata: c\r\n\r\n", "data(a);data(b);data(c);",
            "three events"),
        ROW("data: a\vb\fc\xC2\x85"
            "d\xE2\x80\xA8"
            "e\n\n",
            "data(a\vb\fc\xC2\x85"
            "d\xE2\x80\xA8"
            "e);",
            "VT, FF, NEL and U+2028 end no line"),
    };

    test_rows(ROWS(rows));
}

static void test_bom(void)
{
    static const row_t rows[] = {
        ROW("\xEF\xBB\xBF"
            "data: a\n\n",
            "data(a);", "a BOM is dropped"),
        ROW("\xEF\xBB\xBF\xEF\xBB\xBF"
            "data: a\ndata: b\n\n",
            "data(b);", "but one only"),
        ROW("\n\xEF\xBB\xBF"
            "data: a\ndata: b\n\n",
            "data(b);", "and only as the first bytes"),
        ROW("data: a\n\n\xEF\xBB\xBF"
            "data: b\n\n",
            "data(a);", "not at the second event"),
        ROW("\xEF\xBB"
            "data: a\ndata: b\n\n",
            "data(b);", "two thirds of a BOM are none"),
        ROW("\xEF\ndata: b\n\n", "data(b);", "nor is one, a line of its own"),
        ROW("\xEF\xEF\xBB\xBF"
            "data: a\ndata: b\n\n",
            "data(b);", "a BOM after a piece of one is none"),
        ROW("\xEF\xBB\r\ndata: b\n\n", "data(b);", "a piece ended by CRLF"),
        ROW("\xEF\xBB\xBF", "", "a BOM alone"),
        ROW("\xEF\xBB", "", "a piece of a BOM alone"),
        ROW("\xEF\xBB\xBF\n\xEF\xBB\xBF\n", "", "only a BOM on each line"),
        ROW("data: \xEF\xBB\xBF\n\n", "data(\xEF\xBB\xBF);", "a BOM as data"),
    };

    test_rows(ROWS(rows));
}

static void test_fields(void)
{
    static const row_t rows[] = {
        ROW("data:a\n\n", "data(a);", "no space after the colon"),
        ROW("data:  a\n\n", "data( a);", "one space is dropped, not two"),
        ROW("data: \n\n", "data();", "a space alone is dropped"),
        ROW("data:  \n\n", "data( );", "of two spaces one is left"),
        ROW("data:\ta\n\n", "data(\ta);", "a tab is no space"),
        ROW("data:a \n\n", "data(a );", "a trailing space is kept"),
        ROW("data:a:b: c\n\n", "data(a:b: c);", "split at the first colon"),
        ROW("data::a\n\n", "data(:a);", "a value that begins with a colon"),
        ROW("data\n\n", "data();", "a field without colon is empty"),
        ROW("data\ndata\n\n", "data(\n);", "twice: an LF"),
        ROW("data:\n\n", "data();", "an empty value"),
        ROW("data: a\nid\nevent\nretry\n\n", "id()event()data(a);",
            "the others without colon: empty; retry ignored"),
        ROW("id: 1\nevent: e\nretry: 5\ndata: a\n\n",
            "id(1)event(e)retry(5)data(a);", "all four"),
        ROW("data: a\nretry: 5\nevent: e\nid: 1\n\n",
            "id(1)event(e)retry(5)data(a);", "in any order"),
        ROW("id: 1\nid: 22\nevent: e\nevent: f\nretry: 1\nretry: 2\ndata: "
            "a\n\n",
            "id(22)event(f)retry(2)data(a);", "the last one counts"),
        ROW("event: message\ndata: a\n\n", "event(message)data(a);",
            "event message is given as it came"),
        ROW("event:\ndata: a\n\n", "event()data(a);", "an empty event"),
        ROW("id:\ndata: a\n\n", "id()data(a);", "an empty id"),
        ROW("id: 1\nid\ndata: a\n\n", "id()data(a);", "id emptied again"),
        ROW("id: 1\nevent: e\nretry: 5\ndata: a\n\ndata: b\n\n",
            "id(1)event(e)retry(5)data(a);data(b);",
            "each event has its own fields only"),
        ROW(":data: a\n: data: a\n:\n::\ndata: b\n:c\n\n", "data(b);",
            "comments"),
        ROW(": only a comment\n\n", "", "a comment alone is no event"),
        ROW("Data: a\nDATA: a\nID: 1\nEvent: e\nRetry: 1\ndata: b\n\n",
            "data(b);", "other case is another name"),
        ROW("dat: a\ndatas: a\nd\ni\ne: 1\nids: 1\neven: e\nevents: e\n"
            "retr: 1\nretrys: 1\n data: a\ndata : a\nfoo\nfoo: a\n\0\n"
            "data\0: a\ndata: b\n\n",
            "data(b);", "other names are ignored"),
    };

    test_rows(ROWS(rows));
}

static void test_data(void)
{
    static const row_t rows[] = {
        ROW("data: a\ndata: b\n\n", "data(a\nb);", "lines are joined with LF"),
        ROW("data: a\ndata:\n\n", "data(a\n);", "one trailing LF is dropped"),
        ROW("data: a\ndata:\ndata:\n\n", "data(a\n\n);", "and one only"),
        ROW("data:\ndata: a\n\n", "data(\na);", "a leading LF is kept"),
        ROW("data:\ndata:\n\n", "data(\n);", "data of one LF"),
        ROW("data: a\nid: 1\ndata: b\n: c\nfoo\ndata: d\n\n",
            "id(1)data(a\nb\nd);", "other lines between"),
        ROW("data: a\0b\n\n", "data(a\0b);", "NUL in data is given"),
        ROW("data: \xFF\xC0\n\n", "data(\xFF\xC0);", "broken UTF-8 is given"),
        ROW("event: e\n\ndata: a\n\n", "data(a);",
            "without data: no event, and the type is cleared"),
        ROW("id: 1\nretry: 5\n\ndata: a\n\n", "data(a);",
            "and so are this block's id and retry"),
        ROW("data: YHOO\ndata: +2\ndata: 10\n\n", "data(YHOO\n+2\n10);",
            "the standard's first example"),
        PARTIAL(": test stream\n\ndata: first event\nid: 1\n\n"
                "data:second event\nid\n\ndata:  third event\n",
                "id(1)data(first event);id()data(second event);",
                "the standard's second example: the third is not complete"),
        PARTIAL("data\n\ndata\ndata\n\ndata:", "data();data(\n);",
                "the standard's third example"),
        ROW("data:test\n\ndata: test\n\n", "data(test);data(test);",
            "the standard's fourth example"),
    };

    test_rows(ROWS(rows));
}

static void test_id(void)
{
    static const row_t rows[] = {
        ROW("id: \0\ndata: a\n\n", "data(a);", "an id of NUL is ignored"),
        ROW("id: a\0b\ndata: a\n\n", "data(a);", "so is one with NUL inside"),
        ROW("id: a\0\ndata: a\n\n", "data(a);", "or at its end"),
        ROW("id: 1\nid: \0\ndata: a\n\n", "id(1)data(a);",
            "the one before stays"),
        ROW("id: 1\nid: \0\nid: 2\ndata: a\n\n", "id(2)data(a);",
            "the one after counts"),
        ROW("id:  1 \ndata: a\n\n", "id( 1 )data(a);", "spaces of an id"),
        ROW("id: \xC3\xA9\ndata: a\n\n", "id(\xC3\xA9)data(a);", "no ASCII"),
    };

    test_rows(ROWS(rows));
}

#define RETRY(in, want, what)                                                  \
    ROW("retry: 3\nretry:" in "\ndata: a\n\n", want "data(a);", what)

static void test_retry(void)
{
    static const row_t rows[] = {
        RETRY("5", "retry(5)", "a digit"),
        RETRY(" 5000", "retry(5000)", "digits"),
        RETRY(" 0", "retry(0)", "0"),
        RETRY(" 007", "retry(7)", "leading zeros"),
        RETRY(" 00000000000000000000000000000000000012", "retry(12)",
              "many leading zeros"),
        RETRY("", "retry(3)", "nothing: ignored"),
        RETRY(" ", "retry(3)", "a space: ignored"),
        RETRY("  5", "retry(3)", "a second space: ignored"),
        RETRY(" 5 ", "retry(3)", "a trailing space: ignored"),
        RETRY(" -5", "retry(3)", "a minus: ignored"),
        RETRY(" +5", "retry(3)", "a plus: ignored"),
        RETRY(" 5s", "retry(3)", "a unit: ignored"),
        RETRY(" 0x5", "retry(3)", "hexadecimal: ignored"),
        RETRY(" 1.5", "retry(3)", "a fraction: ignored"),
        RETRY(" 1e3", "retry(3)", "an exponent: ignored"),
        RETRY(" 5\0", "retry(3)", "NUL: ignored"),
        RETRY(" \xD9\xA5", "retry(3)", "a digit, but not ASCII: ignored"),
        RETRY(" /", "retry(3)", "before 0: ignored"),
        RETRY(" :", "retry(3)", "after 9: ignored"),
        RETRY(" 9223372036854775", "retry(9223372036854775)",
              "the largest that is microseconds too"),
        RETRY(" 9223372036854776", "retry(3)", "one more: ignored"),
        RETRY(" 9223372036854775807", "retry(3)", "2^63-1: ignored"),
        RETRY(" 18446744073709551621", "retry(3)", "2^64+5: ignored"),
        RETRY(" 99999999999999999999999999999999999999999999", "retry(3)",
              "far too large: ignored"),
    };

    test_rows(ROWS(rows));
}

static void test_partial(void)
{
    static const row_t rows[] = {
        PARTIAL("data: a\n", "", "no empty line: dropped"),
        PARTIAL("data: a", "", "no line end: dropped"),
        PARTIAL("d", "", "what may become data"),
        PARTIAL("data: a\n\ndata: b\n", "data(a);", "the second is dropped"),
        PARTIAL("data: a\n\nid: 1\n", "data(a);", "only an id is held"),
        PARTIAL("id:", "", "an id without its line end"),
        PARTIAL("event: e\n", "", "only an event is held"),
        PARTIAL("retry: 5\n", "", "only a retry is held"),
        PARTIAL("data\n", "", "only empty data is held"),
        ROW("data: a\n\n:", "data(a);", "a comment is no unfinished event"),
        ROW(": a\n: b\n", "", "nor are two"),
        ROW("foo: a\nbar", "", "nor are unknown fields"),
        ROW("id: 1\n\n", "", "a block without data is finished"),
        ROW("retry: x\n", "", "a retry that is ignored is not held"),
        ROW("id: \0\n", "", "nor is an id with NUL"),
    };

    test_rows(ROWS(rows));
}

/* The moments of giving, call by call. */
static void test_at_once(void)
{
    tape_t tape = {0};
    sse_reader_t *reader = sse_reader_create(pool, MAX, tape_event, &tape);

    ok(!sse_reader_is_partial(reader), "a new reader holds nothing");
    is_num(sse_reader_feed(reader, "", 0), APR_SUCCESS, "no bytes at all");
    is_num(sse_reader_feed(reader, NULL, 0), APR_SUCCESS, "not even a buffer");
    sse_reader_feed(reader, "data: a\n", 8);
    is_num(tape.count, 0, "not given before its empty line");
    ok(sse_reader_is_partial(reader), "but held");
    sse_reader_feed(reader, "\n", 1);
    is_num(tape.count, 1, "given with its empty line");
    ok(!sse_reader_is_partial(reader), "and no longer held");
    sse_reader_feed(reader, "data: b\r", 8);
    sse_reader_feed(reader, "\r", 1);
    is_num(tape.count, 2, "a CR is not kept waiting for an LF");
    sse_reader_feed(reader, "", 0);
    sse_reader_feed(reader, "\ndata: c\r", 9);
    is_num(tape.count, 2, "the LF that comes later is of the same CRLF");
    sse_reader_feed(reader, "\n", 1);
    is_num(tape.count, 2, "and so in the middle of an event");
    sse_reader_feed(reader, "\n", 1);
    is_num(tape.count, 3, "the next LF is an empty line");
    is_str(tape.ptr, "data(a);data(b);data(c);", "these were they");
    tape_free(&tape);
    apr_pool_clear(pool);
}

/* Streams of pieces that meet in every way. */
static sse_slice_t random_stream(dice_t *dice, char *to)
{
    static const row_t atoms[] = {
        ROW("data", "", ""),
        ROW("data:", "", ""),
        ROW("data: ", "", ""),
        ROW("data: x\n", "", ""),
        ROW("event", "", ""),
        ROW("event: e", "", ""),
        ROW("id", "", ""),
        ROW("id: 1", "", ""),
        ROW("retry", "", ""),
        ROW("retry: 12", "", ""),
        ROW(":", "", ""),
        ROW(" ", "", ""),
        ROW("\r", "", ""),
        ROW("\n", "", ""),
        ROW("\r\n", "", ""),
        ROW("\n\n", "", ""),
        ROW("\r\r", "", ""),
        ROW("\0", "", ""),
        ROW("x", "", ""),
        ROW("0", "", ""),
        ROW("Data:", "", ""),
        ROW("dat", "", ""),
        ROW("\xEF\xBB\xBF", "", ""),
        ROW("\xEF\xBB", "", ""),
        ROW("\n", "", ""),
        ROW("\n\n", "", ""),
    };
    size_t count = sizeof(atoms) / sizeof(atoms[0]);
    sse_slice_t text = {to, 0};
    int n = (int)dice_roll(dice, 64);

    while (n-- > 0) {
        const row_t *atom = atoms + dice_roll(dice, (unsigned)count);

        oracle_put(to, &text.len, atom->in.ptr, atom->in.len);
    }
    return text;
}

static void test_random(void)
{
    dice_t dice = {424242};
    char stream[64 * 16];
    int i, good = 1, events = 0, overs = 0;

    for (i = 0; i < 20000 && good; i++) {
        sse_slice_t in = random_stream(&dice, stream);
        size_t max = dice_roll(&dice, 2) ? MAX : 1 + dice_roll(&dice, 12);
        tape_t want = {0};
        int partial = 0;
        apr_status_t rv = oracle_read(in.ptr, in.len, max, &want, &partial);

        good = reads_all_ways(pool, in, max, 2, &dice, &want, rv, partial);
        events += want.count;
        overs += rv == APR_ENOSPC;
        tape_free(&want);
    }
    ok(good, "20,000 random streams, cut in five ways: as the oracle reads");
    printf("# %d events, %d too large\n", events, overs);
    ok(events > 10000 && overs > 1000, "  with many events and many too large");
}

/* Data that fills, and overfills, whatever is kept between two feeds. */
static void test_large(void)
{
    static const size_t sizes[] = {1, 127, 128, 129, 8191, 16384, 65535, 65536};
    char *in = malloc(70000);
    size_t i, k;
    int good = 1;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i];
        tape_t want = {0};
        sse_fields_t fields = SSE_FIELDS_NONE;
        sse_slice_t stream = {in, 0};

        oracle_put(in, &stream.len, "data: ", 6);
        for (k = 0; k < n; k++) {
            in[stream.len++] = (char)('a' + k % 26);
        }
        oracle_put(in, &stream.len, "\n\n", 2);
        fields.data = (sse_slice_t){in + 6, n};
        tape_event(&want, &fields);
        for (k = 0; k < 4096; k = k * 3 + 1) {
            good &= reads_once(pool, stream, n, k, NULL, &want, APR_SUCCESS, 0);
        }
        tape_free(&want);
    }
    ok(good, "data of many sizes, fed in pieces of many sizes");
    free(in);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_lines();
    test_bom();
    test_fields();
    test_data();
    test_id();
    test_retry();
    test_partial();
    test_at_once();
    test_random();
    test_large();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
