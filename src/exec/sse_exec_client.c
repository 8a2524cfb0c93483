/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "exec/sse_exec_client.h"

#include <errno.h>
#include <http_log.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exec/sse_exec_link.h"
#include "loop/sse_complain.h"
#include "loop/sse_log.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* How long a request's thread waits for an answer, and after how long it has
 * the supervisor asked whether it answers at all. */
#define ANSWER_SEC 10
#define ASK_SEC    5
/* It does not if that has no answer for so many seconds in which the loop has
 * run: where this process, or the machine, stood still, that was one. */
#define SILENT_TICKS 5
#define TICK_MSEC    1000

/* A start that awaits its answer.  malloc'ed; its request's thread waits, and
 * frees it when the loop has let go of it. */
typedef struct sse_exec_call_t {
    sse_task_t start, abandon;
    sse_exec_program_t *program;
    apr_uint32_t type; /* of the message */
    int order;         /* the memfd */
    int is_repeated;   /* loop: over a second connection */

    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t cond;
    int is_done;      /* lock: there is an answer */
    int is_abandoned; /* lock: the loop has seen that nobody waits */
    apr_status_t rv;  /* lock: all below */
    sse_exec_message_t answer;
    int fds[2];
} sse_exec_call_t;

/* loop, but for what is const after child_init */
static struct {
    sse_loop_t *loop; /* const */
    server_rec *s;    /* const */
    LIST_HEAD(, sse_exec_program_t) programs;
    apr_uint64_t last_id;
    sse_task_t ask; /* any */
    int is_asked;   /* and it has not answered yet */
    uv_timer_t tick;
    int ticks;     /* since then */
    int is_silent; /* atomic: it does not answer */
    sse_complaint_t silence;
} client = {.programs = LIST_HEAD_INITIALIZER(client.programs)};

/* -- Programs -------------------------------------------------------------- */

static sse_exec_program_t *find(apr_uint64_t id)
{
    sse_exec_program_t *program;

    LIST_FOREACH(program, &client.programs, link)
    {
        if (program->id == id) {
            return program;
        }
    }
    return NULL;
}

static void add(sse_exec_program_t *program, int is_shared)
{
    program->id = ++client.last_id;
    program->is_shared = is_shared;
    LIST_INSERT_HEAD(&client.programs, program, link);
}

static void forget(sse_exec_program_t *program)
{
    if (program->id) {
        LIST_REMOVE(program, link);
        program->id = 0;
    }
}

/* -- Answers --------------------------------------------------------------- */

/* From here on the program is its thread's, and so is the call.
 * @param answer NULL: there is none, as rv says */
static void answer(sse_exec_program_t *program, apr_status_t rv,
                   const sse_exec_message_t *message, const int *fds)
{
    sse_exec_call_t *call = program->call;

    program->call = NULL;
    if (!message || message->type == SSE_EXEC_FAILED) {
        forget(program);
    }
    pthread_mutex_lock(&call->lock);
    call->rv = rv;
    if (message) {
        call->answer = *message;
    }
    if (fds) {
        memcpy(call->fds, fds, sizeof(call->fds));
    }
    call->is_done = 1;
    pthread_cond_signal(&call->cond);
    pthread_mutex_unlock(&call->lock);
}

static void close_all(const int *fds, int n)
{
    while (n > 0) {
        close(fds[--n]);
    }
}

/* -- The supervisor hangs -------------------------------------------------- */

/* Whatever it says, it does so in order, and at once. */
static void on_sign_of_life(void)
{
    client.is_asked = 0;
    uv_timer_stop(&client.tick);
    if (!sse_atomic_load(&client.is_silent)) {
        return;
    }
    sse_atomic_store(&client.is_silent, 0);
    if (sse_complain_is_over(&client.silence)) {
        sse_log_later(APLOG_MARK, APLOG_NOTICE, 0, client.s,
                      "the process that runs the programs of sse-exec answers "
                      "again");
    }
}

/* What comes of it yet is closed, and stopped. */
static void give_up(sse_exec_program_t *program)
{
    sse_exec_link_withdraw(program->id);
    sse_exec_client_stop(program);
}

/* Nobody waits any more, or begins to. */
static void fall_silent(void)
{
    sse_exec_program_t *program, *next;

    sse_atomic_store(&client.is_silent, 1);
    if (sse_complain_is_due(&client.silence)) {
        sse_log_later(APLOG_MARK, APLOG_ERR, 0, client.s,
                      "the process that runs the programs of sse-exec "
                      "(sse-programs) does not answer: until it does, what "
                      "asks for a program is answered 503 at once. Programs "
                      "that run are not affected. Not logged again for a "
                      "minute");
    }
    for (program = LIST_FIRST(&client.programs); program; program = next) {
        next = LIST_NEXT(program, link);
        if (program->call) {
            give_up(program);
            answer(program, APR_TIMEUP, NULL, NULL);
        }
    }
}

