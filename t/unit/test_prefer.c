/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What a Prefer says of how long to wait (RFC 7240). */

#include <stdio.h>

#include "http/sse/sse_prefer.h"
#include "tap.h"

static const struct {
    const char *prefer;
    int seconds; /* -1: none that can be read */
} cases[] = {
    {NULL, -1},
    {"", -1},
    {" \t", -1},
    {"wait=10", 10},
    {"wait=0", 0},
    {"wait=007", 7},
    {"Wait=10", 10},
    {"WAIT = 10 ", 10},
    {"wait\t=\t10", 10},
    {"wait=\"10\"", 10},
    /* among others */
    {"respond-async, wait=10", 10},
    {"respond-async,wait=10,x", 10},
    {"wait=10, wait=20", 10},
    {"wait=10;foo=bar, x", 10},
    {"x;wait=5, wait=10", 10},
    {"x=\"wait=5, wait=6\", wait=10", 10},
    {"x=\"\\\", wait=6\", wait=10", 10},
    {",, wait=10", 10},
    {"await=5", -1},
    {"waits=5", -1},
    {"x;wait=5", -1},
    /* not to be read */
    {"wait", -1},
    {"wait=", -1},
    {"wait=\"\"", -1},
    {"wait=-1", -1},
    {"wait=1.5", -1},
    {"wait=1s", -1},
    {"wait=x", -1},
    {"wait=1 2", -1},
    {"wait=\"10", -1},
    {"wait=\"1\\0\"", -1},
    {"wait=x, wait=10", -1},
    {"wait, wait=10", -1},
    /* large */
    {"wait=999999", 999999},
    {"wait=1000000", SSE_PREFER_MAX},
    {"wait=99999999999999999999999999", SSE_PREFER_MAX},
};

int main(void)
{
    unsigned int i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        is_num(sse_prefer_wait(cases[i].prefer), cases[i].seconds,
               cases[i].prefer ? cases[i].prefer : "no header");
    }
    is_num(sse_prefer_seconds("12"), 12, "a number alone");
    is_num(sse_prefer_seconds(""), -1, "nothing is none");
    is_num(sse_prefer_seconds("1 "), -1, "a blank is none");
    return done_testing();
}
