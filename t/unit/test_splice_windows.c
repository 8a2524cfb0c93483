/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file test_splice_windows.c
 * Windows of a spliced connection and of its streams, as the client's
 * WINDOW_UPDATE and SETTINGS change them; resets; connections that are not
 * HTTP/2 as expected.
 */

#include "splice_talk.h"

#define BAD_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r."

static void raw(int is_client, const char *bytes, size_t len)
{
    size_t at = 0, n;

    for (; at < len; at += n, fed += n) {
        n = len - at < most ? len - at : most;
        n = fed < cut && fed + n > cut ? cut - fed : n;
        give_piece(is_client, bytes + at, n);
    }
}

/* -- A stream's window ----------------------------------------------------- */

/* Stream 1 with a window of 100, of which the engine has used 40. */
static void small(void)
{
    client("P Sw100 W0:1000000 H1$");
    engine("S A");
    add(1);
    engine("H1 D1:40$");
    room(1);
}

static void by_update(void)
{
    small();
    send_data(1, 60, 0);
    room(1);
    client("W1:5 W1:6");
    room(1);
    send_data(1, 11, 1);
    client("W1:7");
    room(1);
}

/* Before it is added, and before it opens. */
static void early(void)
{
    client("P Sw10 W0:1000000 H1$ W1:100");
    engine("S A");
    add(1);
    client("W1:1000");
    engine("H1 D1:10");
    client("W1:10000");
    engine("D1:0$");
    room(1);
}

static void less_and_more(void)
{
    small();
    client("Sw0");
    room(1); /* it had 60 of 100: now 40 too much */
    client("W1:40");
    room(1);
    client("W1:1");
    room(1);
    client("Sx9w30");
    room(1); /* not before it is acknowledged */
    engine("A");
    room(1);
    engine("A");
    room(1);
    client("Sw1 Sw200");
    room(1); /* the least of them */
    engine("A");
    room(1);
    engine("A A");
    room(1);
}

static void below(void)
{
    small();
    client("Sw0 Sw30");
    engine("A A");
    room(1);
    client("Sw40");
    engine("A");
    room(1);
    client("Sw41");
    engine("A");
    room(1);
}

static void bad_settings(void)
{
    small();
    client("Sw2147483648 Sw50w4294967295 Tw50");
    engine("A A A");
    room(1);
}

static void too_large_by_settings(void)
{
    small();
    client("H3$ W1:2147483500");
    add(3);
    engine("h3$");
    client("W3:2147483500 Sw188");
    engine("A");
    room(1);
    client("Sw300");
    engine("C3 A");
    room(1);
}

static void bad_window(void)
{
    client("P W0:1000000 H1$ H3$ H5$ H7$");
    engine("S");
    add(1);
    add(3);
    add(5);
    engine("H1$ H3$ H7$");
    client("W1:0 W3:2147418112 W3:1");
    client("W5:0 W5:2147483647 W7:0");
    room(1);
    room(3);
}

/* -- The connection's ------------------------------------------------------ */

static void shares(void)
{
    int i;

    client("P Sw1000000 H1$ W0:65537");
    engine("S A"); /* 65535 to the engine, 65537 to the account */
    engine("D3:65000");
    client("W0:65000 H5$");
    add(1);
    engine("H1$");
    for (i = 0; i < 4; ++i) {
        send_data(1, 16000, 0);
    }
    client("W0:10000"); /* all to the account */
    client("W0:100000");
    engine("D5:1$");
}

static void account_empty(void)
{
    client("P Sw1000000 W0:200000 H1$ H3$");
    engine("S A");
    add(1);
    add(3);
    engine("H1$ H3$");
    while (sse_frames_room(frames, 1)) {
        send_data(1, sse_frames_room(frames, 1), 0);
    }
    say("%d ", sse_frames_is_account_empty(frames));
    room(3);
    client("W0:50000");
    say("%d ", sse_frames_is_account_empty(frames));
    room(3);
}

/* Either can use more than half of 1000000 while the client adds nothing, as
 * Chromium does until then. */
