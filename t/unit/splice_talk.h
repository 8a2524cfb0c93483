/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file splice_talk.h
 * A talk of client and engine through the splice's frames, written in the words
 * of splice_frames.h, for the tests of these.  It is held again with its bytes
 * cut in two at every place, and byte by byte: with the same result.
 *
 * Threads: one.
 */

#ifndef SSE_SPLICE_TALK_H
#define SSE_SPLICE_TALK_H

#include "splice_frames.h"

#include <stdarg.h>

static sse_frames_t *frames;
static heap_t up, down;     /* what engine and client were given */
static char said[4096];     /* what was told, and what was answered */
static size_t fed, cut;     /* bytes that have come; where to cut them */
static size_t most;         /* bytes in a piece */
static size_t odd;          /* what was never to be */
static apr_uint64_t now;    /* in milliseconds */
static unsigned over_calls; /* sse_frames_remove() for it from on_over() */

static inline void say(const char *format, ...)
{
    size_t len = strlen(said);
    va_list args;

    va_start(args, format);
    vsnprintf(said + len, sizeof(said) - len, format, args);
    va_end(args);
}

static inline unsigned id_of(const void *stream)
{
    return (unsigned)(apr_uintptr_t)stream;
}

static inline void on_open(void *stream) { say("open%u ", id_of(stream)); }

static inline void on_over(void *stream, sse_frames_over_e how)
{
    static const char *const words[] = {"client", "engine", "window", "zero"};

    say("over%u:%s ", id_of(stream), words[how]);
    sse_frames_remove(frames, id_of(stream));
    if (over_calls) {
        sse_frames_remove(frames, over_calls);
    }
    odd += sse_frames_room(frames, id_of(stream)) != 0;
}

static inline void on_room(void *stream) { say("room%u ", id_of(stream)); }

static inline void on_account(void *baton)
{
    say("account ");
    odd += baton != &frames;
}

static const sse_frames_events_t events = {on_open, on_over, on_room,
                                           on_account};

/* Whether frames of ours may follow these, as a client reads them. */
static inline int is_between(void)
{
    const unsigned char *bytes = (const unsigned char *)down.bytes;
    size_t at = 0, len;
    int is_block = 0;

    while (at + 9 <= down.len) {
        if (bytes[at + 3] == 1 || bytes[at + 3] == 5 || bytes[at + 3] == 9) {
            is_block = !(bytes[at + 4] & 4);
        }
        len = (size_t)bytes[at] << 16 | (size_t)bytes[at + 1] << 8 |
              bytes[at + 2];
        at += 9 + len;
    }
    return at == down.len && down.len && !is_block;
}

static inline void give_piece(int is_client, const char *bytes, size_t len)
{
    char *copy = malloc(len); /* of just that size, for AddressSanitizer */
    sse_span_t piece = {copy, len}, before, give;

    memcpy(copy, bytes, len);
    while (piece.len) {
        before = piece;
        if (is_client) {
            sse_frames_from_client(frames, &piece, &give, now);
        }
        else {
            sse_frames_from_engine(frames, &piece, &give);
        }
        odd += piece.len == before.len && !give.len;
        odd += piece.bytes != before.bytes + (before.len - piece.len);
        /* The same bytes, or others: not some of these from elsewhere. */
        odd +=
            give.len && give.bytes >= copy && give.bytes <= copy + len &&
            (give.bytes != before.bytes || give.len != before.len - piece.len);
        heap_add(is_client ? &up : &down, give.bytes, give.len);
        if (sse_frames_is_usable(frames)) {
            odd += sse_frames_is_between(frames) != is_between();
        }
    }
    free(copy);
}

static inline void give(int is_client, const char *words)
{
    heap_t heap = {NULL, 0, 0};
    size_t at = 0, n;

    add_words(&heap, words);
    while (at < heap.len) {
        n = heap.len - at < most ? heap.len - at : most;
        if (fed < cut && fed + n > cut) {
            n = cut - fed;
        }
        give_piece(is_client, heap.bytes + at, n);
        at += n;
        fed += n;
    }
    heap_clear(&heap);
}

static inline void client(const char *words) { give(1, words); }

static inline void engine(const char *words) { give(0, words); }

static inline void add(unsigned id)
{
    static const char *const words[] = {"added",   "unknown", "endless",
                                        "account", "many",    "resets"};
    sse_frames_add_e can = sse_frames_look(frames, id, now);

    if (can == SSE_FRAMES_ADDED) {
        can = sse_frames_add(frames, id, (void *)(apr_uintptr_t)id);
    }
    say("%s%u ", words[can], id);
}

static inline void room(unsigned id)
{
    say("%u=%lu ", id, (unsigned long)sse_frames_room(frames, id));
}

static inline void send_data(unsigned id, size_t len, int is_last)
{
    char head[SSE_FRAMES_HEAD];
    char *payload = calloc(1, len + 1);

    odd += !is_between() || len > sse_frames_room(frames, id);
    sse_frames_data(frames, id, len, is_last, head);
    heap_add(&down, head, sizeof(head));
    heap_add(&down, payload, len);
    free(payload);
}

/** The engine runs again. */
static inline void wake(void)
{
    sse_span_t span;

    sse_frames_engine_rests(frames, 0);
    sse_frames_give_kept(frames, &span);
    heap_add(&up, span.bytes, span.len);
}

static inline void talk(void (*how)(void), size_t at, size_t piece)
{
    frames = sse_frames_create(&events, &frames);
    heap_clear(&up);
    heap_clear(&down);
    said[0] = 0;
    fed = 0;
    now = 1000000;
    over_calls = 0;
    next_byte = 0;
    cut = at;
    most = piece;
    how();
    sse_frames_destroy(frames);
}

static inline int is_same(const heap_t *a, const heap_t *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->bytes, b->bytes, a->len));
}

/* However it is cut. */
static inline int hold_cut(void (*how)(void), size_t all)
{
    heap_t first_up = up, first_down = down;
    char *first_said = strdup(said);
    size_t at;

    memset(&up, 0, sizeof(up));
    memset(&down, 0, sizeof(down));
    for (at = 0; at <= all; at += all < 2000 ? 1 : 97) {
        talk(how, at, at ? (size_t)-1 : 1);
        if (!is_same(&up, &first_up) || !is_same(&down, &first_down) ||
            strcmp(said, first_said) != 0) {
            printf("# cut at %lu: %s\n", (unsigned long)at, said);
            printf("# up: %s\n", words_of(up.bytes, up.len));
            printf("# down: %s\n", words_of(down.bytes, down.len));
            break;
        }
    }
    heap_clear(&first_up);
    heap_clear(&first_down);
    free(first_said);
    return at > all;
}

static inline void hold(void (*how)(void), const char *want_up,
                        const char *want_down, const char *want_said,
                        const char *what)
{
    size_t all;

    odd = 0;
    talk(how, 0, (size_t)-1);
    all = fed;
    is_str(words_of(up.bytes, up.len), want_up, what);
    is_str(words_of(down.bytes, down.len), want_down, what);
    is_mem(said, strlen(said) ? strlen(said) - 1 : 0, want_said,
           strlen(want_said), what);
    ok(hold_cut(how, all), what);
    is_num(odd, 0, what);
}

/* The account gets 799152, and the engine a quarter of all. */
static inline void begin(void)
{
    client("P Sw100000 W0:1000000 H1$");
    engine("Sc10 A");
}

static inline void opened(void)
{
    begin();
    add(1);
    engine("H1 D1:100$");
    room(1);
}

#endif /* SSE_SPLICE_TALK_H */
