/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file exec_shared.h
 * What the test of shared programs plays: the store, which can fail, the
 * supervisor, the child that leaves, and requests.  The loop and the workers
 * are real.
 *
 * Threads: the test's main thread; what other threads use is under the lock.
 */

#ifndef SSE_TEST_EXEC_SHARED_H
#define SSE_TEST_EXEC_SHARED_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec/sse_exec_shared_private.h"
#include "hub/sse_publish.h"
#include "loop/sse_log.h"
#include "process/sse_leave.h"
#include "process/sse_signals.h"
#include "sse_atomic.h"
#include "tap.h"

module sse_module;

static apr_pool_t *pool;
static sse_loop_t *loop;
static server_rec server;

/* Everything that the test and the other threads look at. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char published[65536]; /* lock: data, each with a '|' */
static char logged[8192];     /* lock */
static char returned[65536];  /* lock: the last rest */
static apr_status_t takes;    /* lock: what the store says */
static int starts, stops, returns, declines, published_n, refused; /* lock */
static int fails_with; /* lock: why a program does not start; 0: it does */
static int start_msec; /* lock: starting takes so long */
static int asked;      /* lock: by so many requests */
static int awaited;    /* lock: the first start takes until so many have */
static sse_exec_program_t *program; /* lock: started last */
static int leaving;                 /* atomic */
static void (*on_leave)(sse_leave_e);

#define LOCKED(what)                                                           \
    do {                                                                       \
        pthread_mutex_lock(&lock);                                             \
        what;                                                                  \
        pthread_mutex_unlock(&lock);                                           \
    } while (0)

static int get(const int *number)
{
    int value;

    LOCKED(value = *number);
    return value;
}

/* A sanitizer makes all of it slower. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WAIT_SEC 20
#else
#define WAIT_SEC 10
#endif

/* Whether that comes true, in WAIT_SEC. */
#define BECOMES(cond)                                                          \
    ({                                                                         \
        int _is = 0, _i;                                                       \
        for (_i = 0; _i < 500 * WAIT_SEC && !_is; ++_i) {                      \
            LOCKED(_is = (cond));                                              \
            if (!_is) {                                                        \
                apr_sleep(2000);                                               \
            }                                                                  \
        }                                                                      \
        _is;                                                                   \
    })

/* -- What shared programs stand on ----------------------------------------- */

void ap_log_error_(const char *file, int line, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
    LOCKED(strncat(logged, fmt, sizeof(logged) - strlen(logged) - 1));
}

void ap_log_rerror_(const char *file, int line, int index, int level,
                    apr_status_t status, const request_rec *r, const char *fmt,
                    ...)
{
    LOCKED(strncat(logged, fmt, sizeof(logged) - strlen(logged) - 1));
}

void sse_log_later(const char *file, int line, int index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...)
{
    LOCKED(strncat(logged, fmt, sizeof(logged) - strlen(logged) - 1));
}

int(ap_get_server_module_loglevel)(const server_rec *s, int index)
{
    return APLOG_TRACE8;
}

int(ap_get_request_module_loglevel)(const request_rec *r, int index)
{
    return APLOG_TRACE8;
}

void sse_signals_hold(void) {}
void sse_signals_let_go(void) {}

sse_leave_e sse_leave_how(void)
{
    return sse_atomic_load(&leaving) ? SSE_LEAVE_GRACEFUL : SSE_STAY;
}

void sse_leave_add(void (*fn)(sse_leave_e how)) { on_leave = fn; }

/* The standard error of programs is none of this. */
struct sse_exec_errors_t {
    int fd;
};

sse_exec_errors_t *sse_exec_errors_open(sse_loop_t *l, int fd,
                                        const server_rec *s, const char *name)
{
    sse_exec_errors_t *errors = malloc(sizeof(*errors));

    errors->fd = fd;
    return errors;
}

void sse_exec_errors_close(sse_exec_errors_t *errors)
{
    close(errors->fd);
    free(errors);
}

void sse_exec_tell_trouble(const server_rec *s, const char *name,
                           sse_exec_trouble_e trouble, const char *why)
{
}