static void engine_alone(void)
{
    int i;

    client("P W0:934465 H1$");
    engine("S");
    for (i = 0; i < 5; ++i) {
        engine("D1:125001");
        say("%d ", sse_frames_has_kept(frames));
        wake();
    }
    engine("D1:0$ D3:250000");
    say("%d ", sse_frames_has_kept(frames)); /* nobody waits for it */
    client("H5");
    say("%d ", sse_frames_has_kept(frames));
}

static void account_alone(void)
{
    apr_size_t all = 0;

    client("P Sw1000000 W0:934465 H1$");
    engine("S A");
    add(1);
    engine("H1$");
    while (sse_frames_room(frames, 1)) {
        all += sse_frames_room(frames, 1);
        send_data(1, sse_frames_room(frames, 1), 0);
    }
    say("%lu ", (unsigned long)all);
    heap_clear(&down);
}

static void too_large(void)
{
    client("P W0:2147418112 H1$");
    engine("S");
    add(1);
    client("W0:1 W0:0 W0:2147483647");
    engine("D3:7");
    client("W0:8 W0:7");
}

static void rests(void)
{
    begin();
    add(1);
    engine("H1$");
    sse_frames_engine_rests(frames, 1);
    engine("D3:65535");
    client("W0:1000 W0:64535 N W1:7");
    engine("D3:1000");
    client("W0:1000");
    wake();
    wake();
    client("N");
}

static void rests_until_a_frame(void)
{
    begin();
    add(1);
    engine("H1$ D3:900");
    sse_frames_engine_rests(frames, 1);
    client("W0:900 h3$ c3");
    sse_frames_engine_rests(frames, 0);
    client("C3:0 N");
    engine("D3:300");
    client("W0:300");
    say("%d ", sse_frames_unanswered(frames));
}

static void rests_within(void)
{
    begin();
    add(1);
    engine("H1$ D3:900");
    sse_frames_engine_rests(frames, 1);
    client("W0:900");
    raw(1, "\0\0\2\6\0\0\0\0\0p", 10);
    wake();
    raw(1, "q", 1);
    sse_frames_engine_rests(frames, 1);
    raw(1, "\0\0\1\6", 4); /* of this the engine has nothing yet */
    engine("D3:70");
    wake();
    raw(1, "\0\0\0\0\0r", 6);
    sse_frames_engine_rests(frames, 1);
    client("W0:70 h5$");
    wake();
    client("C5");
}

/* It may wait for window, for the answer that it is at. */
static void rests_unanswered(void)
{
    begin();
    add(1);
    engine("H1$ D3:900");
    sse_frames_engine_rests(frames, 1);
    client("W0:400 H5$ W0:500 R5:8");
    engine("D3:700");
    client("W0:700");
    wake();
}

/* -- Blocks of headers, resets --------------------------------------------- */

/* The engine has to see them. */
static void within_block(void)
{
    small();
    client("h3$ W1:0 W1:7 R1:8 W0:5 C3");
    room(1);
}

static void many_resets(void)
{
    char words[60];
    unsigned id = 1, i;

    client("P W0:1000000 H1$");
    engine("S");
    add(1);
    for (i = 0; i < 199; ++i) {
        snprintf(words, sizeof(words), "R%u:8 H%u$", id, id + 2);
        id += 2;
        said[0] = 0;
        engine("N");
        client(words);
        add(id);
        /* Answered, so that not too many are known. */
        snprintf(words, sizeof(words), "H%u$", id - 2);
        engine(words);
    }
    said[0] = 0;
    snprintf(words, sizeof(words), "R%u:8 H%u$", id, id + 2);
    client(words);
    add(id + 2);
    now += 49;
    add(id + 2);
    now += 1;
    add(id + 2);
    snprintf(words, sizeof(words), "R%u:8 H999$", id + 2);
    client(words);
    add(999);
    now -= 1000; /* a clock that goes back gives nothing */
    client("R401:8 H1001$");
    add(1001);
    now += 1049;
    add(1001);
    now += 1;
    add(1001);
    heap_clear(&up);
    heap_clear(&down);
}

