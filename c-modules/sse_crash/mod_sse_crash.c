/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Writes a line for each opening, end and crash of a stream to logs/crashes:
 *
 *     open STREAM PID | close STREAM PID REASON | crash STREAM PID CHANNELS
 *
 * mod_sse lists open streams only where a module wants to know of crashes.
 * While logs/crash-hold exists, this hook writes "telling" before "crash", and
 * does not return. */

#if CONFIG_FOR_HTTPD_TEST

<IfModule mod_sse.c>
    <Location "/crash/">
        SetHandler sse
        SSEPublish On
        SSEHeartbeat 0
    </Location>
</IfModule>

#endif

#define APACHE_HTTPD_TEST_EXTRA_HOOKS(p)                                       \
    do {                                                                       \
        APR_OPTIONAL_HOOK(sse, stream_open, on_open, NULL, NULL,               \
                          APR_HOOK_MIDDLE);                                    \
        APR_OPTIONAL_HOOK(sse, stream_close, on_close, NULL, NULL,             \
                          APR_HOOK_MIDDLE);                                    \
        APR_OPTIONAL_HOOK(sse, stream_crashed, on_crashed, NULL, NULL,         \
                          APR_HOOK_MIDDLE);                                    \
    } while (0)

#include "apache_httpd_test.h"
#include "mod_sse.h"
#include "apr_strings.h"
#include <fcntl.h>
#include <unistd.h>

/* One write of a whole line: lines of several processes never mix. */
static void note(apr_pool_t *pool, const char *line)
{
    const char *path = ap_server_root_relative(pool, "logs/crashes");
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0666);

    if (fd >= 0) {
        if (write(fd, line, strlen(line)) < 0) {
            ap_log_perror(APLOG_MARK, APLOG_ERR, errno, pool, "%s", path);
        }
        close(fd);
    }
}

static const char *stream_of(request_rec *r)
{
    return apr_table_get(r->notes, "sse-stream");
}

static int is_ours(request_rec *r)
{
    return !strncmp(r->uri, "/crash/", 7);
}

static void on_open(sse_stream_t *stream, request_rec *r)
{
    if (is_ours(r)) {
        note(r->pool, apr_psprintf(r->pool, "open %s %d\n", stream_of(r),
                                   (int)getpid()));
    }
}

static void on_close(sse_stream_t *stream, request_rec *r,
                     const sse_close_t *close)
{
    if (is_ours(r)) {
        note(close->pool,
             apr_psprintf(close->pool, "close %s %d %d\n", stream_of(r),
                          (int)getpid(), (int)close->reason));
    }
}

static void tell(const sse_crash_t *crash, const char *what)
{
    note(crash->pool,
         apr_psprintf(crash->pool, "%s %s %d %s %s\n", what, crash->stream,
                      (int)getpid(), crash->channels, crash->client));
}

static void on_crashed(const sse_crash_t *crash)
{
    const char *hold = ap_server_root_relative(crash->pool, "logs/crash-hold");

    if (strncmp(crash->channels, "/crash/", 7)) {
        return;
    }
    if (!access(hold, F_OK)) {
        tell(crash, "telling");
        while (!access(hold, F_OK)) {
            apr_sleep(apr_time_from_msec(20));
        }
    }
    tell(crash, "crash");
}

APACHE_HTTPD_TEST_MODULE(sse_crash);