void sse_exec_tell_stuck(const server_rec *s, const char *name, apr_status_t rv)
{
    LOCKED(strncat(logged, "stuck", sizeof(logged) - strlen(logged) - 1));
}

/* libuv's, too. */
static int no_room; /* atomic */

__attribute__((visibility("default"))) int epoll_ctl(int epoll, int op, int fd,
                                                     struct epoll_event *event)
{
    if (sse_atomic_load(&no_room) && op == EPOLL_CTL_ADD) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

/* -- The store ------------------------------------------------------------- */

const char *sse_publish_check(sse_fields_t *event)
{
    return event->id.len > 256 ? "its id is too long" : NULL;
}

void sse_publish_item(sse_append_t *item, sse_slice_t channel,
                      const sse_fields_t *event, const sse_history_t *history)
{
    memset(item, 0, sizeof(*item));
    item->channel = channel;
    item->fields = *event;
}

apr_status_t sse_publish_append(const sse_publisher_t *by, sse_append_t *items,
                                int n)
{
    apr_status_t rv;
    int i;

    pthread_mutex_lock(&lock);
    rv = takes;
    refused += rv != APR_SUCCESS;
    for (i = 0; rv == APR_SUCCESS && i < n; ++i) {
        size_t len = strlen(published);

        ++published_n;
        if (len + items[i].fields.data.len + 2 < sizeof(published)) {
            memcpy(published + len, items[i].fields.data.ptr,
                   items[i].fields.data.len);
            memcpy(published + len + items[i].fields.data.len, "|", 2);
        }
    }
    pthread_mutex_unlock(&lock);
    return rv;
}

const char *sse_publish_reason(apr_status_t rv) { return "no reason"; }

/* -- The supervisor -------------------------------------------------------- */

/* In races: programs whose output is soon this child's. */
#define DUE_MOST 64
static sse_exec_program_t *due[DUE_MOST]; /* lock */
static int due_n, gives;                  /* lock */
static void give_due(sse_task_t *task);
static sse_task_t due_task = {.run = give_due};

apr_status_t sse_exec_client_start(sse_exec_program_t *started,
                                   const sse_exec_order_t *order, int is_shared,
                                   int fds[2], sse_exec_message_t *answer)
{
    int why;

    BECOMES(asked >= awaited);
    apr_sleep(apr_time_from_msec(get(&start_msec)));
    LOCKED(++starts; program = started; why = fails_with;
           if (gives && !why && due_n < DUE_MOST) due[due_n++] = started);
    if (get(&gives)) {
        sse_loop_post(loop, &due_task);
    }
    answer->type = why ? SSE_EXEC_FAILED : SSE_EXEC_JOINED;
    answer->why = (apr_uint32_t)why;
    return APR_SUCCESS;
}

void sse_exec_client_stop(sse_exec_program_t *stopped)
{
    int i;

    pthread_mutex_lock(&lock);
    ++stops;
    for (i = 0; i < due_n; ++i) {
        due[i] = due[i] == stopped ? NULL : due[i];
    }
    pthread_mutex_unlock(&lock);
}

void sse_exec_client_decline(sse_exec_program_t *left) { LOCKED(++declines); }

void sse_exec_client_return(sse_exec_program_t *left, const char *rest,
                            apr_size_t len)
{
    LOCKED(++returns; returned[0] = 0;
           strncat(returned, rest ? rest : "", len));
}

/* -- On the loop ----------------------------------------------------------- */

typedef struct {
    sse_task_t task;
    void (*fn)(void *);
    void *baton;
    int is_done; /* lock */
} call_t;

static void run_call(sse_task_t *task)
{
    call_t *call = sse_owner_of(task, call_t, task);

    call->fn(call->baton);
    LOCKED(call->is_done = 1);
}

static void on_loop(void (*fn)(void *), void *baton)
{
    call_t call = {{.run = run_call}, fn, baton, 0};

    sse_loop_post(loop, &call.task);
    ok(BECOMES(call.is_done), "the loop runs");
}

typedef struct {
    sse_exec_program_t *program;
    int out, err, value, rest;
} own_t;

static void do_own(void *baton)
{
    own_t *own = baton;

    own->program->events->on_own(own->program, own->out, own->err, own->value,
                                 own->rest);
}

static sse_exec_program_t *get_program(void)
{
    sse_exec_program_t *value;

    LOCKED(value = program);
    return value;
}

/* The output is this child's. @return what the program writes to */
static int give(int value, const char *rest)
{
    int out[2], err[2];
    own_t own = {get_program(), 0, 0, value, -1};

    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
        abort();
    }
    close(err[1]);
    own.out = out[0];
    own.err = err[0];
    if (rest) {
        sse_exec_bytes_write(rest, strlen(rest), &own.rest);
    }
    on_loop(do_own, &own);
    return out[1];
}

