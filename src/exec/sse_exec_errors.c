/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "exec/sse_exec_errors.h"

#include <http_log.h>
#include <stdlib.h>
#include <string.h>

#include "exec/sse_exec_output.h"
#include "loop/sse_complain.h"
#include "loop/sse_log.h"

APLOG_USE_MODULE(sse);

/* In one second of one program. */
#define LINES_MOST  10
#define BYTES_MOST  (256 * 1024)
#define WINDOW_MSEC 1000
/* Of a line; the rest of a longer one is left out. */
#define LINE_MOST 800

/* malloc'ed; freed when both handles are closed */
struct sse_exec_errors_t {
    sse_exec_output_t output;
    uv_timer_t window; /* runs while there is something to count */
    int open;          /* handles */
    const server_rec *s;
    char *program;
    unsigned lines, dropped; /* in this window */
    apr_size_t bytes;        /* likewise */
    apr_size_t len;          /* of the line */
    char line[LINE_MOST + 1];
};

/* -- Lines ----------------------------------------------------------------- */

static void log_line(sse_exec_errors_t *errors)
{
    errors->line[errors->len] = '\0';
    errors->len = 0;
    if (++errors->lines > LINES_MOST) {
        ++errors->dropped;
        return;
    }
    sse_log_later(APLOG_MARK, APLOG_WARNING, 0, errors->s, "%s: %s",
                  errors->program, errors->line);
}

static void log_dropped(sse_exec_errors_t *errors)
{
    if (errors->dropped) {
        sse_log_later(APLOG_MARK, APLOG_WARNING, 0, errors->s,
                      "%s: %u more lines of its standard error were left out: "
                      "%d of a second are logged",
                      errors->program, errors->dropped, LINES_MOST);
    }
    errors->lines = errors->dropped = 0;
    errors->bytes = 0;
}

/* Part of a line. */
static void keep(sse_exec_errors_t *errors, const char *bytes, apr_size_t len)
{
    apr_size_t room = LINE_MOST - errors->len, i;

    len = len < room ? len : room;
    for (i = 0; i < len; ++i) {
        errors->line[errors->len++] = bytes[i] ? bytes[i] : '?';
    }
}

static void read_lines(sse_exec_errors_t *errors, const char *bytes,
                       apr_size_t len)
{
    const char *end = bytes + len, *lf;

    while (bytes < end) {
        lf = memchr(bytes, '\n', (apr_size_t)(end - bytes));
        keep(errors, bytes, (apr_size_t)((lf ? lf : end) - bytes));
        if (lf && errors->len) {
            log_line(errors);
        }
        bytes = lf ? lf + 1 : end;
    }
}

/* -- The pipe -------------------------------------------------------------- */

static void on_window(uv_timer_t *timer)
{
    sse_exec_errors_t *errors = sse_owner_of(timer, sse_exec_errors_t, window);

    log_dropped(errors);
    sse_exec_output_resume(&errors->output);
}

static void on_bytes(sse_exec_output_t *output, const char *bytes,
                     apr_size_t len)
{
    sse_exec_errors_t *errors = sse_owner_of(output, sse_exec_errors_t, output);

    if (!uv_is_active((uv_handle_t *)&errors->window)) {
        uv_timer_start(&errors->window, on_window, WINDOW_MSEC, 0);
    }
    errors->bytes += len;
    read_lines(errors, bytes, len);
    if (errors->bytes > BYTES_MOST && !output->drains) {
        sse_exec_output_pause(output);
    }
}

static void on_closed(sse_exec_errors_t *errors)
{
    if (!--errors->open) {
        free(errors->program);
        free(errors);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_closed(sse_owner_of(handle, sse_exec_errors_t, window));
}

static void on_output_closed(sse_exec_output_t *output)
{
    on_closed(sse_owner_of(output, sse_exec_errors_t, output));
}

/* Its owner closes it. */
static void on_end(sse_exec_output_t *output) {}

static const sse_exec_output_events_t events = {on_bytes, on_end,
                                                on_output_closed, NULL};

sse_exec_errors_t *sse_exec_errors_open(sse_loop_t *loop, int fd,
                                        const server_rec *s,
                                        const char *program)
{
    sse_exec_errors_t *errors = calloc(1, sizeof(*errors));
    char *name = strdup(program);

    if (!errors || !name) {
        abort();
    }
    errors->s = s;
    errors->program = name;
    errors->open = 1;
    uv_timer_init(sse_loop_uv(loop), &errors->window);
    if (sse_exec_output_open(&errors->output, loop, fd, &events) ==
        APR_SUCCESS) {
        ++errors->open;
    }
    else {
        close(fd);
    }
    return errors;
}

/* A program that floods must not be read to its end here. */
static void read_rest(sse_exec_errors_t *errors)
{
    char bytes[4096];
    ssize_t n;

    do {
        n = read(errors->output.fd, bytes, sizeof(bytes));
        if (n > 0) {
            errors->bytes += (apr_size_t)n;
            read_lines(errors, bytes, (apr_size_t)n);
        }
    } while (n > 0 && errors->bytes < BYTES_MOST);
}

void sse_exec_errors_close(sse_exec_errors_t *errors)
{
    if (errors->open == 2) {
        read_rest(errors);
        if (errors->len) {
            log_line(errors);
        }
        sse_exec_output_close(&errors->output);
    }
    log_dropped(errors);
    uv_close((uv_handle_t *)&errors->window, on_timer_closed);
}

/* -- What is wrong with the output ----------------------------------------- */

void sse_exec_tell_stuck(const server_rec *s, const char *program,
                         apr_status_t rv)
{
    static sse_complaint_t complaint;

    if (sse_complain_is_due(&complaint)) {
        sse_log_later(APLOG_MARK, APLOG_ERR, rv, s,
                      "%s: its output cannot be watched now: a new stream "
                      "ends; others, and shared programs, wait.  If there is "
                      "no room, raise the sysctl fs.epoll.max_user_watches.  "
                      "Not logged again for a minute",
                      program);
    }
}

void sse_exec_tell_trouble(const server_rec *s, const char *program,
                           sse_exec_trouble_e trouble, const char *why)
{
    static const char *const texts[SSE_EXEC_TROUBLES] = {
        [SSE_EXEC_CUT] = "a line of its output is longer than SSEMaxEventSize, "
                         "and becomes several events",
        [SSE_EXEC_TOO_LARGE] = "an event of its output is larger than "
                               "SSEMaxEventSize, and is left out",
        [SSE_EXEC_BROKEN] = "an event of its output cannot be sent, and is "
                            "left out",
        [SSE_EXEC_RESERVED] = "an event of its output has a name that begins "
                              "with sse-, which is the server's own, and is "
                              "left out",
        [SSE_EXEC_UNFINISHED] = "its output ended within an event, which is "
                                "left out: an empty line must follow"};
    static sse_complaint_t complaints[SSE_EXEC_TROUBLES];

    if (sse_complain_is_due(&complaints[trouble])) {
        sse_log_later(APLOG_MARK, APLOG_WARNING, 0, s,
                      "%s: %s%s%s. Not logged again for a minute", program,
                      texts[trouble], why ? ": " : "", why ? why : "");
    }
}