static void on_tick(uv_timer_t *tick)
{
    sse_exec_link_read(); /* the loop may have stood still until now */
    if (client.is_asked && ++client.ticks >= SILENT_TICKS) {
        uv_timer_stop(tick);
        fall_silent();
    }
}

/* Without an order: that is refused at once, while the answer to a good one may
 * be waiting for a slow file system. */
static void on_ask(sse_task_t *task)
{
    if (!client.is_asked) {
        client.is_asked = 1;
        client.ticks = 0;
        uv_timer_start(&client.tick, on_tick, TICK_MSEC, TICK_MSEC);
        sse_exec_link_add(SSE_EXEC_START, ++client.last_id, -1, 0);
        sse_exec_link_flush();
    }
}

/* All that waits for an answer gets this one. */
static void on_unreachable(apr_status_t rv)
{
    sse_exec_program_t *program, *next;

    on_sign_of_life();
    for (program = LIST_FIRST(&client.programs); program; program = next) {
        next = LIST_NEXT(program, link);
        if (program->call) {
            answer(program, rv, NULL, NULL);
        }
    }
}

/* -- The supervisor has died ----------------------------------------------- */

static void tell_lost(void)
{
    sse_exec_program_t *program, *next;

    for (program = LIST_FIRST(&client.programs); program; program = next) {
        next = LIST_NEXT(program, link);
        if (!program->call) {
            forget(program);
            program->events->on_lost(program);
        }
    }
}

/* A start that was under way is tried once more, with the next supervisor. */
static void repeat_starts(void)
{
    sse_exec_program_t *program, *next;

    for (program = LIST_FIRST(&client.programs); program; program = next) {
        next = LIST_NEXT(program, link);
        if (program->call->is_repeated) {
            answer(program, APR_EOF, NULL, NULL);
            continue;
        }
        program->call->is_repeated = 1;
        sse_exec_link_add(program->call->type, program->id,
                          program->call->order, 0);
    }
    sse_exec_link_flush();
}

static void on_broken(void)
{
    static sse_complaint_t complaint;

    if (!LIST_EMPTY(&client.programs) && sse_complain_is_due(&complaint)) {
        sse_log_later(APLOG_MARK, APLOG_ERR, 0, client.s,
                      "the process that runs the programs of sse-exec has "
                      "died, and the programs with it; it is started again. "
                      "Not logged again for a minute");
    }
    on_sign_of_life();
    tell_lost();
    repeat_starts();
}

/* -- Receiving ------------------------------------------------------------- */

static void take_answer(sse_exec_program_t *program,
                        const sse_exec_message_t *message, int *fds, int n)
{
    if (!program->call) {
        close_all(fds, n);
        return;
    }
    if (message->type == SSE_EXEC_STARTED && n != 2) {
        close_all(fds, n);
        sse_exec_client_stop(program);
        answer(program, EMFILE, NULL, NULL);
        return;
    }
    answer(program, APR_SUCCESS, message, n == 2 ? fds : NULL);
}

static void take_exit(sse_exec_program_t *program,
                      const sse_exec_message_t *message)
{
    if (!program->is_shared) {
        forget(program);
    }
    program->events->on_exited(program, (int)message->value, message->value2,
                               message->error);
}

static void take_output(sse_exec_program_t *program,
                        const sse_exec_message_t *message, int *fds, int n)
{
    if (n < 2) {
        close_all(fds, n);
        sse_exec_client_decline(program);
        sse_exec_client_stop(program);
        program->events->on_unread(program);
        return;
    }
    program->events->on_own(program, fds[0], fds[1], (int)message->value,
                            n > 2 ? fds[2] : -1);
}

static void take(const sse_exec_message_t *message, int *fds, int n)
{
    sse_exec_program_t *program = find(message->id);

    on_sign_of_life();
    switch (program ? message->type : 0) {
    case SSE_EXEC_STARTED:
    case SSE_EXEC_JOINED:
    case SSE_EXEC_FAILED:
        take_answer(program, message, fds, n);
        break;
    case SSE_EXEC_OWN:
        take_output(program, message, fds, n);
        break;
    case SSE_EXEC_EXITED:
        close_all(fds, n);
        take_exit(program, message);
        break;
    default:
        close_all(fds, n); /* it was under way when we let go */
    }
}

/* -- Starting: a request's thread ------------------------------------------ */

static void on_start(sse_task_t *task)
{
    sse_exec_call_t *call = sse_owner_of(task, sse_exec_call_t, start);
    sse_exec_program_t *program = call->program;

    add(program, call->type == SSE_EXEC_JOIN);
    program->call = call;
    sse_exec_link_add(call->type, program->id, call->order, 0);
    sse_exec_link_flush();
}

static int is_done(sse_exec_call_t *call)
{
    int done;

    pthread_mutex_lock(&call->lock);
    done = call->is_done;
    pthread_mutex_unlock(&call->lock);
    return done;
}

