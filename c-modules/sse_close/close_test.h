/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file close_test.h
 * What the test modules of close notification share: their log, the query
 * string that tells them what to do, and a callback.
 *
 * The log is logs/closes, a line for each thing seen:
 *
 *     MICROSECONDS PID KEY WHAT NAME=VALUE ...
 *
 * The time is CLOCK_MONOTONIC, KEY is the query's k.
 */

#ifndef CLOSE_TEST_H
#define CLOSE_TEST_H

#include <httpd.h>
#include <apr_strings.h>
#include <fcntl.h>
#include <http_config.h>
#include <http_log.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mod_sse.h"

#define TEXT_MAX 100

static APR_OPTIONAL_FN_TYPE(sse_on_close) *on_close_fn;
static APR_OPTIONAL_FN_TYPE(sse_close_name) *name_fn;
static int log_fd = -1;       /* const after post_config */
static const char *hold_path; /* likewise */

/* -- The log -------------------------------------------------------------- */

static int open_log(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                    server_rec *s)
{
    const char *path = ap_server_root_relative(ptemp, "logs/closes");

    hold_path = ap_server_root_relative(pconf, "logs/close-hold");
    if (log_fd < 0) {
        log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    }
    return log_fd < 0 ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

static apr_uint64_t now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (apr_uint64_t)now.tv_sec * 1000000
           + (apr_uint64_t)now.tv_nsec / 1000;
}

static void note(const char *key, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One write of a whole line: lines of several processes never mix. */
static void note(const char *key, const char *format, ...)
{
    char line[1000];
    va_list args;
    apr_size_t n;

    n = (apr_size_t)snprintf(line, sizeof(line), "%llu %d %s ",
                             (unsigned long long)now_usec(), (int)getpid(),
                             key);
    va_start(args, format);
    n += (apr_size_t)vsnprintf(line + n, sizeof(line) - n, format, args);
    va_end(args);
    n = n < sizeof(line) - 1 ? n : sizeof(line) - 2;
    line[n] = '\n';
    if (write(log_fd, line, n + 1) < 0) {
        abort();
    }
}

/* -- The query ------------------------------------------------------------ */

/* Its value in buf, which is returned; or NULL.  Nothing is taken from
 * r->pool, which is not ours in a callback. */
static const char *query(request_rec *r, const char *name, char *buf)
{
    apr_size_t len = strlen(name), n;
    const char *p = r->args, *end;

    for (; p && *p; p = *end ? end + 1 : end) {
        end = p + strcspn(p, "&");
        if (!strncmp(p, name, len) && p[len] == '=') {
            n = (apr_size_t)(end - p) - len;
            return apr_cpystrn(buf, p + len + 1, n < TEXT_MAX ? n : TEXT_MAX)
                       ? buf : NULL;
        }
    }
    return NULL;
}

static int number(request_rec *r, const char *name, int fallback)
{
    char buf[TEXT_MAX];

    return query(r, name, buf) ? atoi(buf) : fallback;
}

static void pause_msec(int msec)
{
    if (msec > 0) {
        apr_sleep(apr_time_from_msec(msec));
    }
}

/* While the file logs/close-hold exists.  Not for ever, should the test have
 * died. */
static void wait_while_held(int (*goes_on)(void *baton), void *baton)
{
    int i;

    for (i = 0; i < 6000 && !access(hold_path, F_OK); ++i) {
        if (goes_on && goes_on(baton)) {
            return;
        }
        pause_msec(20);
    }
}

/* -- Callbacks ------------------------------------------------------------ */

/* malloc'ed and never freed: it has to outlive whatever may go wrong. */
typedef struct {
    char key[TEXT_MAX], name[TEXT_MAX];
    int sleep_msec;
    int holds;        /* it waits while held */
    int nest;         /* register another one, from inside */
    int told;         /* atomic */
    sse_watch_t *watch;
} callback_t;

static void on_end(request_rec *r, const sse_close_t *close, void *baton);

static callback_t *callback_create(const char *key, const char *name)
{
    callback_t *cb = calloc(1, sizeof(*cb));

    if (!cb) {
        abort();
    }
    apr_cpystrn(cb->key, key, sizeof(cb->key));
    apr_cpystrn(cb->name, name, sizeof(cb->name));
    return cb;
}

/* sleep-NAME: how long it takes; hold-NAME=1: it waits while held. */
static callback_t *register_one(request_rec *r, const char *name,
                                apr_uint32_t mask)
{
    char key[TEXT_MAX] = "-", option[TEXT_MAX];
    callback_t *cb;

    query(r, "k", key);
    cb = callback_create(key, name);
    apr_snprintf(option, sizeof(option), "sleep-%s", name);
    cb->sleep_msec = number(r, option, 0);
    apr_snprintf(option, sizeof(option), "hold-%s", name);
    cb->holds = number(r, option, 0);
    note(key, "registered name=%s rv=%d", name,
         on_close_fn(r, mask, on_end, cb, &cb->watch));
    return cb;
}

/* What a callback may use: its own pool, and the whole response. */
static void on_end(request_rec *r, const sse_close_t *close, void *baton)
{
    callback_t *cb = baton;
    const char *seen = apr_table_get(r->notes, "sse-close");

    note(cb->key, "begin name=%s reason=%s", cb->name, name_fn(close->reason));
    pause_msec(cb->sleep_msec);
    if (cb->holds) {
        wait_while_held(NULL, NULL);
    }
    if (cb->nest) {
        register_one(r, "nested", SSE_ON_ANY);
    }
    note(cb->key, "cb name=%s reason=%s by=%d status=%d type=%s note=%s",
         cb->name, name_fn(close->reason), close->by_client, close->status,
         apr_pstrdup(close->pool, r->content_type ? r->content_type : "-"),
         seen ? seen : "-");
    __atomic_store_n(&cb->told, 1, __ATOMIC_RELEASE);
}

/* -1: it cannot be read. */
static inline int get_option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    return getsockopt(fd, level, name, &value, &len) ? -1 : value;
}

static inline const char *text_or_dash(const char *text)
{
    return text ? text : "-";
}

#endif /* CLOSE_TEST_H */
