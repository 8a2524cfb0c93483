/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A libFuzzer target for src/event.  The input is a stream to read; where it
 * is cut, and how large an event may be, follow from a hash of it, so that any
 * text/event-stream may serve as a seed. */

#include <stdint.h>
#include <stdlib.h>

#include <apr_general.h>
#include <apr_pools.h>

#include "event/sse_event.h"
#include "t/unit/event_oracle.h"

/* Not assert(): NDEBUG must not take it out. */
#define CHECK(cond)                                                            \
    do {                                                                       \
        if (!(cond)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                           \
        }                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static apr_pool_t *pool;

static apr_uint64_t hash(const char *ptr, size_t len)
{
    apr_uint64_t h = APR_UINT64_C(14695981039346656037);
    size_t i;

    for (i = 0; i < len; i++) {
        h = (h ^ (unsigned char)ptr[i]) * APR_UINT64_C(1099511628211);
    }
    return h ? h : 1;
}

/* What passes the check is read back as it was written. */
static void check_rewrite(const sse_fields_t *fields)
{
    sse_fields_t want = *fields;
    tape_t want_tape = {0}, got = {0};
    size_t size = sse_event_size(fields);
    char *buf = malloc(size + 1);
    char *data = malloc(fields->data.len + 1);
    int partial = 1;

    CHECK(buf && data && size > 0);
    /* To the end of the memory, so that one byte too many is seen. */
    CHECK(sse_event_write(fields, buf + 1) == size);
    want.comment = sse_slice(NULL);
    want.data = oracle_normalise(fields->data, data);
    if (want.event.len == 7 && !memcmp(want.event.ptr, "message", 7)) {
        want.event = sse_slice(NULL);
    }
    tape_event(&want_tape, &want);
    CHECK(oracle_feed(pool, buf + 1, size, size, 0, NULL, &got, &partial) ==
          APR_SUCCESS);
    CHECK(!partial);
    CHECK(tape_same(&got, &want_tape));
    tape_free(&want_tape);
    tape_free(&got);
    free(buf);
    free(data);
}

static apr_status_t on_event(void *baton, const sse_fields_t *event)
{
    CHECK(event->data.ptr != NULL && event->comment.ptr == NULL);
    if (!sse_event_check(event)) {
        check_rewrite(event);
    }
    return APR_SUCCESS;
}

/* Whole, in random pieces, and as the oracle reads: all the same. */
static void check_cuts(const char *in, size_t len, apr_size_t max, dice_t *dice)
{
    tape_t want = {0}, got = {0};
    int want_partial = 0, partial = 0, way;
    apr_status_t want_rv = oracle_read(in, len, max, &want, &want_partial);

    for (way = 0; way < 4; way++) {
        size_t step = way == 1 ? 1 : way == 3 ? 64 : 0;
        apr_status_t rv = oracle_feed(pool, in, len, max, step,
                                      way >= 2 ? dice : NULL, &got, &partial);

        CHECK(rv == want_rv);
        CHECK(rv == APR_SUCCESS || rv == APR_ENOSPC);
        CHECK(rv != APR_SUCCESS || partial == want_partial);
        CHECK(tape_same(&got, &want));
        CHECK(got.largest <= max);
        tape_free(&got);
    }
    tape_free(&want);
}

/* The input itself, as the fields of an event. */
static void check_as_fields(const char *in, size_t len, dice_t *dice)
{
    sse_fields_t fields = SSE_FIELDS_NONE;
    size_t at = dice_roll(dice, (unsigned)len + 1);
    sse_slice_t head = {in, at}, tail = {in + at, len - at};
    int role = (int)dice_roll(dice, 4);

    fields.data = tail;
    if (role == 1) {
        fields.id = head;
    }
    else if (role == 2) {
        fields.event = head;
    }
    else if (role == 3) {
        fields.comment = head;
    }
    if (dice_roll(dice, 2)) {
        fields.retry = dice_roll(dice, 100000);
    }
    if (!sse_event_check(&fields)) {
        check_rewrite(&fields);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const char *in = (const char *)bytes;
    dice_t dice = {hash(in, len)};
    sse_reader_t *reader;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    check_cuts(in, len, len + 1, &dice);
    check_cuts(in, len, 1 + dice_roll(&dice, 64), &dice);
    check_as_fields(in, len, &dice);
    reader = sse_reader_create(pool, len + 1, on_event, NULL);
    CHECK(sse_reader_feed(reader, in, len) == APR_SUCCESS);
    apr_pool_clear(pool);
    return 0;
}
