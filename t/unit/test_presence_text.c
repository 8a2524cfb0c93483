/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What is kept with a member: written and read, also what was not written by
 * us; and how long who may be away. */

#include <apr_general.h>
#include <stdlib.h>

#include "hub/sse_presence_text.h"
#include "tap.h"

static apr_pool_t *pool;

static void test_both_ways(void)
{
    static const char *const routes[] = {"", "x", "a b\n{}"};
    sse_presence_settings_t in = {SSE_PRESENCE_ON,
                                  5000000,
                                  1,
                                  8500000,
                                  {1000, 3600000000, 16777216}},
                            out;
    apr_size_t i;

    for (i = 0; i < sizeof(routes) / sizeof(routes[0]); ++i) {
        in.route = sse_slice(routes[i]);
        ok(sse_presence_read(sse_presence_write(&in, pool), &out), "read");
        ok(out.mode == in.mode && out.grace == in.grace && out.grace_all &&
               out.poll_grace == in.poll_grace &&
               out.history.count == in.history.count &&
               out.history.age == in.history.age &&
               out.history.bytes == in.history.bytes,
           "the same settings");
        is_mem(out.route.ptr, out.route.len, routes[i], strlen(routes[i]),
               "and route");
    }
}

static void test_others(void)
{
    static const char *const texts[] = {"",
                                        "1",
                                        "1 2 3",
                                        "2 2 1 1 1 1 1 1 ",
                                        "1 3 1 1 1 1 1 1 ",
                                        "1 2 1 1 1 1 1 1",
                                        "1 2 x 1 1 1 1 1 ",
                                        "1 2 -1 1 1 1 1 1 ",
                                        "1 2  1 1 1 1 1 ",
                                        "1 2 9999999999999999999 1 1 1 1 1 "};
    sse_presence_settings_t settings;
    apr_size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); ++i) {
        settings.grace = 1;
        ok(!sse_presence_read(sse_slice(texts[i]), &settings) &&
               settings.mode == SSE_PRESENCE_OFF && !settings.grace,
           texts[i]);
    }
}

static void test_grace(void)
{
    sse_presence_settings_t settings = {.grace = 5, .poll_grace = 9};

    is_num(sse_presence_grace(&settings, SSE_CLOSE_SHUTDOWN), 5, "shutdown");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_STOP), 5, "stop");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_CRASH), 5, "crash");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_MAX_AGE), 5, "max-age");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_POLL), 9, "poll");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_CLIENT), 0, "client");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_RESET), 0, "reset");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_SERVER), 0, "server");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_NONE), 0,
           "who leaves the channel only");
    settings.grace_all = 1;
    is_num(sse_presence_grace(&settings, SSE_CLOSE_CLIENT), 5, "all: client");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_DEAD_PEER), 5, "dead-peer");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_SLOW_CLIENT), 5, "slow");
    is_num(sse_presence_grace(&settings, SSE_CLOSE_SERVER), 0,
           "but not whom the server has sent away");
}

int main(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    test_both_ways();
    test_others();
    test_grace();
    apr_terminate();
    return done_testing();
}
