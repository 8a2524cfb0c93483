/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_presence_text.h"

#include <apr_strings.h>
#include <string.h>

/* The first number of a text: how the others are to be read. */
#define VERSION 1
#define NUMBERS 8
/* Of eight numbers with a blank behind each. */
#define NUMBERS_BYTES 200

sse_slice_t sse_presence_write(const sse_presence_settings_t *settings,
                               apr_pool_t *pool)
{
    char numbers[NUMBERS_BYTES];
    sse_slice_t text;
    char *bytes;
    int len;

    len = apr_snprintf(numbers, sizeof(numbers),
                       "%d %d %" APR_TIME_T_FMT " %d %" APR_TIME_T_FMT
                       " %u %" APR_TIME_T_FMT " %" APR_UINT64_T_FMT " ",
                       VERSION, (int)settings->mode, settings->grace,
                       settings->grace_all, settings->poll_grace,
                       settings->history.count, settings->history.age,
                       settings->history.bytes);
    text.len = (apr_size_t)len + settings->route.len;
    bytes = apr_palloc(pool, text.len + 1);
    memcpy(bytes, numbers, (apr_size_t)len);
    if (settings->route.len) {
        memcpy(bytes + len, settings->route.ptr, settings->route.len);
    }
    bytes[text.len] = '\0';
    text.ptr = bytes;
    return text;
}

/* @return how many bytes they take; 0: they are not there */
static apr_size_t read_numbers(sse_slice_t text, apr_int64_t *numbers)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    int i;

    for (i = 0; i < NUMBERS; ++i) {
        const char *from = p;

        for (numbers[i] = 0; p < end && *p >= '0' && *p <= '9' && p - from < 18;
             ++p) {
            numbers[i] = numbers[i] * 10 + (*p - '0');
        }
        if (p == from || p == end || *p++ != ' ') {
            return 0;
        }
    }
    return (apr_size_t)(p - text.ptr);
}

int sse_presence_read(sse_slice_t text, sse_presence_settings_t *settings)
{
    apr_int64_t n[NUMBERS];
    apr_size_t len = read_numbers(text, n);

    memset(settings, 0, sizeof(*settings));
    if (!len || n[0] != VERSION || n[1] > SSE_PRESENCE_ON) {
        return 0;
    }
    settings->mode = (sse_presence_mode_e)n[1];
    settings->grace = n[2];
    settings->grace_all = n[3] != 0;
    settings->poll_grace = n[4];
    settings->history.count = (apr_uint32_t)n[5];
    settings->history.age = n[6];
    settings->history.bytes = (apr_uint64_t)n[7];
    settings->route.ptr = text.ptr + len;
    settings->route.len = text.len - len;
    return 1;
}

/* Its client comes back by itself after the first ones; SSEPresenceGrace "all"
 * is for those who may. */
apr_interval_time_t sse_presence_grace(const sse_presence_settings_t *settings,
                                       sse_close_reason_e reason)
{
    switch (reason) {
    case SSE_CLOSE_POLL:
        return settings->poll_grace;
    case SSE_CLOSE_MAX_AGE:
    case SSE_CLOSE_SHUTDOWN:
    case SSE_CLOSE_STOP:
    case SSE_CLOSE_CRASH:
        return settings->grace;
    case SSE_CLOSE_CLIENT:
    case SSE_CLOSE_RESET:
    case SSE_CLOSE_WRITE_ERROR:
    case SSE_CLOSE_DEAD_PEER:
    case SSE_CLOSE_SLOW_CLIENT:
        return settings->grace_all ? settings->grace : 0;
    default:
        return 0;
    }
}