/* Resets that a client makes us send count like its own. */
static void made_to_reset(void)
{
    char words[60];
    unsigned id = 1, i;

    client("P W0:1000000 H1$");
    engine("S");
    for (i = 0; i < 200; ++i) {
        add(id);
        snprintf(words, sizeof(words), "H%u$", id);
        engine(words);
        said[0] = 0;
        snprintf(words, sizeof(words), i % 2 ? "W%u:0" : "W%u:2147483647", id);
        client(words);
        id += 2;
        snprintf(words, sizeof(words), "H%u$", id);
        client(words);
    }
    add(id);
    now += 50;
    add(id);
    heap_clear(&up);
    heap_clear(&down);
}

/* -- GOAWAY ---------------------------------------------------------------- */

static void leaving(void)
{
    client("P W0:1000000 H1$");
    engine("S");
    add(1);
    engine("H1$");
    say("%d ", sse_frames_is_leaving(frames));
    client("G");
    say("%d ", sse_frames_is_leaving(frames));
    client("R1:8");
}

/* -- What is not HTTP/2 as expected ---------------------------------------- */

static void no_preface(void)
{
    raw(1, BAD_PREFACE, strlen(BAD_PREFACE));
    client("H1$ W0:1000000 R1:8");
    engine("S H1$");
    add(1);
    say("%d %d ", sse_frames_is_usable(frames), sse_frames_is_between(frames));
}

static void no_settings(void)
{
    client("P W0:1000000 H1$ H3$ H5$");
    add(1);
    add(3);
    sse_frames_remove(frames, 3);
    say("%d ", sse_frames_is_between(frames));
    engine("N S H1$ D1:9$ R5:9");
    client("W0:1000000 R1:8");
    add(5);
    say("%d %d ", sse_frames_is_usable(frames), sse_frames_is_between(frames));
}

static void settings_ack_first(void)
{
    client("P H1$");
    engine("A S");
    say("%d ", sse_frames_is_usable(frames));
}

/* @param start the first bytes of the client, before those of the words */
static void is_given_on(void (*how)(void), const char *start,
                        const char *want_up, const char *want_down,
                        const char *want_said, const char *what)
{
    heap_t to_engine = {NULL, 0, 0}, to_client = {NULL, 0, 0};

    odd = 0;
    talk(how, 0, (size_t)-1);
    next_byte = 0;
    heap_add(&to_engine, start, strlen(start));
    add_words(&to_engine, want_up);
    add_words(&to_client, want_down);
    is_mem(said, strlen(said) - 1, want_said, strlen(want_said), what);
    ok(is_same(&up, &to_engine), what);
    ok(is_same(&down, &to_client), what);
    ok(hold_cut(how, fed), what);
    is_num(odd, 0, what);
    heap_clear(&to_engine);
    heap_clear(&to_client);
}

