/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Writing text/event-stream: what goes out, what is refused, and that a reader
 * gets back what was meant. */

#include <stdlib.h>
#include <time.h>

#include <apr_general.h>
#include <apr_pools.h>

#include "event/sse_event.h"
#include "t/unit/event_oracle.h"
#include "t/unit/tap.h"

#define SLICE(literal) ((sse_slice_t){literal, sizeof(literal) - 1})
#define ABSENT         ((sse_slice_t){NULL, 0})

static apr_pool_t *pool;

/* Write into memory of exactly the size that was foretold: a sanitizer sees
 * one byte too many.  The caller frees. */
static char *written(const sse_fields_t *fields, size_t *len)
{
    size_t size = sse_event_size(fields);
    char *buf = malloc(size ? size : 1);

    *len = buf ? sse_event_write(fields, buf) : 0;
    if (!buf || *len != size) {
        printf("# size %lu, written %lu\n", (unsigned long)size,
               (unsigned long)*len);
        ok(0, "sse_event_size() is what sse_event_write() writes");
    }
    return buf;
}

static void writes(const sse_fields_t *fields, sse_slice_t want,
                   const char *what)
{
    size_t len;
    char *buf = written(fields, &len);

    is_mem(buf, len, want.ptr, want.len, what);
    is_num(sse_event_size(fields), want.len, "  and the size is foretold");
    free(buf);
}

#define WRITES(fields, want, what) writes(&(fields), SLICE(want), what)

static void test_slice(void)
{
    sse_slice_t slice = sse_slice(NULL);

    ok(slice.ptr == NULL && slice.len == 0, "slice of NULL is absent");
    slice = sse_slice("");
    ok(slice.ptr != NULL && slice.len == 0, "slice of \"\" is there and empty");
    slice = sse_slice("abc");
    is_mem(slice.ptr, slice.len, "abc", 3,
           "slice of a string, without its NUL");
}

static void data_writes(sse_slice_t data, sse_slice_t want, const char *what)
{
    sse_fields_t fields = SSE_FIELDS_NONE;

    fields.data = data;
    writes(&fields, want, what);
}

#define DATA_WRITES(data, want, what)                                          \
    data_writes(SLICE(data), SLICE(want), what)

static void test_data(void)
{
    data_writes(ABSENT, SLICE(""), "no fields: nothing at all");
    DATA_WRITES("", "data: \n\n", "empty data is one empty data line");
    DATA_WRITES("a", "data: a\n\n", "one line");
    DATA_WRITES("a\nb", "data: a\ndata: b\n\n", "split at LF");
    DATA_WRITES("a\rb", "data: a\ndata: b\n\n", "split at CR");
    DATA_WRITES("a\r\nb", "data: a\ndata: b\n\n", "split at CRLF, once");
    DATA_WRITES("a\n\rb", "data: a\ndata: \ndata: b\n\n",
                "LF CR are two line ends");
    DATA_WRITES("a\r\r\nb", "data: a\ndata: \ndata: b\n\n",
                "CR CRLF are two line ends");
    DATA_WRITES("a\r\n\nb", "data: a\ndata: \ndata: b\n\n",
                "CRLF LF are two line ends");
    DATA_WRITES("a\rb\nc\r\nd", "data: a\ndata: b\ndata: c\ndata: d\n\n",
                "all three kinds in one text");
    DATA_WRITES("a\nb\rc", "data: a\ndata: b\ndata: c\n\n", "CR after LF");
    DATA_WRITES("a\n\n", "data: a\ndata: \ndata: \n\n",
                "trailing line ends are three lines");
    DATA_WRITES("\n", "data: \ndata: \n\n", "LF alone is two lines");
    DATA_WRITES("\r", "data: \ndata: \n\n", "CR alone is two lines");
    DATA_WRITES("\r\n", "data: \ndata: \n\n", "CRLF alone is two lines");
    DATA_WRITES("\na", "data: \ndata: a\n\n", "a leading line end is kept");
    DATA_WRITES("a\n\nb", "data: a\ndata: \ndata: b\n\n",
                "a blank line inside is kept");
    DATA_WRITES(" a", "data:  a\n\n", "one space more for a leading space");
    DATA_WRITES(" \n a", "data:  \ndata:  a\n\n", "on every line");
    DATA_WRITES(":a", "data: :a\n\n", "a colon is just a colon");
    DATA_WRITES("x\revent: forged\r\rdata: y",
                "data: x\ndata: event: forged\ndata: \ndata: data: y\n\n",
                "a lone CR injects no field");
    DATA_WRITES("\xEF\xBB\xBFx", "data: \xEF\xBB\xBFx\n\n", "a BOM is data");
}

