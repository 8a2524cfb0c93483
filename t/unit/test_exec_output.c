/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/exec/sse_exec_output and sse_exec_errors: pipes that programs write to
 * are read in pieces, as far as somebody wants it, to their end, or to where
 * they are when their program has ended; and of what goes to the log no more
 * than so many lines do. */

#include <errno.h>
#include <fcntl.h>
#include <httpd.h>
#include <http_log.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/sse_exec_errors.h"
#include "exec/sse_exec_output.h"
#include "loop/sse_log.h"
#include "tap.h"

/* -- The loop and the log, played by the test ------------------------------ */

struct sse_loop_t {
    uv_loop_t uv;
};

APLOG_USE_MODULE(sse);
module sse_module;

static sse_loop_t loop;
static server_rec server;

void sse_loop_begin_turn(sse_loop_t *of) {}

uv_loop_t *sse_loop_uv(sse_loop_t *of) { return &of->uv; }

static struct {
    int lines, dropped;
    char last[1024];
} logged;

void sse_log_later(const char *file, int number, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
    unsigned int n;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(logged.last, sizeof(logged.last), fmt, ap);
    va_end(ap);
    if (sscanf(logged.last, "/bin/x: %u more lines", &n) == 1) {
        logged.dropped += (int)n;
    }
    else {
        ++logged.lines;
    }
}

/* libuv's, too. */
static int no_room;

