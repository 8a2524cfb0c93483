/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/splice/sse_splice_private.h"

#include <http_log.h>

#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* For administrators.  A request that is over is nobody's affair. */
static const char *const words[] = {
    [SSE_FRAMES_NO_END] = "its request has a body",
    [SSE_FRAMES_NO_ACCOUNT] =
        "its client leaves the connection's window below 128 KB, of which "
        "mod_http2 needs the first 64 KB (browsers and curl give megabytes)",
    [SSE_FRAMES_TOO_MANY] =
        "its client has more streams open on the connection than "
        "H2MaxSessionStreams allows",
    [SSE_FRAMES_RESETS] =
        "its client has reset many streams of the connection lately",
    [SSE_SPLICE_NO_CONN] =
        "its connection began as HTTP/1.1 (\"Upgrade: h2c\"), or this version "
        "of mod_http2 begins one otherwise than mod_sse expects",
    [SSE_SPLICE_NO_SHADOW] =
        "its request has a body, or it neither accepts text/event-stream nor "
        "is for a <Location> with a handler of streams"};

#define REASONS (sizeof(words) / sizeof(words[0]))

void sse_splice_tell_of_thread(request_rec *r, int why)
{
    static int told[REASONS]; /* atomic */
    int level;

    if (why < 0 || (apr_size_t)why >= REASONS || !words[why]) {
        return;
    }
    level = sse_atomic_cas(&told[why], 0, 1) ? APLOG_NOTICE : APLOG_INFO;
    ap_log_rerror(APLOG_MARK, level, 0, r,
                  "the stream over HTTP/2 occupies a thread, as %s",
                  words[why]);
}
