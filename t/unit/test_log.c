/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* src/loop/sse_log: lines are written in order, by another thread; while the
 * log takes none, nobody waits, few lines are kept, and the others are counted.
 */

#include <apr_time.h>
#include <httpd.h>
#include <http_log.h>
#include <pthread.h>
#include <string.h>

#include "loop/sse_log.h"
#include "loop/sse_workers.h"
#include "sse_atomic.h"
#include "tap.h"

APLOG_USE_MODULE(sse);
module sse_module;

static struct {
    int is_stuck;   /* atomic */
    int lines;      /* atomic: begun */
    int in_order;   /* the writer's */
    int dropped;    /* the writer's: as it was told */
    int other;      /* the writer's: it is not the test's thread */
    pthread_t test; /* const */
} log_file = {0, 0, 1, 0, 1, 0};

static server_rec server; /* const once its level is set */

int(ap_get_server_module_loglevel)(const server_rec *s, int index)
{
    return s->log.level;
}

static void write_down(const char *text)
{
    static int last;
    int number;

    if (sscanf(text, "line %d", &number) == 1) {
        log_file.in_order &= number > last;
        last = number;
    }
    else {
        sscanf(text, "%d more lines", &log_file.dropped);
    }
    log_file.other &= !pthread_equal(pthread_self(), log_file.test);
    sse_atomic_add(&log_file.lines, 1);
    while (sse_atomic_load(&log_file.is_stuck)) {
        apr_sleep(1000);
    }
}

void ap_log_error_(const char *file, int line, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
    char text[2000];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    write_down(text);
}

static int is_done(void)
{
    int i;

    for (i = 0; i < 10000 && !sse_log_is_done(); ++i) {
        apr_sleep(1000);
    }
    return sse_log_is_done();
}

static void say(int number)
{
    sse_log_later(APLOG_MARK, APLOG_INFO, 0, &server, "line %d", number);
}

static void test_order(void)
{
    int i;

    for (i = 1; i <= 10; ++i) {
        say(i);
    }
    sse_log_later(APLOG_MARK, APLOG_DEBUG, 0, &server, "line %d", 1);
    ok(is_done(), "ten lines and one below the level");
    is_num(log_file.lines, 10, "ten are written");
}

/* One is being written, 63 wait. */
static void test_stuck(void)
{
    apr_time_t began;
    int i;

    sse_atomic_store(&log_file.is_stuck, 1);
    say(11);
    for (i = 0; i < 10000 && sse_atomic_load(&log_file.lines) < 11; ++i) {
        apr_sleep(1000);
    }
    began = apr_time_now();
    for (i = 12; i <= 210; ++i) {
        say(i);
    }
    ok(apr_time_now() - began < apr_time_from_sec(5), "nobody waits");
    ok(!sse_log_is_done(), "all of them do");
    sse_atomic_store(&log_file.is_stuck, 0);
    ok(is_done(), "until the log takes them");
    is_num(log_file.lines, 10 + 64 + 1, "64, and how many there were");
    is_num(log_file.dropped, 200 - 64, "as it was");
    say(211);
    ok(is_done(), "then all is as before");
    is_num(log_file.lines, 76, "one more line");
}

int main(void)
{
    log_file.test = pthread_self();
    server.log.level = APLOG_INFO;
    sse_workers_init(1);
    test_order();
    test_stuck();
    ok(log_file.in_order, "all in order");
    ok(log_file.other, "none by who asked for it");
    return done_testing();
}