static void do_exit(void *baton)
{
    sse_exec_program_t *ended = baton;

    ended->events->on_exited(ended, 3 << 8, 1000, 0);
}

static void do_end(void *baton)
{
    sse_exec_program_t *ended = baton;

    ended->events->on_exited(ended, SIGTERM, 0, 0);
}

static void do_exit_again(void *baton)
{
    sse_exec_program_t *ended = baton;

    ended->events->on_exited(ended, 127 << 8, 2000, ENOENT);
}

static void do_lose(void *baton)
{
    sse_exec_program_t *lost = baton;

    lost->events->on_lost(lost);
}

static void do_unread(void *baton)
{
    sse_exec_program_t *unread = baton;

    unread->events->on_unread(unread);
}

static void do_leave(void *baton) { on_leave(SSE_LEAVE_GRACEFUL); }

static void do_nothing(void *baton) {}

/* -- Requests -------------------------------------------------------------- */

static const char *const argv[] = {"/bin/feed", "a", NULL};
static const char *const other_argv[] = {"/bin/feed", "b", NULL};
static const char *const env[] = {"A=b", NULL};

/* Its pool is the request. */
static apr_pool_t *join(const char *key, const char *const *args,
                        apr_status_t *rv, sse_exec_message_t *answer)
{
    static const sse_history_t history = {10, 0, 0};
    sse_exec_order_t order = {0};
    sse_exec_shared_plan_t plan = {&order, key, SSE_EXEC_LINES, 100, &history};
    request_rec r = {0};

    apr_pool_create(&r.pool, NULL);
    r.server = &server;
    order.key = key;
    order.key_len = strlen(key);
    order.argv = args;
    order.env = env;
    order.dir = "/";
    order.limit_name = "";
    *rv = sse_exec_shared_join(&r, &plan, answer);
    return r.pool;
}

static apr_pool_t *subscribe(const char *key)
{
    sse_exec_message_t answer;
    apr_status_t rv;
    apr_pool_t *request = join(key, argv, &rv, &answer);

    is_num(rv, APR_SUCCESS, "a request has its program");
    return request;
}

static void begin(const char *what)
{
    printf("# %s\n", what);
    LOCKED(published[0] = logged[0] = returned[0] = 0;
           starts = stops = returns = declines = published_n = refused = 0;
           fails_with = start_msec = asked = awaited = 0; takes = APR_SUCCESS);
}

static void put(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        abort();
    }
}

#define PUBLISHED(text, what) ok(BECOMES(!strcmp(published, text)), what)

/* Programs that write a line and a half, and end. */
static void give_due(sse_task_t *task)
{
    sse_exec_program_t *next;
    own_t own = {NULL, 0, 0, SSE_EXEC_FRESH, -1};
    int out[2], err[2];

    for (;;) {
        int left;

        LOCKED(left = due_n; next = due_n ? due[--due_n] : NULL);
        if (!left) {
            return;
        }
        if (!next) {
            continue;
        }
        if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
            abort();
        }
        put(out[1], "line\nhalf");
        close(err[1]);
        close(out[1]);
        own.program = next;
        own.out = out[0];
        own.err = err[0];
        do_own(&own);
    }
}

#endif /* SSE_TEST_EXEC_SHARED_H */