static void test_comment(void)
{
    sse_fields_t fields = SSE_FIELDS_NONE;

    fields.comment = SLICE("");
    WRITES(fields, ": \n\n", "an empty comment");
    fields.comment = SLICE("hello");
    WRITES(fields, ": hello\n\n", "a comment");
    fields.comment = SLICE("a\nb\rc\r\nd\n");
    WRITES(fields, ": a\n: b\n: c\n: d\n: \n\n", "a comment is split likewise");
    fields.comment = SLICE("x\rdata: forged\r\r");
    WRITES(fields, ": x\n: data: forged\n: \n: \n\n",
           "a lone CR in a comment injects nothing");
}

static void test_fields(void)
{
    sse_fields_t fields = SSE_FIELDS_NONE;

    fields.id = SLICE("7");
    WRITES(fields, "id: 7\n\n", "id alone");
    fields.id = SLICE("");
    WRITES(fields, "id: \n\n", "an empty id is written");
    fields.id = ABSENT;
    fields.event = SLICE("news");
    WRITES(fields, "event: news\n\n", "event alone");
    fields.event = SLICE("");
    WRITES(fields, "event: \n\n", "an empty event is written");
    fields.event = SLICE("message");
    WRITES(fields, "", "event message alone is nothing to write");
    fields.event = SLICE("Message");
    WRITES(fields, "event: Message\n\n", "but Message is another type");
    fields.event = SLICE("messages");
    WRITES(fields, "event: messages\n\n", "and so is messages");
    fields.event = SLICE("message");
    fields.data = SLICE("x");
    WRITES(fields, "data: x\n\n", "event message is left out");
    fields.event = SLICE(" e");
    fields.id = SLICE(" 1");
    WRITES(fields, "id:  1\nevent:  e\ndata: x\n\n",
           "leading spaces of id and event are kept");
    fields.comment = SLICE("c");
    fields.id = SLICE("1");
    fields.event = SLICE("e");
    fields.retry = 2000;
    WRITES(fields, ": c\nid: 1\nevent: e\nretry: 2000\ndata: x\n\n",
           "all fields, in their order, one empty line");
}

static void test_retry(void)
{
    sse_fields_t fields = SSE_FIELDS_NONE;

    fields.retry = 0;
    WRITES(fields, "retry: 0\n\n", "retry 0 is a retry");
    fields.retry = 9;
    WRITES(fields, "retry: 9\n\n", "retry of one digit");
    fields.retry = 10;
    WRITES(fields, "retry: 10\n\n", "retry of two digits");
    fields.retry = APR_INT64_MAX;
    WRITES(fields, "retry: 9223372036854775807\n\n", "the largest retry");
    fields.retry = -2;
    WRITES(fields, "", "a retry below 0 is none");
    fields.retry = APR_INT64_MIN;
    WRITES(fields, "", "nor is the smallest");
}

static void check_is(const sse_fields_t *fields, const char *want,
                     const char *what)
{
    const char *got = sse_event_check(fields);

    if (!want) {
        ok(got == NULL, what);
    }
    else {
        is_str(got ? got : "(passed)", want, what);
    }
}

/* Every field, by number, takes every value. */
static void field_set(sse_fields_t *fields, int i, sse_slice_t value)
{
    sse_slice_t *slices[4];

    slices[0] = &fields->id;
    slices[1] = &fields->event;
    slices[2] = &fields->data;
    slices[3] = &fields->comment;
    *slices[i] = value;
}

static void test_check_field(int i, const char *name)
{
    static const sse_slice_t breaks[] = {
        {"\n", 1},   {"\r", 1},   {"a\r\n", 3},
        {"a\rb", 3}, {"a\nb", 3}, {"x\ndata: forged\n\n", 16}};
    sse_fields_t fields = SSE_FIELDS_NONE;
    char want[64];
    int n;

    sprintf(want, "%s must not contain a line break", name);
    for (n = 0; n < 6; n++) {
        field_set(&fields, i, breaks[n]);
        check_is(&fields, i < 2 ? want : NULL,
                 i < 2 ? "a line break is refused" : "a line break is fine");
    }
    sprintf(want, "%s must not contain a NUL byte", name);
    field_set(&fields, i, SLICE("a\0b"));
    check_is(&fields, want, "NUL inside is refused");
    field_set(&fields, i, SLICE("a\0"));
    check_is(&fields, want, "NUL at the end is refused");
    sprintf(want, "%s must be valid UTF-8", name);
    field_set(&fields, i, SLICE("a\xFF"));
    check_is(&fields, want, "broken UTF-8 is refused");
    field_set(&fields, i, SLICE("a\xE2\x82"));
    check_is(&fields, want, "a character cut at the end is refused");
    field_set(&fields, i, SLICE("\xE2\x82\xAC \xF0\x9F\x98\x80\t\x7F"));
    check_is(&fields, NULL, "UTF-8 and other control characters pass");
    field_set(&fields, i, SLICE(""));
    check_is(&fields, NULL, "an empty field passes");
}

