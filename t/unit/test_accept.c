/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* What an Accept says of text/event-stream (RFC 9110, 12.5.1). */

#include <stdio.h>

#include "http/sse/sse_accept.h"
#include "tap.h"

static const struct {
    const char *accept;
    int quality;
} cases[] = {
    /* nothing said */
    {NULL, 1000},
    {"", 1000},
    {" \t ", 1000},
    /* one range */
    {"text/event-stream", 1000},
    {"text/*", 1000},
    {"*/*", 1000},
    {"Text/Event-Stream", 1000},
    {"TEXT/*", 1000},
    {"text/html", 0},
    {"application/*", 0},
    {"text/event-streams", 0},
    {"text/event-strea", 0},
    {"xtext/event-stream", 0},
    {"text/event-stream/x", 0},
    {"text", 0},
    {"text/", 0},
    {"/event-stream", 0},
    {"*", 0},
    {"*/event-stream", 0},
    {"*/", 0},
    {"/", 0},
    {"event-stream", 0},
    /* quality */
    {"text/event-stream;q=0.5", 500},
    {"text/event-stream;q=0.25", 250},
    {"text/event-stream;q=0.001", 1},
    {"text/event-stream;q=0.0009", 0},
    {"text/event-stream;q=0", 0},
    {"text/event-stream;q=0.", 0},
    {"text/event-stream;q=0.000", 0},
    {"text/event-stream;q=1", 1000},
    {"text/event-stream;q=1.000", 1000},
    {"text/event-stream;q=1.5", 1000},
    {"text/event-stream;Q=0.5", 500},
    {"text/event-stream ; q=0.5", 500},
    {"text/event-stream;\tq=0.5", 500},
    {"text/event-stream;q=", 1000},
    {"text/event-stream;q=x", 1000},
    {"text/event-stream;q=-1", 1000},
    {"text/event-stream;", 1000},
    {"text/event-stream;;q=0.5", 500},
    /* other parameters */
    {"text/event-stream;charset=utf-8", 1000},
    {"text/event-stream;charset=utf-8;q=0.5", 500},
    {"text/event-stream;quality=0;q=0.5", 500},
    {"text/event-stream;x=\"a;q=0\";q=0.5", 500},
    {"text/event-stream;x=\"a,b\";q=0.5", 500},
    {"text/event-stream;x=\"a\\\",q=0\";q=0.5", 500},
    {"text/event-stream;x=\"never ends;q=0", 1000},
    /* several */
    {"text/html, text/event-stream", 1000},
    {"text/html,text/event-stream;q=0.3", 300},
    {"text/event-stream;q=0.3,text/html", 300},
    {",,text/event-stream;q=0.3,,", 300},
    {",", 0},
    {"text/html, application/xml;q=0.9", 0},
    {"text/html, */*;q=0.8", 800},
    /* the most specific one counts, wherever it stands */
    {"*/*, text/event-stream;q=0", 0},
    {"text/event-stream;q=0, */*", 0},
    {"*/*;q=0, text/event-stream;q=0.4", 400},
    {"text/event-stream;q=0.4, */*;q=0", 400},
    {"text/*;q=0.2, */*;q=0.9", 200},
    {"*/*;q=0.9, text/*;q=0.2", 200},
    {"text/*;q=0, text/event-stream;q=0.6", 600},
    {"text/*;q=0.7, text/event-stream;q=0", 0},
    {"text/*;q=0.3, text/html;q=0, */*;q=0.1", 300},
    {"text/html;x=\"text/event-stream\"", 0},
    {"text/html;x=\", text/event-stream\"", 0},
    {"text/html;x=\"\\\"\", text/event-stream", 1000},
};

int main(void)
{
    char what[128];
    unsigned int i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        snprintf(what, sizeof(what), "Accept: %s",
                 cases[i].accept ? cases[i].accept : "(none)");
        is_num(sse_accept_quality(cases[i].accept, "text", "event-stream"),
               cases[i].quality, what);
    }
    is_num(sse_accept_quality("text/event-stream, application/json;q=0.5",
                              "application", "json"),
           500, "another type has a quality of its own");
    is_num(sse_accept_quality("text/event-stream", "application", "json"), 0,
           "or none");
    return done_testing();
}
