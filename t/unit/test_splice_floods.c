/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file test_splice_floods.c
 * What a spliced connection makes of many frames: what they cost, and what is
 * kept of them.
 */

#include "splice_talk.h"

#include <time.h>

static double seconds(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static apr_size_t passed, calls;

/* Looks at all of it, many times; what comes out is counted. */
static double flood(int is_client, const heap_t *heap, int times)
{
    double begun = seconds();
    sse_span_t span, out;
    int i;

    passed = calls = 0;
    for (i = 0; i < times; ++i) {
        span.bytes = heap->bytes;
        span.len = heap->len;
        while (span.len) {
            if (is_client) {
                sse_frames_from_client(frames, &span, &out, now);
            }
            else {
                sse_frames_from_engine(frames, &span, &out);
            }
            passed += out.len;
            ++calls;
        }
    }
    return seconds() - begun;
}

static void flood_words(const char *words, int times, apr_size_t want,
                        const char *what)
{
    heap_t heap = {NULL, 0, 0};
    double took;

    add_words(&heap, words);
    took = flood(1, &heap, times);
    is_num(passed, want, what);
    ok(took < 5, what); /* 1 % of that, or less */
    printf("# %s: %.0f ns each\n", what, took / times * 1e9);
    heap_clear(&heap);
}

static void floods(void)
{
    char words[60];
    unsigned id;
    int i;

    frames = sse_frames_create(&events, &frames);
    client("P Sw100 W0:1000000 H1$");
    engine("S A");
    add(1);
    engine("H1 D1:40$");
    said[0] = 0;
    flood_words("W0:0", 100000, 1300000, "WINDOW_UPDATE of 0");
    flood_words("W1:1", 100000, 0, "WINDOW_UPDATE of 1, for ours");
    flood_words("W9:1", 100000, 1300000, "WINDOW_UPDATE of 1, for none");
    flood_words("N", 100000, 1700000, "PING");
    flood_words("Sw0 Sw100", 100000, 3000000, "SETTINGS");
    flood_words("R1:8", 10000, 0, "the same reset again");
    flood_words("R9:8", 10000, 10000 * 13, "a reset of none");
    is_str(said, "over1:client ", "it was told once");
    flood_words("W0:2147483647", 10000, 260000, "overflow");
    for (i = 0, id = 3; i < 10000; ++i, id += 2) {
        snprintf(words, sizeof(words), "H%u$ R%u:8", id, id);
        client(words);
    }
    is_num(sse_frames_unanswered(frames), 0, "resets of what was not added");
    for (i = 0; i < 10000; ++i, id += 2) {
        snprintf(words, sizeof(words), "H%u$", id);
        client(words);
    }
    is_num(sse_frames_unanswered(frames), 464, "requests known, at most");
    said[0] = 0;
    add(id - 2);
    engine("S R20003:7");
    snprintf(words, sizeof(words), "H%u$", id);
    client(words);
    add(id);
    snprintf(words, sizeof(words), "unknown%u many%u ", id - 2, id);
    is_str(said, words, "more are not, until there is room");
    sse_frames_destroy(frames);
}

static void bulk(void)
{
    heap_t heap = {NULL, 0, 0};
    sse_span_t kept;
    double took;
    int i;

    frames = sse_frames_create(&events, &frames);
    client("P Sw2147483647 W0:2000000000 H1$ H3$ H5$");
    engine("S A H1");
    for (i = 0; i < 64; ++i) {
        add_words(&heap, "D5:16384");
    }
    took = flood(0, &heap, 2000);
    is_num(passed, 2000 * heap.len, "bulk");
    is_num(calls, 2000, "it is given in one piece");
    sse_frames_give_kept(frames, &kept);
    is_num(kept.len, 13, "the engine gets window again");
    printf("# DATA of 16 KB in bulk: %.1f ns each\n", took / 64 / 2000 * 1e9);
    heap_clear(&heap);
    add_words(&heap,
              "H7 D7:100$ W9:1 N h11$ c11 C11 R7:8 D9:16384 W3:0 R3:8 S");
    flood(1, &heap, 1);
    is_num(passed, heap.len, "the client's");
    is_num(calls, 1, "in one piece as well");
    sse_frames_destroy(frames);
    heap_clear(&heap);
}

/* -- A response that nobody reads ------------------------------------------ */

#define WHOLE  15728640 /* as Chromium has it */
#define UNREAD 6291456

static apr_size_t number(const unsigned char *bytes, int n)
{
    return n ? number(bytes, n - 1) << 8 | bytes[n - 1] : 0;
}

/* What the engine has been told of, with what it has at first. */
static apr_size_t told(void)
{
    const unsigned char *frame = (const unsigned char *)up.bytes + 24;
    const unsigned char *end = (const unsigned char *)up.bytes + up.len;
    apr_size_t all = 65535, len;

    for (; frame < end; frame += 9 + len) {
        len = number(frame, 3);
        if (frame[3] == 8 && !number(frame + 5, 4)) {
            all += number(frame + 9, 4);
        }
    }
    return all;
}

static apr_size_t use_engine(apr_size_t used, apr_size_t limit)
{
    while (used < limit && used + 16384 <= told()) {
        engine("D3:16384");
        wake();
        used += 16384;
    }
    return used;
}

/* A client that reads adds to the connection's window when it has consumed more
 * than half of it: what others can use then has to be more. */
static void unread(void)
{
    char words[60];
    apr_size_t used, all = 0, n;
    int pages;

    for (pages = 0; pages < 2; ++pages) {
        heap_clear(&up);
        frames = sse_frames_create(&events, &frames);
        snprintf(words, sizeof(words), "P Sw%d W0:%d H1$ H3$", WHOLE,
                 WHOLE - 65535);
        client(words);
        engine("S A");
        add(1);
        engine("H1$");
        used = use_engine(0, UNREAD);
        is_num(used, UNREAD, "a response of 6 MB");
        if (pages) {
            all = use_engine(used, WHOLE) - used;
        }
        while (!pages && (n = sse_frames_room(frames, 1)) > 0) {
            send_data(1, n, 0);
            all += n;
        }
        printf("# %s: %lu bytes\n", pages ? "pages" : "streams",
               (unsigned long)all);
        ok(all > WHOLE / 2, pages ? "pages alone" : "streams alone");
        sse_frames_destroy(frames);
        all = 0;
    }
}

int main(void)
{
    cut = 0;
    most = (size_t)-1;
    unread();
    floods();
    bulk();
    return done_testing();
}