static void test_check(void)
{
    static const char *const names[] = {"id", "event", "data", "comment"};
    sse_fields_t fields = SSE_FIELDS_NONE;
    int i;

    check_is(&fields, NULL, "no fields pass");
    for (i = 0; i < 4; i++) {
        printf("# %s\n", names[i]);
        test_check_field(i, names[i]);
    }
    fields.retry = -5;
    check_is(&fields, NULL, "any retry passes");
}

/* Decodes by the bits and looks at the result, unlike the code under test. */
static int utf8_oracle(const unsigned char *p, size_t len)
{
    static const unsigned long least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t i = 0, n, k;

    while (i < len) {
        unsigned long code;

        n = p[i] < 0x80             ? 1
            : (p[i] & 0xE0) == 0xC0 ? 2
            : (p[i] & 0xF0) == 0xE0 ? 3
            : (p[i] & 0xF8) == 0xF0 ? 4
                                    : 0;
        if (n == 0 || i + n > len) {
            return 0;
        }
        code = n == 1 ? p[i] : p[i] & (0x7Fu >> n);
        for (k = 1; k < n; k++) {
            if ((p[i + k] & 0xC0) != 0x80) {
                return 0;
            }
            code = code << 6 | (p[i + k] & 0x3Fu);
        }
        if (code < least[n] || code > 0x10FFFF ||
            (code >= 0xD800 && code <= 0xDFFF)) {
            return 0;
        }
        i += n;
    }
    return 1;
}

static int utf8_agrees(const unsigned char *p, size_t len)
{
    char *copy = malloc(len ? len : 1);
    int agrees;

    if (!copy) {
        return 0;
    }
    memcpy(copy, p, len);
    agrees = sse_utf8_valid(copy, len) == utf8_oracle(p, len);
    free(copy);
    if (!agrees) {
        printf("# %02x %02x %02x %02x (%lu)\n", p[0], p[1], p[2], p[3],
               (unsigned long)len);
    }
    return agrees;
}