/* Its thread waits no longer. */
static void on_abandon(sse_task_t *task)
{
    sse_exec_call_t *call = sse_owner_of(task, sse_exec_call_t, abandon);
    sse_exec_program_t *program = call->program;

    sse_exec_link_read(); /* what has come, and was not looked at */
    if (!is_done(call)) {
        program->call = NULL;
        give_up(program);
        forget(program);
    }
    pthread_mutex_lock(&call->lock);
    call->is_abandoned = 1;
    pthread_cond_signal(&call->cond);
    pthread_mutex_unlock(&call->lock);
}

/* Under the lock. @return whether it was set in time */
static int wait_for(sse_exec_call_t *call, const int *flag, int seconds)
{
    struct timespec until;
    int rv = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    while (!*flag && !rv) {
        rv = pthread_cond_timedwait(&call->cond, &call->lock, &until);
    }
    return *flag;
}

/* @return whether the loop has let go of it */
static int await_answer(sse_exec_call_t *call)
{
    int is_over;

    pthread_mutex_lock(&call->lock);
    is_over = wait_for(call, &call->is_done, ASK_SEC);
    if (!is_over) {
        pthread_mutex_unlock(&call->lock);
        sse_loop_post(client.loop, &client.ask);
        pthread_mutex_lock(&call->lock);
        is_over = wait_for(call, &call->is_done, ANSWER_SEC - ASK_SEC);
    }
    if (!is_over) {
        call->rv = APR_TIMEUP;
        pthread_mutex_unlock(&call->lock);
        sse_loop_post(client.loop, &call->abandon);
        pthread_mutex_lock(&call->lock);
        while (!wait_for(call, &call->is_abandoned, 1) &&
               !sse_loop_is_gone(client.loop)) {
        }
        is_over = call->is_abandoned;
    }
    pthread_mutex_unlock(&call->lock);
    return is_over;
}

static sse_exec_call_t *make_call(sse_exec_program_t *program, int is_shared,
                                  int order)
{
    sse_exec_call_t *call = calloc(1, sizeof(*call));
    pthread_condattr_t attr;

    if (!call) {
        abort();
    }
    call->start.run = on_start;
    call->abandon.run = on_abandon;
    call->program = program;
    call->type = is_shared ? SSE_EXEC_JOIN : SSE_EXEC_START;
    call->order = order;
    call->fds[0] = call->fds[1] = -1;
    pthread_mutex_init(&call->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&call->cond, &attr);
    pthread_condattr_destroy(&attr);
    return call;
}

apr_status_t sse_exec_client_start(sse_exec_program_t *program,
                                   const sse_exec_order_t *order, int is_shared,
                                   int fds[2], sse_exec_message_t *answer)
{
    sse_exec_call_t *call;
    apr_status_t rv;
    int fd;

    memset(answer, 0, sizeof(*answer));
    fds[0] = fds[1] = -1;
    if (sse_atomic_load(&client.is_silent)) {
        return APR_TIMEUP;
    }
    rv = sse_exec_order_write(order, &fd);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    call = make_call(program, is_shared, fd);
    sse_loop_post(client.loop, &call->start);
    if (!await_answer(call)) {
        return APR_EGENERAL; /* the process ends; the loop may have it yet */
    }
    rv = call->rv;
    *answer = call->answer;
    memcpy(fds, call->fds, sizeof(call->fds));
    pthread_cond_destroy(&call->cond);
    pthread_mutex_destroy(&call->lock);
    free(call);
    close(fd);
    return rv;
}

/* -- The rest -------------------------------------------------------------- */

void sse_exec_client_stop(sse_exec_program_t *program)
{
    if (!program->id) {
        return;
    }
    if (sse_exec_link_is_up()) {
        sse_exec_link_add(SSE_EXEC_STOP, program->id, -1, 0);
        sse_exec_link_flush();
    }
    if (program->is_shared) {
        forget(program);
    }
}

void sse_exec_client_return(sse_exec_program_t *program, const char *rest,
                            apr_size_t len)
{
    int fd = -1;

    if (!program->id || !sse_exec_link_is_up()) {
        return;
    }
    if (len && sse_exec_bytes_write(rest, len, &fd) != APR_SUCCESS) {
        sse_exec_client_stop(program); /* the next one is told TORN */
        return;
    }
    sse_exec_link_add(SSE_EXEC_RETURN, program->id, fd, fd >= 0);
    sse_exec_link_flush();
}

void sse_exec_client_decline(sse_exec_program_t *program)
{
    if (!program->id || !sse_exec_link_is_up()) {
        return;
    }
    sse_exec_link_add(SSE_EXEC_DECLINE, program->id, -1, 0);
    sse_exec_link_flush();
}

static const sse_exec_link_events_t events = {take, on_broken, on_unreachable};

void sse_exec_client_init(sse_loop_t *loop, server_rec *s)
{
    client.loop = loop;
    client.s = s;
    client.ask.run = on_ask;
    uv_timer_init(sse_loop_uv(loop), &client.tick);
    sse_exec_link_init(loop, &events);
}