__attribute__((visibility("default"))) int epoll_ctl(int epoll, int op, int fd,
                                                     struct epoll_event *event)
{
    if (no_room && op == EPOLL_CTL_ADD) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

static void run(void) { uv_run(&loop.uv, UV_RUN_NOWAIT); }

/* -- A pipe's reader ------------------------------------------------------- */

typedef struct {
    sse_exec_output_t output;
    apr_size_t got, largest;
    int pieces, ends, closes, stucks;
    int pauses; /* after each piece */
    int leaves; /* it is closed by the first piece */
} reader_t;

static void on_bytes(sse_exec_output_t *output, const char *bytes,
                     apr_size_t len)
{
    reader_t *reader = sse_owner_of(output, reader_t, output);

    reader->got += len;
    ++reader->pieces;
    if (len > reader->largest) {
        reader->largest = len;
    }
    if (reader->pauses) {
        sse_exec_output_pause(output);
    }
    if (reader->leaves) {
        sse_exec_output_close(output);
    }
}

static void on_end(sse_exec_output_t *output)
{
    ++sse_owner_of(output, reader_t, output)->ends;
}

static void on_closed(sse_exec_output_t *output)
{
    ++sse_owner_of(output, reader_t, output)->closes;
}

static void on_stuck(sse_exec_output_t *output, apr_status_t rv)
{
    ++sse_owner_of(output, reader_t, output)->stucks;
}

static const sse_exec_output_events_t events = {on_bytes, on_end, on_closed,
                                                on_stuck};

/* @return the end to write to */
static int open_reader(reader_t *reader)
{
    int pair[2];

    memset(reader, 0, sizeof(*reader));
    if (pipe(pair)) {
        abort();
    }
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    if (sse_exec_output_open(&reader->output, &loop, pair[0], &events)) {
        abort();
    }
    return pair[1];
}

/* @return how much the pipe took */
static apr_size_t fill(int fd, apr_size_t most)
{
    static char bytes[4096];
    apr_size_t all = 0;
    ssize_t n;

    while (all < most) {
        n = write(fd, bytes,
                  most - all < sizeof(bytes) ? most - all : sizeof(bytes));
        if (n < 0) {
            break;
        }
        all += (apr_size_t)n;
    }
    return all;
}

static void run_times(int n)
{
    while (n--) {
        run();
    }
}

static void test_reading(void)
{
    reader_t reader;
    int fd = open_reader(&reader);

    is_num(fill(fd, 40000), 40000, "40,000 bytes are in the pipe");
    run();
    ok(reader.got && reader.got <= SSE_EXEC_OUTPUT_BYTES,
       "a turn of the loop reads no more than a piece");
    run_times(5);
    is_num(reader.got, 40000, "some turns read all");
    is_num(reader.largest, SSE_EXEC_OUTPUT_BYTES, "in pieces");
    is_num(reader.ends, 0, "that is no end");
    close(fd);
    run_times(2);
    is_num(reader.ends, 1, "which comes when nobody can write any more");
    run_times(3);
    is_num(reader.ends, 1, "once");
    sse_exec_output_close(&reader.output);
    run_times(2);
    is_num(reader.closes, 1, "it is closed");
}

static void test_pausing(void)
{
    reader_t reader;
    int fd = open_reader(&reader);
    apr_size_t all = fill(fd, 10 * 1024 * 1024);

    reader.pauses = 1;
    run_times(5);
    is_num(reader.pieces, 1, "nothing is read while it is paused");
    sse_exec_output_resume(&reader.output);
    run_times(5);
    is_num(reader.pieces, 2, "and a piece more after that");
    close(fd);
    run_times(3);
    is_num(reader.ends, 0, "nor is the end told");
    reader.pauses = 0;
    sse_exec_output_resume(&reader.output);
    run_times(20);
    is_num(reader.got, all, "all is read in the end");
    is_num(reader.ends, 1, "and then it is told");
    sse_exec_output_close(&reader.output);
    run_times(2);
}

/* Somebody else has the pipe open still. */
static void test_draining(void)
{
    reader_t reader;
    int fd = open_reader(&reader);

    fill(fd, 30000);
    sse_exec_output_drain(&reader.output);
    is_num(reader.ends, 0, "a pipe that is drained has something yet");
    run_times(5);
    is_num(reader.got, 30000, "which is read");
    is_num(reader.ends, 1, "and that is its end, who ever may write yet");
    sse_exec_output_close(&reader.output);
    close(fd);
    run_times(2);

    fd = open_reader(&reader);
    sse_exec_output_drain(&reader.output);
    is_num(reader.ends, 1, "an empty one ends at once");
    sse_exec_output_close(&reader.output);
    close(fd);
    run_times(2);

    fd = open_reader(&reader);
    reader.pauses = 1;
    fill(fd, 100);
    run_times(2);
    sse_exec_output_drain(&reader.output);
    is_num(reader.ends, 0, "one that is paused does not,");
    sse_exec_output_resume(&reader.output);
    is_num(reader.ends, 1, "but when it may go on");
    sse_exec_output_close(&reader.output);
    close(fd);
    run_times(2);
}

static void test_leaving(void)
{
    reader_t reader;
    int fd = open_reader(&reader);

    reader.leaves = 1;
    fill(fd, 40000);
    run_times(3);
    is_num(reader.pieces, 1, "one that is closed by what it reads");
    is_num(reader.closes, 1, "reads no more");
    is_num(reader.ends, 0, "and has no end");
    ok(write(fd, "x", 1) < 0 && errno == EPIPE, "its pipe is closed");
    close(fd);
}

static int has(reader_t *reader, apr_size_t bytes)
{
    int i;

    for (i = 0; i < 1000 && reader->got < bytes; ++i) {
        run();
        usleep(10000);
    }
    return reader->got == bytes;
}

/* Another process has taken all that a user may watch. */
static void test_no_room(void)
{
    reader_t reader, other;
    int fd = open_reader(&reader), pair[2];

    reader.pauses = 1;
    fill(fd, 100);
    run_times(2);
    is_num(reader.got, 100, "an output is read, and paused");
    no_room = 1;
    reader.pauses = 0;
    fill(fd, 100);
    sse_exec_output_resume(&reader.output);
    is_num(reader.stucks, 1, "there is no room to watch it on: that is told");
    run_times(5);
    is_num(reader.got, 100, "and it is not read");
    if (pipe(pair)) {
        abort();
    }
    is_num(sse_exec_output_open(&other.output, &loop, pair[0], &events), ENOSPC,
           "nor can another one be opened");
    close(pair[0]);
    close(pair[1]);
    no_room = 0;
    ok(has(&reader, 200), "when there is room it is read");

    reader.pauses = 1;
    fill(fd, 100);
    ok(has(&reader, 300), "once more");
    no_room = 1;
    sse_exec_output_resume(&reader.output);
    sse_exec_output_close(&reader.output);
    no_room = 0;
    usleep(1100000);
    run_times(5);
    is_num(reader.closes, 1, "one that waits for room can be closed");
    close(fd);
}

/* -- Standard error -------------------------------------------------------- */

static void write_text(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        abort();
    }
}