static void test_utf8_table(void)
{
    static const struct {
        sse_slice_t text;
        int valid;
        const char *what;
    } rows[] = {
        {{"", 0}, 1, "nothing"},
        {{"\0", 1}, 1, "U+0000"},
        {{"\x7F", 1}, 1, "U+007F"},
        {{"\xC2\x80", 2}, 1, "U+0080"},
        {{"\xDF\xBF", 2}, 1, "U+07FF"},
        {{"\xE0\xA0\x80", 3}, 1, "U+0800"},
        {{"\xED\x9F\xBF", 3}, 1, "U+D7FF, before the surrogates"},
        {{"\xEE\x80\x80", 3}, 1, "U+E000, after the surrogates"},
        {{"\xEF\xBB\xBF", 3}, 1, "U+FEFF, a BOM"},
        {{"\xEF\xBF\xBF", 3}, 1, "U+FFFF"},
        {{"\xF0\x90\x80\x80", 4}, 1, "U+10000"},
        {{"\xF4\x8F\xBF\xBF", 4}, 1, "U+10FFFF"},
        {{"\xF4\x90\x80\x80", 4}, 0, "U+110000"},
        {{"\xF5\x80\x80\x80", 4}, 0, "U+140000"},
        {{"\xF8\x88\x80\x80\x80", 5}, 0, "a form of five bytes"},
        {{"\xFC\x84\x80\x80\x80\x80", 6}, 0, "a form of six bytes"},
        {{"\xFE", 1}, 0, "FE"},
        {{"\xFF", 1}, 0, "FF"},
        {{"\xC0\x80", 2}, 0, "overlong NUL"},
        {{"\xC0\xAF", 2}, 0, "overlong slash of two"},
        {{"\xC1\xBF", 2}, 0, "overlong U+007F"},
        {{"\xE0\x80\xAF", 3}, 0, "overlong slash of three"},
        {{"\xE0\x9F\xBF", 3}, 0, "overlong U+07FF"},
        {{"\xF0\x80\x80\xAF", 4}, 0, "overlong slash of four"},
        {{"\xF0\x8F\xBF\xBF", 4}, 0, "overlong U+FFFF"},
        {{"\xED\xA0\x80", 3}, 0, "U+D800, the first surrogate"},
        {{"\xED\xBF\xBF", 3}, 0, "U+DFFF, the last surrogate"},
        {{"\xED\xA0\xBD\xED\xB8\x80", 6}, 0, "a pair of surrogates"},
        {{"\x80", 1}, 0, "a continuation byte alone"},
        {{"a\xBF", 2}, 0, "a continuation byte after ASCII"},
        {{"\xC2\x80\x80", 3}, 0, "a continuation byte too many"},
        {{"\xC2", 1}, 0, "two bytes cut"},
        {{"\xE2\x82", 2}, 0, "three bytes cut"},
        {{"\xF0\x9F\x98", 3}, 0, "four bytes cut"},
        {{"\xE2(\xA1", 3}, 0, "ASCII where the second belongs"},
        {{"\xE2\x82(", 3}, 0, "ASCII where the third belongs"},
        {{"\xF0\x9F\x98(", 4}, 0, "ASCII where the fourth belongs"},
        {{"\xC3\xC3\xA9", 3}, 0, "a lead byte where the second belongs"},
    };
    char text[32];
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = rows[i].text.len, at;
        int as_wanted = sse_utf8_valid(rows[i].text.ptr, len) == rows[i].valid;

        /* Anywhere in a text, so at every place in the words it is read by. */
        for (at = 0; at < 18; at++) {
            memset(text, 'a', sizeof(text));
            memcpy(text + at, rows[i].text.ptr, len);
            as_wanted &= sse_utf8_valid(text, sizeof(text)) == rows[i].valid;
            /* What lies behind the end would complete a cut character. */
            memset(text + at + len, 0x80, sizeof(text) - at - len);
            as_wanted &= sse_utf8_valid(text, at + len) == rows[i].valid;
        }
        ok(as_wanted, rows[i].what);
    }
}

static void test_utf8_all(void)
{
    static const unsigned char edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90,
                                          0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    unsigned char p[4] = {0, 0, 0, 0};
    int a, b, i, k, good[5] = {1, 1, 1, 1, 1};

    for (a = 0; a < 256; a++) {
        p[0] = (unsigned char)a;
        good[1] &= utf8_agrees(p, 1);
        for (b = 0; b < 256; b++) {
            p[1] = (unsigned char)b;
            good[2] &= utf8_agrees(p, 2);
            for (i = 0; a >= 0xC0 && i < 10; i++) {
                p[2] = edges[i];
                good[3] &= utf8_agrees(p, 3);
                for (k = 0; k < 10; k++) {
                    p[3] = edges[k];
                    good[4] &= utf8_agrees(p, 4);
                }
            }
        }
    }
    ok(good[1], "every byte alone");
    ok(good[2], "all texts of two bytes");
    ok(good[3], "texts of three bytes: all leads, seconds, edges of the third");
    ok(good[4], "texts of four bytes: the same");
}

/* Up to 40 bytes that pass the check: line ends among them where lines. */
static sse_slice_t random_text(dice_t *dice, int lines, char *to)
{
    static const char *const atoms[] = {
        "a",  " ",  ":",    "data: ", "\xC3\xA9", "\xEF\xBB\xBF",
        "0",  "x",  "id",   "retry",  "\t",       "\x01",
        "\n", "\r", "\r\n", "\n\n"};
    sse_slice_t text = {to, 0};
    int n = (int)dice_roll(dice, 10);

    while (n-- > 0) {
        const char *atom = atoms[dice_roll(dice, lines ? 16 : 12)];

        oracle_put(to, &text.len, atom, strlen(atom));
    }
    return text;
}

typedef struct {
    char id[64], event[64], data[64], comment[64], normal[64];
} texts_t;

static void random_fields(dice_t *dice, sse_fields_t *fields, texts_t *texts)
{
    static const sse_fields_t none = SSE_FIELDS_NONE;

    *fields = none;
    fields->data = random_text(dice, 1, texts->data);
    if (dice_roll(dice, 2)) {
        fields->id = random_text(dice, 0, texts->id);
    }
    if (dice_roll(dice, 2)) {
        fields->event = random_text(dice, 0, texts->event);
    }
    if (dice_roll(dice, 8) == 0) {
        fields->event = sse_slice("message");
    }
    if (dice_roll(dice, 4) == 0) {
        fields->comment = random_text(dice, 1, texts->comment);
    }
    if (dice_roll(dice, 4) == 0) {
        fields->retry = dice_roll(dice, 1000000);
    }
}

