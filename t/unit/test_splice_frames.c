/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file test_splice_frames.c
 * Frames and windows of a spliced connection: what goes to the engine, what to
 * the client, what is told.  Each talk is held again with its bytes cut in two
 * at every place, and byte by byte: with the same result.
 */

#include "splice_talk.h"

/* -- Opening --------------------------------------------------------------- */

static void open_by_headers(void)
{
    begin();
    add(1);
    engine("H1$");
    room(1);
    send_data(1, 5000, 0);
    room(1);
    send_data(1, 16384, 0);
    send_data(1, 100, 1);
    room(1);
    engine("N");
}

static void open_by_continuation(void)
{
    begin();
    add(1);
    engine("h1$ c1 C1:0 N");
    room(1);
}

static void open_by_data(void)
{
    opened();
    engine("H3$ D5:9$ o2 C2");
}

static void open_by_empty_data(void)
{
    begin();
    add(1);
    engine("H1 D1:0$");
    client("W1:7 N D1:3");
    room(1);
}

static void others(void)
{
    client("P Sw1c2x3 N H1$ h3 c3 C3 D3:40 D3:4$ W3:9 W5:9 R9:8 H7 R7:8 G S");
    engine("S A H1 D1:9$ h3 C3 D3:300 D3:7 N o2 c2 C2 D2:9$ W0:9 W3:5 H3$ S G");
    say("%d ", sse_frames_unanswered(frames));
}

static void wrong(void)
{
    opened();
    client("W1/3 W1:7 W1/5 W1:7 W0/0 W1:7 W0/8 W1:7 R1/0 W1:7 R1/5 W1:7");
    client("R3/40 W1:7 W0:0");
    engine("R1/5");
    room(1);
}

/* -- Whether one can be added ---------------------------------------------- */

static void not_known(void)
{
    add(1);
    client("P Sw100000 W0:1000000 H2$ H5$ H3$ H9$ H7 R9:8");
    engine("S H7$");
    add(1);
    add(2);
    add(3);
    add(7);
    add(9);
    add(5);
    add(5);
    engine("H5$");
    add(5);
}

/* Too late. */
static void ended(void)
{
    begin();
    client("H3$");
    engine("h1$");
    add(1);
    engine("C1");
    add(1);
    add(3);
}

static void no_end(void)
{
    client("P Sw100000 W0:1000000 H1 D1:7");
    add(1);
    client("D1:7$ h3$ c3");
    add(1);
    add(3);
    client("C3 H5 D5:9 H5$");
    add(3);
    add(5);
}

static void no_account(void)
{
    client("P W0:32767 H1$");
    add(1);
    client("W0:32769");
    engine("S D7:65535");
    add(1);
    client("W0:65535");
    add(1);
}

static void no_account_64k(void)
{
    int i;

    client("P H1$");
    engine("S");
    for (i = 0; i < 5; ++i) {
        engine("D3:20000");
        client("W0:20000");
    }
    add(1);
}

/* More than half, when all but the first 65535 is ours. */
static void least_account(void)
{
    client("P W0:65537 H1$ H3$");
    add(1);
    engine("S H1$");
    while (sse_frames_room(frames, 1)) {
        send_data(1, sse_frames_room(frames, 1), 0);
        client("W1:16384");
    }
    say("%d ", sse_frames_is_account_empty(frames));
    add(3);
    client("W0:65536");
    say("%d ", sse_frames_is_account_empty(frames));
    room(1);
}

static void too_many(void)
{
    client("P W0:1000000 H1$ H3$ H5$");
    engine("Sc2x9 Sx7");
    add(1);
    client("R5:8");
    add(1);
    add(3);
    engine("H1$ H3$");
    client("H7$ H9$");
    add(7);
    client("R1:8 R3:8");
    add(7);
    engine("S Sc1");
    add(9);
}

/* -- Ends ------------------------------------------------------------------ */

static void reset_open(void)
{
    opened();
    client("R1:8 W1:9 R1:8 H3$");
    room(1);
    engine("N");
}

static void reset_added(void)
{
    begin();
    client("W1:1000000");
    add(1);
    client("R1:8");
    say("%d ", sse_frames_unanswered(frames));
    client("R1:8 W1:5 N");
    add(1);
    engine("H1 D1:100$");
    say("%d ", sse_frames_unanswered(frames));
    client("R1:8");
}

/* The engine waits for its window. */
static void reset_waiting(void)
{
    begin();
    add(1);
    engine("H1 D1:100000");
    client("R1:8");
    engine("D1:100 D1:100$ N");
}

static void reset_by_engine(void)
{
    begin();
    client("H3$ H5$");
    add(1);
    add(3);
    engine("H1$ R1:8 H3 R3:8 R5:8 N");
    say("%d ", sse_frames_unanswered(frames));
    client("R1:8 W3:1 R5:8");
}

/* While the last frame passes. */
static void reset_ending(void)
{
    begin();
    add(1);
    client("H3$");
    add(3);
    engine("h1$");
    client("W1:5 R1:8");
    engine("C1 h3$");
    client("W3:0");
    engine("C3 N");
}

static void removed(void)
{
    opened();
    client("H3$ H5$");
    sse_frames_remove(frames, 1);
    sse_frames_remove(frames, 1);
    sse_frames_remove(frames, 7);
    room(1);
    client("W1:5 R1:8");
    add(3);
    sse_frames_remove(frames, 3);
    add(3);
    client("W3:0 W3:7");
    engine("H3 D3:5$");
    say("%d ", sse_frames_unanswered(frames));
    add(5);
    sse_frames_remove(frames, 5);
    client("R5:8");
    say("%d ", sse_frames_unanswered(frames));
}