int main(void)
{
    hold(by_update, "S W0:200848 H1$ W1:7", "S A H1 D1:40 D1:60 D1:11$",
         "account added1 open1 1=60 1=0 room1 1=11 1=0", "WINDOW_UPDATE");
    hold(early, "S W0:200848 H1$ W1:100 W1:1000 W1:10000", "S A H1 D1:10 D1:0",
         "account added1 open1 1=11100", "WINDOW_UPDATE before it opens");
    hold(less_and_more, "S W0:200848 H1$ S S S S", "S A H1 D1:40 A A A A A",
         "account added1 open1 1=60 1=0 1=0 room1 1=1 1=1 1=1 1=31 1=2 1=2 "
         "1=201",
         "SETTINGS make windows smaller, and larger when acknowledged");
    hold(below, "S W0:200848 H1$ S S S S", "S A H1 D1:40 A A A A",
         "account added1 open1 1=60 1=0 1=0 room1 1=1", "a window below 0");
    hold(bad_settings, "S W0:200848 H1$ S S S", "S A H1 D1:40 A A A",
         "account added1 open1 1=60 1=60", "SETTINGS that are wrong");
    hold(too_large_by_settings, "S W0:200848 H1$ H3$ S S",
         "S A H1 D1:40 h3 A C3 A",
         "account added1 open1 1=60 added3 over1:window over3:window 1=0 1=0",
         "a window that SETTINGS make too large");
    hold(bad_window, "W0:200848 H1$ H3$ H5$ H7$ W5:0 W5:2147483647 W7:0",
         "S H1 H3 H7$",
         "account added1 added3 added5 open1 open3 over1:zero over3:window "
         "1=0 3=0",
         "WINDOW_UPDATE of 0, or of too much");
    hold(shares, "S H1$ W0:32233 H5$ W0:11500",
         "S A D3:65000 H1 D1:16000 D1:16000 D1:16000 D1:16000 D5:1$",
         "account added1 open1", "shares of the connection's window");
    hold(account_empty, "S W0:848 H1$ H3$",
         "S A H1 H3 D1:16384 D1:16384 D1:16384 D1:16384 D1:16384 D1:16384 "
         "D1:16384 D1:16384 D1:16384 D1:16384 D1:16384 D1:16384 D1:2544",
         "account added1 added3 open1 open3 1 3=0 account 0 3=16384",
         "an account that is empty");
    hold(engine_alone,
         "W0:184465 H1$ W0:125001 W0:125001 W0:125001 W0:125001 W0:124996 H5",
         "S D1:125001 D1:125001 D1:125001 D1:125001 D1:125001 D1:0$ D3:250000",
         "account 1 1 1 1 1 0 0", "the engine alone");
    hold(account_alone, "S W0:184465 H1$", "", "account added1 open1 750000",
         "the account alone");
    hold(too_large,
         "W0:983041 H1$ W0:2147483647 W0:1 W0:0 W0:2147483647 W0:1 "
         "W0:2147483647 W0:1 W0:7",
         "S D3:7", "account added1", "a connection's window that is too large");
    hold(rests, "S W0:200848 H1$ N W0:66535 N", "S A H1 D3:65535 D3:1000",
         "account added1 open1", "an engine that rests");
    hold(rests_until_a_frame, "S W0:200848 H1$ h3$ c3 C3 W0:900 N W0:300",
         "S A H1 D3:900 D3:300", "account added1 open1 1",
         "an engine that rests gets its window behind a block of headers");
    hold(rests_unanswered, "S W0:200848 H1$ H5$ W0:900 R5:8 W0:700",
         "S A H1 D3:900 D3:700", "account added1 open1",
         "an engine that has to answer is kept nothing from");
    hold(rests_within, "S W0:200848 H1$ N W0:900 N h5$ C5 W0:70",
         "S A H1 D3:900 D3:70", "account added1 open1",
         "an engine that wakes within a frame, or a block");
    hold(within_block, "S W0:200848 H1$ h3$ W1:0 W1:7 R1:8 W0:5 C3",
         "S A H1 D1:40", "account added1 open1 1=60 1=60",
         "frames within a block of headers");
    hold(many_resets, "", "",
         "over399:client resets401 resets401 added401 over401:client "
         "resets999 resets1001 resets1001 added1001",
         "more resets than may be kept back");
    hold(made_to_reset, "", "", "over399:zero resets401 added401",
         "resets that a client makes us send");
    hold(leaving, "W0:200848 H1$ G", "S H1",
         "account added1 open1 0 1 over1:client", "a client that leaves");
    is_given_on(no_preface, BAD_PREFACE, "H1$ W0:1000000 R1:8", "S H1$",
                "unknown1 0 0", "another preface");
    is_given_on(no_settings, "", "P W0:200848 H1$ H3$ H5$ W0:1000000 R1:8",
                "N S H1$ D1:9$ R5:9",
                "account added1 added3 0 over1:engine unknown5 0 0",
                "an engine that does not begin with SETTINGS");
    is_given_on(settings_ack_first, "", "P H1$", "A S", "0",
                "an engine that begins with an acknowledgement");
    return done_testing();
}