/* What a reader is to give for these fields. */
static void expect(const sse_fields_t *fields, texts_t *texts, tape_t *want)
{
    sse_fields_t read = *fields;

    read.comment = ABSENT;
    read.data = oracle_normalise(fields->data, texts->normal);
    if (read.event.ptr && read.event.len == 7 &&
        !memcmp(read.event.ptr, "message", 7)) {
        read.event = ABSENT;
    }
    tape_event(want, &read);
}

static int round_trip(dice_t *dice)
{
    sse_fields_t fields;
    texts_t texts;
    tape_t want = {0}, got = {0}, cut = {0};
    size_t len;
    int partial, cut_partial, good;
    char *buf;

    random_fields(dice, &fields, &texts);
    expect(&fields, &texts, &want);
    buf = written(&fields, &len);
    good = sse_event_check(&fields) == NULL &&
           !oracle_feed(pool, buf, len, 256, 0, NULL, &got, &partial) &&
           !oracle_feed(pool, buf, len, 256, 0, dice, &cut, &cut_partial) &&
           !partial && !cut_partial && tape_same(&got, &want) &&
           tape_same(&cut, &want);
    if (!good) {
        printf("# wrote: '%.*s'\n# got:  '%s'\n# want: '%s'\n", (int)len, buf,
               got.ptr, want.ptr);
    }
    free(buf);
    tape_free(&want);
    tape_free(&got);
    tape_free(&cut);
    apr_pool_clear(pool);
    return good;
}

static void test_round_trip(void)
{
    dice_t dice = {20240607};
    int i, good = 1;

    for (i = 0; i < 10000 && good; i++) {
        good = round_trip(&dice);
    }
    ok(good, "10,000 random events: a reader gets them, line ends as LF");
}

/* Larger than any buffer on the way, with what others stumbled over. */
static void test_large(void)
{
    sse_fields_t fields = SSE_FIELDS_NONE;
    tape_t want = {0}, got = {0};
    size_t size = 300000, len;
    char *data = malloc(size), *buf;
    int partial;

    memset(data, 'x', size);
    data[0] = '\n';
    data[16384] = data[16385] = '\n';
    memset(data + size - 3, '\n', 3);
    fields.data = (sse_slice_t){data, size};
    tape_event(&want, &fields);
    buf = written(&fields, &len);
    is_num(oracle_feed(pool, buf, len, size, 8000, NULL, &got, &partial),
           APR_SUCCESS, "a large event is read");
    is_num(got.count, 1, "a blank line in a large event does not split it");
    ok(tape_same(&got, &want), "and all of it is there, leading LF, blank "
                               "line and trailing LFs");
    free(buf);
    free(data);
    tape_free(&want);
    tape_free(&got);
    apr_pool_clear(pool);
}

static clock_t time_writing(char kind, char *data, size_t len)
{
    sse_fields_t fields = SSE_FIELDS_NONE;
    clock_t start;
    size_t i, out;

    for (i = 0; i < len; i++) {
        data[i] = i % 8 ? 'x' : kind;
    }
    fields.data = (sse_slice_t){data, len};
    start = clock();
    free(written(&fields, &out));
    return clock() - start;
}

/* The least of three, in case that something else took the time. */
static clock_t least_writing(char kind, char *data, size_t len)
{
    clock_t least = time_writing(kind, data, len), took;
    int i;

    for (i = 1; i < 3; ++i) {
        took = time_writing(kind, data, len);
        least = took < least ? took : least;
    }
    return least;
}

static void test_linear(void)
{
    size_t len = 2000000;
    char *data = malloc(len);
    clock_t lf = least_writing('\n', data, len);
    clock_t cr = least_writing('\r', data, len);

    ok(cr < 50 * lf + CLOCKS_PER_SEC / 10,
       "short lines that end in CR take no longer than those in LF");
    free(data);
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_slice();
    test_data();
    test_comment();
    test_fields();
    test_retry();
    test_check();
    test_utf8_table();
    test_utf8_all();
    test_round_trip();
    test_large();
    test_linear();
    apr_pool_destroy(pool);
    apr_terminate();
    return done_testing();
}
