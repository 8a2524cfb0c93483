/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file event_oracle.h
 * For the tests and the fuzzer of src/event: a tape that notes the events
 * which a reader gives, and a second reader to compare with, written straight
 * from the standard: slow, whole input only, byte by byte.
 *
 * Threads: main thread only.
 */

#ifndef SSE_EVENT_ORACLE_H
#define SSE_EVENT_ORACLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/sse_event.h"

/** The same numbers at every run. */
typedef struct {
    apr_uint64_t state; /* not 0 */
} dice_t;

static inline unsigned dice_roll(dice_t *dice, unsigned sides)
{
    dice->state ^= dice->state << 13;
    dice->state ^= dice->state >> 7;
    dice->state ^= dice->state << 17;
    return (unsigned)((dice->state >> 11) % sides);
}

/** Put bytes behind a text that has room for them. */
static inline void oracle_put(char *to, size_t *at, const char *ptr, size_t len)
{
    memcpy(to + *at, ptr, len);
    *at += len;
}

/** What a reader gave, as text: "id(1)event(x)retry(5)data(a\nb);" for each
 *  event.  Zeroed is empty; freed by tape_free(). */
typedef struct {
    char *ptr;
    size_t len, cap;
    int count;          /* events */
    size_t largest;     /* bytes of values of the largest one */
    int stop_at;        /* fail at this event; 0 never */
    apr_status_t error; /* with this */
} tape_t;

static inline void tape_add(tape_t *tape, const char *ptr, size_t len)
{
    if (tape->len + len + 1 > tape->cap) {
        tape->cap = 2 * (tape->len + len + 1);
        tape->ptr = realloc(tape->ptr, tape->cap);
        if (!tape->ptr) {
            abort();
        }
    }
    if (len) {
        memcpy(tape->ptr + tape->len, ptr, len);
    }
    tape->len += len;
    tape->ptr[tape->len] = '\0';
}

static inline void tape_field(tape_t *tape, const char *name, sse_slice_t value)
{
    if (value.ptr) {
        tape_add(tape, name, strlen(name));
        tape_add(tape, "(", 1);
        tape_add(tape, value.ptr, value.len);
        tape_add(tape, ")", 1);
    }
}

static inline apr_status_t tape_event(void *baton, const sse_fields_t *event)
{
    tape_t *tape = baton;
    size_t size = event->id.len + event->event.len + event->data.len;
    char retry[32];

    tape_field(tape, "id", event->id);
    tape_field(tape, "event", event->event);
    if (event->retry != -1) {
        sprintf(retry, "%lld", (long long)event->retry);
        tape_field(tape, "retry", sse_slice(retry));
    }
    tape_field(tape, "comment", event->comment);
    tape_field(tape, "data", event->data);
    tape_add(tape, ";", 1);
    if (size > tape->largest) {
        tape->largest = size;
    }
    return ++tape->count == tape->stop_at ? tape->error : APR_SUCCESS;
}

static inline int tape_same(const tape_t *a, const tape_t *b)
{
    return a->count == b->count && a->len == b->len &&
           (a->len == 0 || !memcmp(a->ptr, b->ptr, a->len));
}

static inline void tape_free(tape_t *tape)
{
    free(tape->ptr);
    memset(tape, 0, sizeof(*tape));
}

/** Line ends as a reader joins them, with LF; to has room for text.len. */
static inline sse_slice_t oracle_normalise(sse_slice_t text, char *to)
{
    sse_slice_t out = {to, 0};
    size_t i;

    for (i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n' && i > 0 && text.ptr[i - 1] == '\r') {
            continue;
        }
        to[out.len++] = text.ptr[i] == '\r' ? '\n' : text.ptr[i];
    }
    return out;
}

/** The block that the oracle is in.  Its values lie in one allocation. */
typedef struct {
    apr_size_t max;
    sse_fields_t fields;
    char *data; /* room for all of the input */
} oracle_t;