/* END_STREAM has been taken off already. */
static void removed_ending(void)
{
    begin();
    client("H3$ H5$");
    add(1);
    add(3);
    add(5);
    engine("h1$");
    sse_frames_remove(frames, 1);
    engine("c1 C1:5 N h3$");
    sse_frames_remove(frames, 3);
    engine("c3 C3:0 N h5$");
    sse_frames_remove(frames, 5);
    engine("C5:1");
    client("R5:8");
    say("%d ", sse_frames_unanswered(frames));
}

static void over_removes(void)
{
    begin();
    client("H3$ H5$");
    add(1);
    add(3);
    add(5);
    engine("H1$ H3$ h5$");
    over_calls = 3;
    client("R1:8 R3:8");
    over_calls = 5;
    client("H7$");
    engine("C5");
    room(5);
}

int main(void)
{
    hold(open_by_headers, "S W0:200848 H1$",
         "S A H1 D1:5000 D1:16384 D1:100$ N",
         "account added1 open1 1=16384 1=16384 1=0", "HEADERS alone");
    hold(open_by_continuation, "S W0:200848 H1$", "S A h1 c1 C1 N",
         "account added1 open1 1=16384", "with CONTINUATION");
    hold(open_by_data, "S W0:200848 H1$", "S A H1 D1:100 H3$ D5:9$ o2 C2",
         "account added1 open1 1=16384", "DATA");
    hold(open_by_empty_data, "S W0:200848 H1$ N D1:3", "S A H1 D1:0",
         "account added1 open1 1=16384", "DATA without payload");
    hold(others, "S N H1$ h3 c3 C3 D3:40 D3:4$ W3:9 W5:9 R9:8 H7 R7:8 G S",
         "S A H1 D1:9$ h3 C3 D3:300 D3:7 N o2 c2 C2 D2:9$ W0:9 W3:5 H3$ S G",
         "0", "frames of others");
    hold(wrong, "S W0:200848 H1$ W1/3 W1/5 W0/0 W0/8 R1/0 R1/5 R3/40 W0:0",
         "S A H1 D1:100 R1/5", "account added1 open1 1=16384 1=16384",
         "wrong lengths");
    hold(not_known, "S W0:200848 H2$ H5$ H3$ H9$ H7 R9:8", "S H7$ H5",
         "unknown1 account unknown1 unknown2 unknown3 unknown7 unknown9 "
         "added5 unknown5 open5 unknown5",
         "requests that are not known");
    hold(ended, "S W0:200848 H1$ H3$", "S A h1$ C1",
         "account unknown1 unknown1 added3", "one that is just ending");
    hold(no_end, "S W0:200848 H1 D1:7 D1:7$ h3$ c3 C3 H5 D5:9 H5$", "",
         "account endless1 added1 added3 unknown3 added5",
         "bodies that have not ended");
    hold(no_account, "W0:32767 H1$ W0:32769 W0:65535", "S D7:65535",
         "account1 account1 account1", "just too small a window");
    hold(no_account_64k, "H1$ W0:20000 W0:20000 W0:20000 W0:20000 W0:20000",
         "S D3:20000 D3:20000 D3:20000 D3:20000 D3:20000", "account1",
         "a window that stays as it was first");
    hold(least_account, "H1$ H3$",
         "S H1 D1:16384 D1:16384 D1:16384 D1:16384 D1:1",
         "account added1 open1 1 added3 account 0 1=16384",
         "the least window that will do, also when it is used up");
    hold(too_many, "W0:200848 H1$ H3$ H5$ R5:8 H7$ H9$", "S S H1 H3 S S",
         "account many1 added1 added3 open1 open3 many7 over1:client "
         "over3:client added7 many9",
         "as many as the engine's SETTINGS allow");
    hold(reset_open, "S W0:200848 H1$ W1:9 H3$", "S A H1 D1:100 N",
         "account added1 open1 1=16384 over1:client 1=0", "reset when open");
    hold(reset_added, "S W0:200848 H1$ W1:1000000 W1:5 N", "S A H1 D1:100$",
         "account added1 over1:client 1 unknown1 0", "reset before it opens");
    hold(reset_waiting, "S W0:200848 H1$ W1:1073741823",
         "S A H1 D1:100000 D1:100 D1:100$ N", "account added1 over1:client",
         "reset while the engine waits for window");
    hold(reset_by_engine, "S W0:200848 H1$ H3$ H5$ W3:1 R5:8",
         "S A H1 R1:8 H3 R3:8 R5:8 N",
         "account added1 added3 open1 over1:engine over3:engine 0",
         "reset by the engine");
    hold(reset_ending, "S W0:200848 H1$ H3$", "S A h1 C1 h3 C3 N",
         "account added1 added3 over1:client over3:zero",
         "over while the last frame passes");
    hold(removed, "S W0:200848 H1$ H3$ H5$ W1:5 W3:0 W3:7 R5:8",
         "S A H1 D1:100 H3 D3:5$",
         "account added1 open1 1=16384 1=0 added3 unknown3 1 added5 0",
         "removed");
    hold(removed_ending, "S W0:200848 H1$ H3$ H5$",
         "S A h1 c1 C1 D1:0$ N h3 c3 C3 D3:0$ N h5 C5 D5:0$",
         "account added1 added3 added5 0",
         "removed while the last frame passes");
    hold(over_removes, "S W0:200848 H1$ H3$ H5$ H7$", "S A H1 H3 h5 C5",
         "account added1 added3 added5 open1 open3 over1:client open5 5=16384",
         "one removed at the end of another");
    return done_testing();
}
