/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse/sse_prefer.h"

#include <apr_lib.h>
#include <string.h>
#include <strings.h>

#define SPACE " \t"

/* The end of what begins here: at one of these, outside of quotes. */
static const char *find(const char *p, const char *ends)
{
    int quoted = 0;

    for (; *p && (quoted || !strchr(ends, *p)); ++p) {
        if (*p == '\\' && quoted && p[1]) {
            ++p;
        }
        else if (*p == '"') {
            quoted = !quoted;
        }
    }
    return p;
}

static int read_digits(const char *p, const char *end)
{
    int n = 0;

    if (p == end) {
        return -1;
    }
    for (; p < end; ++p) {
        if (!apr_isdigit(*p)) {
            return -1;
        }
        n = n < SSE_PREFER_MAX ? n * 10 + (*p - '0') : n;
    }
    return n < SSE_PREFER_MAX ? n : SSE_PREFER_MAX;
}

/* A word, or the same in quotes. */
static int read_value(const char *p, const char *end)
{
    while (p < end && strchr(SPACE, end[-1])) {
        --end;
    }
    if (end - p >= 2 && *p == '"' && end[-1] == '"') {
        ++p;
        --end;
    }
    return read_digits(p, end);
}

int sse_prefer_seconds(const char *text)
{
    return read_digits(text, text + strlen(text));
}

int sse_prefer_wait(const char *prefer)
{
    const char *p, *end, *name_end;

    for (p = prefer ? prefer : ""; *p; p = *end ? end + 1 : end) {
        p += strspn(p, SPACE);
        end = find(p, ",");
        name_end = p + strcspn(p, "=;," SPACE);
        if (name_end - p != 4 || strncasecmp(p, "wait", 4) != 0) {
            continue;
        }
        p = name_end + strspn(name_end, SPACE);
        if (*p != '=') {
            return -1;
        }
        ++p;
        p += strspn(p, SPACE);
        return read_value(p, find(p, ",;"));
    }
    return -1;
}
