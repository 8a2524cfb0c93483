/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Memory that grows: what was in it stays, and it all goes back. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/sse_room.h"
#include "t/unit/tap.h"

static void fill(sse_room_t *room, apr_size_t from, apr_size_t to)
{
    for (; from < to; from++) {
        room->ptr[from] = (char)(from * 7 + from / 251);
    }
}

static int is_filled(const sse_room_t *room, apr_size_t to)
{
    apr_size_t i;

    for (i = 0; i < to; i++) {
        if (room->ptr[i] != (char)(i * 7 + i / 251)) {
            return 0;
        }
    }
    return 1;
}

/* Over the size at which it is mapped, and on from there. */
static void test_grow(void)
{
    static const apr_size_t sizes[] = {1,      100,    4096,    131071, 131072,
                                       131073, 200000, 1000000, 5000000};
    sse_room_t room = {NULL, 0};
    apr_size_t i, filled = 0;
    int good = 1;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        good = good && sse_room_grow(&room, sizes[i]) &&
               room.size >= sizes[i] && is_filled(&room, filled);
        fill(&room, filled, sizes[i]);
        filled = sizes[i];
    }
    ok(good, "it grows, and keeps what is there");
    ok(sse_room_grow(&room, 10) && room.size >= 5000000,
       "it never gets smaller");
    sse_room_free(&room);
    ok(!room.ptr && !room.size, "and is empty in the end");
    sse_room_free(&room);
    ok(sse_room_grow(&room, 0) && !room.ptr, "of nothing there is nothing");
}

static void test_double(void)
{
    sse_room_t room = {NULL, 0};
    apr_size_t n, size = 0;
    int grown = 0, good = 1;

    for (n = 1; n <= 1000000; n++) {
        good = good && sse_room_double(&room, n);
        room.ptr[n - 1] = (char)((n - 1) * 7 + (n - 1) / 251);
        grown += room.size != size;
        size = room.size;
    }
    ok(good && is_filled(&room, n - 1), "byte by byte");
    ok(grown <= 21, "it has not moved more often than sizes double");
    sse_room_free(&room);
}

/* With a sanitizer all is malloc()'s, which keeps what was freed, and ends the
 * process over a size that cannot be had. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* Pages of ours in memory, as the kernel says. */
static long resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long all, pages = -1;

    if (file) {
        if (fscanf(file, "%ld %ld", &all, &pages) != 2) {
            pages = -1;
        }
        fclose(file);
    }
    return pages;
}

static void test_refused(void)
{
    sse_room_t room = {NULL, 0};

    sse_room_grow(&room, 1000);
    fill(&room, 0, 1000);
    ok(!sse_room_grow(&room, (apr_size_t)1 << 60) && room.size == 1000 &&
           is_filled(&room, 1000),
       "what cannot be had leaves it as it was");
    sse_room_free(&room);
}

/* Again and again, 100 MB each: what was touched goes back at once. */
static void test_goes_back(void)
{
    long before = resident(), most = 0, untouched;
    sse_room_t room = {NULL, 0};
    int i;

    sse_room_grow(&room, (apr_size_t)100 << 20);
    untouched = resident() - before;
    sse_room_free(&room);
    for (i = 0; i < 3; i++) {
        sse_room_grow(&room, (apr_size_t)100 << 20);
        memset(room.ptr, 1, room.size);
        sse_room_free(&room);
        most = resident() > most ? resident() : most;
    }
    ok(untouched < 256, "what is not touched costs nothing");
    ok(most - before < 2560, "what is freed is gone at once");
}

#endif

int main(void)
{
    test_grow();
    test_double();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    test_refused();
    test_goes_back();
#endif
    return done_testing();
}