/* Whether the name is a field's, or, with prefix, may still become one. */
static inline int oracle_knows(const char *name, size_t len, int prefix)
{
    static const char *const names[] = {"data", "event", "id", "retry"};
    int i;

    for (i = 0; i < 4; i++) {
        if ((len == strlen(names[i]) || (prefix && len < strlen(names[i]))) &&
            !strncmp(name, names[i], len)) {
            return 1;
        }
    }
    return 0;
}

static inline apr_int64_t oracle_retry(const char *ptr, size_t len)
{
    char digits[17];
    size_t i;
    long long retry;

    for (i = 0; i < len; i++) {
        if (!strchr("0123456789", ptr[i]) || ptr[i] == '\0') {
            return -1;
        }
    }
    while (len > 1 && *ptr == '0') {
        ++ptr;
        --len;
    }
    if (len == 0 || len > 16) {
        return -1;
    }
    memcpy(digits, ptr, len);
    digits[len] = '\0';
    retry = atoll(digits);
    return retry <= 9223372036854775LL ? retry : -1;
}

/* A line that has a value: count it, then process it (HTML, 9.2.6). */
static inline apr_status_t oracle_field(oracle_t *oracle, sse_slice_t name,
                                        sse_slice_t value, int finished)
{
    sse_fields_t *f = &oracle->fields;
    size_t size = value.len;

    size += *name.ptr == 'i' ? 0 : f->id.len;
    size += *name.ptr == 'e' ? 0 : f->event.len;
    size += f->data.len + (*name.ptr == 'd' && f->data.ptr ? 1 : 0);
    if (size > oracle->max) {
        return APR_ENOSPC;
    }
    if (!finished) {
        return APR_SUCCESS;
    }
    if (*name.ptr == 'd') {
        if (f->data.ptr) {
            oracle->data[f->data.len++] = '\n';
        }
        memcpy(oracle->data + f->data.len, value.ptr, value.len);
        f->data.ptr = oracle->data;
        f->data.len += value.len;
    }
    else if (*name.ptr == 'e') {
        f->event = value;
    }
    else if (*name.ptr == 'i' && !memchr(value.ptr, '\0', value.len)) {
        f->id = value;
    }
    else if (*name.ptr == 'r') {
        apr_int64_t retry = oracle_retry(value.ptr, value.len);

        f->retry = retry >= 0 ? retry : f->retry;
    }
    return APR_SUCCESS;
}

/* A line, or what there is of the last one. */
static inline apr_status_t oracle_line(oracle_t *oracle, const char *ptr,
                                       size_t len, int finished, tape_t *tape)
{
    static const sse_fields_t none = SSE_FIELDS_NONE;
    const char *colon = memchr(ptr, ':', len);
    size_t name_len = colon ? (size_t)(colon - ptr) : len;
    sse_slice_t name = {ptr, name_len}, value = {ptr + len, 0};
    apr_status_t rv = APR_SUCCESS;

    if (len == 0) {
        if (finished && oracle->fields.data.ptr) {
            rv = tape_event(tape, &oracle->fields);
        }
        if (finished) {
            oracle->fields = none;
        }
        return rv;
    }
    if (!oracle_knows(ptr, name_len, 0) || (!colon && !finished)) {
        return APR_SUCCESS;
    }
    if (colon) {
        value.ptr = colon + 1;
        value.len = len - name_len - 1;
    }
    if (value.len && *value.ptr == ' ') {
        ++value.ptr;
        --value.len;
    }
    return oracle_field(oracle, name, value, finished);
}

/** Read all of it; *partial as sse_reader_is_partial() is to be at the end
 *  (when APR_SUCCESS is returned). */