static sse_exec_errors_t *open_errors(int *fd)
{
    int pair[2];

    memset(&logged, 0, sizeof(logged));
    if (pipe(pair)) {
        abort();
    }
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    *fd = pair[1];
    return sse_exec_errors_open(&loop, pair[0], &server, "/bin/x");
}

static void close_errors(sse_exec_errors_t *errors, int fd)
{
    sse_exec_errors_close(errors);
    close(fd);
    run_times(2);
}

static void test_errors(void)
{
    int fd, i;
    sse_exec_errors_t *errors = open_errors(&fd);

    write_text(fd, "one\n\ntwo");
    run_times(2);
    is_num(logged.lines, 1, "a line is logged when it is whole");
    is_str(logged.last, "/bin/x: one", "with the program's name");
    close_errors(errors, fd);
    is_str(logged.last, "/bin/x: two", "the last one at the end");

    errors = open_errors(&fd);
    for (i = 0; i < 500; ++i) {
        write_text(fd, "many lines\n");
    }
    run_times(3);
    is_num(logged.lines, 10, "ten lines are logged of many");
    close_errors(errors, fd);
    is_num(logged.dropped, 490, "and the others are counted");

    errors = open_errors(&fd);
    for (i = 0; i < 50; ++i) {
        write_text(fd, "a line without its end ");
    }
    write_text(fd, "\n");
    run_times(2);
    is_num(logged.lines, 1, "a long line is one");
    ok(strlen(logged.last) < 900, "and cut");
    close_errors(errors, fd);
}

/* It must not take all of the loop's time. */
static void test_flood(void)
{
    int fd, i;
    apr_size_t all = 0, seconds;
    sse_exec_errors_t *errors = open_errors(&fd);
    apr_time_t began = apr_time_now();

    for (i = 0; i < 200; ++i) {
        all += fill(fd, 64 * 1024);
        run();
    }
    /* However long that took; and the pipe, and a piece, beyond it. */
    seconds = 2 + (apr_size_t)apr_time_sec(apr_time_now() - began);
    ok(all > 256 * 1024 && all < seconds * 320 * 1024,
       "who writes more than a quarter of a megabyte in a second waits");
    close_errors(errors, fd);
}

static void test_trouble(void)
{
    memset(&logged, 0, sizeof(logged));
    sse_exec_tell_trouble(&server, "/bin/x", SSE_EXEC_CUT, NULL);
    sse_exec_tell_trouble(&server, "/bin/x", SSE_EXEC_CUT, NULL);
    is_num(logged.lines, 1, "trouble with the output is told once a minute");
    sse_exec_tell_trouble(&server, "/bin/x", SSE_EXEC_BROKEN, "no UTF-8");
    ok(strstr(logged.last, "left out: no UTF-8."), "and why");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop.uv);
    test_reading();
    test_pausing();
    test_draining();
    test_leaving();
    test_no_room();
    test_errors();
    test_flood();
    test_trouble();
    run_times(3);
    is_num(uv_loop_close(&loop.uv), 0, "no handle is left");
    return done_testing();
}