static inline apr_status_t oracle_read(const char *buf, size_t len,
                                       apr_size_t max, tape_t *tape,
                                       int *partial)
{
    oracle_t oracle = {max, SSE_FIELDS_NONE, NULL};
    size_t at = 0, i;
    apr_status_t rv = APR_SUCCESS;

    oracle.data = malloc(len + 1);
    if (!oracle.data) {
        abort();
    }
    for (i = 0; i < 3 && i < len && buf[i] == "\xEF\xBB\xBF"[i]; i++) {
        at = i == 2 ? 3 : 0;
    }
    /* A piece of a BOM at the end is no piece of an event; nor is it ours. */
    for (i = at; i < len && rv == APR_SUCCESS; i++) {
        if (buf[i] == '\r' || buf[i] == '\n') {
            rv = oracle_line(&oracle, buf + at, i - at, 1, tape);
            i += buf[i] == '\r' && i + 1 < len && buf[i + 1] == '\n';
            at = i + 1;
        }
    }
    if (rv == APR_SUCCESS) {
        const char *colon = memchr(buf + at, ':', len - at);
        size_t n = colon ? (size_t)(colon - buf) - at : len - at;

        rv = oracle_line(&oracle, buf + at, len - at, 0, tape);
        *partial = oracle.fields.id.ptr || oracle.fields.event.ptr ||
                   oracle.fields.data.ptr || oracle.fields.retry >= 0 ||
                   (len > at && oracle_knows(buf + at, n, !colon));
    }
    free(oracle.data);
    return rv;
}

/** Read with sse_reader_t, in pieces of at most step bytes (0: whole), or of
 *  random sizes where there are dice.  Each piece lies alone in memory of its
 *  own, so that a sanitizer sees a reader that looks too far or back. */
static inline apr_status_t oracle_feed(apr_pool_t *pool, const char *buf,
                                       size_t len, apr_size_t max, size_t step,
                                       dice_t *dice, tape_t *tape, int *partial)
{
    sse_reader_t *reader = sse_reader_create(pool, max, tape_event, tape);
    apr_status_t rv = APR_SUCCESS;

    while (len > 0 && rv == APR_SUCCESS) {
        size_t n = dice ? dice_roll(dice, step ? (unsigned)step : 9) : step;
        char *piece;

        n = n > len || (!dice && !step) ? len : n;
        piece = malloc(n ? n : 1);
        if (!piece) {
            abort();
        }
        memcpy(piece, buf, n);
        rv = sse_reader_feed(reader, piece, n);
        free(piece);
        buf += n;
        len -= n;
    }
    *partial = sse_reader_is_partial(reader);
    return rv;
}

/** One way to read gives what is wanted: events, status, what is held.
 *  Clears the pool. */
static inline int reads_once(apr_pool_t *pool, sse_slice_t in, size_t max,
                             size_t step, dice_t *dice, const tape_t *want,
                             apr_status_t want_rv, int want_partial)
{
    tape_t got = {0};
    int partial, good;
    apr_status_t rv;

    rv = oracle_feed(pool, in.ptr, in.len, max, step, dice, &got, &partial);
    good = rv == want_rv && tape_same(&got, want) &&
           (rv != APR_SUCCESS || partial == want_partial) && got.largest <= max;
    if (!good) {
        printf("# step %lu: status %d, partial %d, '%s'\n# want status %d, "
               "partial %d, '%s'\n",
               (unsigned long)step, (int)rv, partial, got.ptr ? got.ptr : "",
               (int)want_rv, want_partial, want->ptr ? want->ptr : "");
    }
    tape_free(&got);
    apr_pool_clear(pool);
    return good;
}

/** Whole, byte by byte, in pairs, and cut at random places.
 *  Clears the pool. */
static inline int reads_all_ways(apr_pool_t *pool, sse_slice_t in, size_t max,
                                 int random_cuts, dice_t *dice,
                                 const tape_t *want, apr_status_t rv,
                                 int partial)
{
    int good = reads_once(pool, in, max, 0, NULL, want, rv, partial) &&
               reads_once(pool, in, max, 1, NULL, want, rv, partial) &&
               reads_once(pool, in, max, 2, NULL, want, rv, partial);

    while (good && random_cuts-- > 0) {
        good = reads_once(pool, in, max, 0, dice, want, rv, partial);
    }
    return good;
}

#endif /* SSE_EVENT_ORACLE_H */
