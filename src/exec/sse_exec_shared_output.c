/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* A shared program's output in the child that owns it: read by the loop,
 * published by a worker, returned when this child is to read no more.  While
 * the worker is at work nothing is read, so the program waits when the store
 * does. */

#include <errno.h>
#include <httpd.h>
#include <http_log.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "exec/sse_exec_shared_private.h"
#include "loop/sse_log.h"
#include "process/sse_leave.h"

APLOG_USE_MODULE(sse);

/* When the store takes nothing, or there is no room to watch an output, it is
 * tried again after so long. */
#define WAIT_MSEC 1000
/* When there is no supervisor: doubled each time, up to the most. */
#define REJOIN_MSEC      1000
#define REJOIN_MOST_MSEC 60000
/* Outputs that wait to be read, each with two descriptors. */
#define NEXT_MOST 8
/* What another child may have left of an event, besides the largest one. */
#define REST_MORE (1024 * 1024)

static sse_exec_shared_t *owner(sse_exec_program_t *program)
{
    return sse_owner_of(program, sse_exec_shared_t, program);
}

#define PROGRAM(shared) ((shared)->plan.order->argv[0])

#define LOG_LATER(shared, level, ...)                                          \
    sse_log_later(APLOG_MARK, level, 0, (shared)->server, __VA_ARGS__)

/* -- Numbers --------------------------------------------------------------- */

static void set_owner(sse_exec_shared_t *shared, int is_owner)
{
    if (shared->is_owner != is_owner) {
        shared->is_owner = is_owner;
        sse_exec_shared_count_owned(is_owner ? 1 : -1);
    }
}

/* -- Timers ---------------------------------------------------------------- */

static void on_wait_time(uv_timer_t *timer)
{
    sse_exec_shared_t *shared =
        sse_owner_of(timer, sse_exec_shared_t, wait_timer);

    shared->is_waiting = 0;
    shared->has_news = 1;
    sse_exec_shared_go_on(shared);
}

static void on_rejoin_time(uv_timer_t *timer)
{
    sse_exec_shared_rejoin(
        sse_owner_of(timer, sse_exec_shared_t, rejoin_timer));
}

static void init_timers(sse_exec_shared_t *shared)
{
    uv_loop_t *uv = sse_loop_uv(sse_exec_shared_loop());

    if (!shared->has_timers) {
        shared->has_timers = 1;
        uv_timer_init(uv, &shared->wait_timer);
        uv_timer_init(uv, &shared->rejoin_timer);
    }
}

static void wait_a_while(sse_exec_shared_t *shared)
{
    shared->is_waiting = 1;
    init_timers(shared);
    uv_timer_start(&shared->wait_timer, on_wait_time, WAIT_MSEC, 0);
}

static void rejoin_soon(sse_exec_shared_t *shared)
{
    apr_uint64_t msec = shared->rejoin_msec ? shared->rejoin_msec : REJOIN_MSEC;

    init_timers(shared);
    if (!uv_is_active((uv_handle_t *)&shared->rejoin_timer)) {
        uv_timer_start(&shared->rejoin_timer, on_rejoin_time, msec, 0);
        msec *= 2;
        shared->rejoin_msec = msec < REJOIN_MOST_MSEC ? msec : REJOIN_MOST_MSEC;
    }
}

static void tell_waiting(sse_exec_shared_t *shared)
{
    if (sse_complain_is_due(&shared->store_complaint)) {
        LOG_LATER(shared, APLOG_WARNING,
                  "what %s writes cannot be published to the channel %s, as "
                  "the event store takes nothing: it is tried again each "
                  "second, and the program waits.  Not logged again for a "
                  "minute",
                  PROGRAM(shared), shared->plan.name);
    }
}

/* -- Publishing ------------------------------------------------------------ */

/* Worker. */
static void publish(sse_job_t *job)
{
    sse_exec_shared_t *shared = sse_owner_of(job, sse_exec_shared_t, job);

    shared->published = sse_exec_intake_publish(shared->intake);
    sse_loop_post(sse_exec_shared_loop(), &shared->done_task);
}

static void on_published(sse_task_t *task)
{
    sse_exec_shared_t *shared =
        sse_owner_of(task, sse_exec_shared_t, done_task);

    shared->is_at_work = 0;
    if (shared->published != APR_SUCCESS) {
        tell_waiting(shared);
        wait_a_while(shared);
    }
    sse_exec_shared_go_on(shared);
}

static void start_work(sse_exec_shared_t *shared)
{
    shared->is_at_work = shared->has_read = 1;
    shared->has_news = 0;
    shared->job.run = publish;
    shared->done_task.run = on_published;
    sse_exec_output_pause(&shared->output);
    sse_workers_do(SSE_WORKERS_PROGRAMS, &shared->job);
}

/* -- The output ------------------------------------------------------------ */

static void on_bytes(sse_exec_output_t *output, const char *bytes,
                     apr_size_t len)
{
    sse_exec_shared_t *shared = sse_owner_of(output, sse_exec_shared_t, output);

    sse_exec_intake_add(shared->intake, bytes, len);
    shared->has_news = 1;
    sse_exec_shared_go_on(shared);
}

static void on_end(sse_exec_output_t *output)
{
    sse_exec_shared_t *shared = sse_owner_of(output, sse_exec_shared_t, output);

    sse_exec_intake_end(shared->intake);
    shared->has_ended = shared->has_news = 1;
    sse_exec_shared_go_on(shared);
}

static void on_closed(sse_exec_output_t *output)
{
    sse_exec_shared_t *shared = sse_owner_of(output, sse_exec_shared_t, output);

    shared->is_open = 0;
    sse_exec_shared_go_on(shared);
}

/* What the child before has read beyond the last whole event: in a memfd, so it
 * does not block. */
static void take_rest(sse_exec_shared_t *shared, int fd)
{
    void *bytes;
    apr_size_t len;

    if (sse_exec_bytes_read(fd, shared->plan.max_event + REST_MORE, &bytes,
                            &len) != APR_SUCCESS) {
        LOG_LATER(shared, APLOG_WARNING,
                  "what another child has read of the output of %s (channel "
                  "%s) and not published cannot be read, and is missing",
                  PROGRAM(shared), shared->plan.name);
        return;
    }
    sse_exec_intake_add(shared->intake, bytes, len);
    shared->has_news = len > 0;
    free(bytes);
}

static void tell_torn(sse_exec_shared_t *shared)
{
    LOG_LATER(shared, APLOG_WARNING,
              "the child that published the output of %s (channel %s) is gone: "
              "what it had read and not published is missing, and what comes "
              "up to the next line's end is left out, as it may be cut",
              PROGRAM(shared), shared->plan.name);
}

static void tell_owned(sse_exec_shared_t *shared)
{
    LOG_LATER(shared, APLOG_DEBUG,
              "this child publishes the output of %s to the channel %s",
              PROGRAM(shared), shared->plan.name);
}

static void on_stuck(sse_exec_output_t *output, apr_status_t rv)
{
    sse_exec_shared_t *shared = sse_owner_of(output, sse_exec_shared_t, output);

    sse_exec_tell_stuck(shared->server, PROGRAM(shared), rv);
}

static void open_intake(sse_exec_shared_t *shared, sse_exec_owned_t *owned)
{
    shared->intake = sse_exec_intake_create(&shared->intake_conf,
                                            owned->value == SSE_EXEC_TORN);
    shared->has_read = shared->has_news = shared->has_ended = 0;
    tell_owned(shared);
    if (owned->rest >= 0) {
        take_rest(shared, owned->rest);
    }
    if (owned->value == SSE_EXEC_TORN) {
        tell_torn(shared);
    }
    sse_exec_close(&owned->rest);
}

/* @return an error: it cannot be watched */
static apr_status_t open_output(sse_exec_shared_t *shared,
                                sse_exec_owned_t *owned)
{
    static const sse_exec_output_events_t events = {on_bytes, on_end, on_closed,
                                                    on_stuck};
    sse_loop_t *loop = sse_exec_shared_loop();
    apr_status_t rv =
        sse_exec_output_open(&shared->output, loop, owned->out, &events);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    sse_exec_output_pause(&shared->output);
    shared->is_open = 1;
    open_intake(shared, owned);
    shared->errors =
        sse_exec_errors_open(loop, owned->err, shared->server, PROGRAM(shared));
    return APR_SUCCESS;
}

/* @return whether there is output to read */
static int open_next(sse_exec_shared_t *shared)
{
    sse_exec_owned_t *owned = STAILQ_FIRST(&shared->next);
    apr_status_t rv;

    if (!owned || shared->is_open) {
        return 0;
    }
    rv = open_output(shared, owned);
    if (rv != APR_SUCCESS) {
        sse_exec_tell_stuck(shared->server, PROGRAM(shared), rv);
        wait_a_while(shared);
        return 0;
    }
    STAILQ_REMOVE_HEAD(&shared->next, link);
    free(owned);
    return 1;
}

static void close_output(sse_exec_shared_t *shared)
{
    if (!shared->intake) {
        return;
    }
    sse_exec_intake_destroy(shared->intake);
    shared->intake = NULL;
    sse_exec_output_close(&shared->output);
    sse_exec_errors_close(shared->errors);
    if (shared->is_exited && STAILQ_EMPTY(&shared->next)) {
        set_owner(shared, 0);
    }
}

/* Where another process is to be read, this one's end is what it has written by
 * now, as something that it has left may keep its pipe open. */
static void read_on(sse_exec_shared_t *shared)
{
    sse_exec_output_resume(&shared->output);
    if (!STAILQ_EMPTY(&shared->next) && !shared->has_ended &&
        !shared->is_at_work) {
        sse_exec_output_drain(&shared->output);
    }
}

/* -- Giving it back -------------------------------------------------------- */

static void forget_first(sse_exec_shared_t *shared)
{
    sse_exec_owned_t *owned = STAILQ_FIRST(&shared->next);

    STAILQ_REMOVE_HEAD(&shared->next, link);
    sse_exec_close(&owned->out);
    sse_exec_close(&owned->err);
    sse_exec_close(&owned->rest);
    free(owned);
}

static void forget_next(sse_exec_shared_t *shared)
{
    while (!STAILQ_EMPTY(&shared->next)) {
        forget_first(shared);
    }
}

/* A program that ends again and again, while the store takes nothing, must not
 * take all descriptors. */
static void make_room(sse_exec_shared_t *shared)
{
    static sse_complaint_t complaint;
    const sse_exec_owned_t *owned;
    int n = 0;

    STAILQ_FOREACH(owned, &shared->next, link) { ++n; }
    if (n < NEXT_MOST) {
        return;
    }
    forget_first(shared);
    if (sse_complain_is_due(&complaint)) {
        LOG_LATER(shared, APLOG_WARNING,
                  "%s (channel %s) has ended so often, while the event store "
                  "takes nothing, that what it wrote the first times is left "
                  "out.  Not logged again for a minute",
                  PROGRAM(shared), shared->plan.name);
    }
}

/* Whether the supervisor may take this child for a reader, or is about to, and
 * it has read nothing. */
static int has_read_nothing(const sse_exec_shared_t *shared)
{
    return !shared->is_owner ||
           (shared->intake ? !shared->has_read : !STAILQ_EMPTY(&shared->next));
}

/* What was read and not published goes to whoever reads next. */
static void return_rest(sse_exec_shared_t *shared)
{
    sse_slice_t rest = {NULL, 0};

    if (shared->intake) {
        rest = sse_exec_intake_rest(shared->intake);
    }
    if (has_read_nothing(shared)) {
        sse_exec_client_decline(&shared->program);
    }
    else {
        sse_exec_client_return(&shared->program, rest.ptr, rest.len);
    }
}

static void give_back(sse_exec_shared_t *shared)
{
    if (!shared->has_given_back) {
        shared->has_given_back = 1;
        return_rest(shared);
    }
    close_output(shared);
    forget_next(shared);
    set_owner(shared, 0);
}

/* -- Its end --------------------------------------------------------------- */

static void on_free(sse_task_t *task)
{
    sse_exec_shared_t *shared =
        sse_owner_of(task, sse_exec_shared_t, free_task);

    apr_pool_destroy(shared->pool);
    free(shared);
}

static void free_if_closed(sse_exec_shared_t *shared)
{
    if (!shared->is_open && !shared->open_timers) {
        shared->free_task.run = on_free;
        sse_loop_post(sse_exec_shared_loop(), &shared->free_task);
    }
}

static void on_wait_timer_closed(uv_handle_t *handle)
{
    sse_exec_shared_t *shared =
        sse_owner_of(handle, sse_exec_shared_t, wait_timer);

    --shared->open_timers;
    free_if_closed(shared);
}

static void on_rejoin_timer_closed(uv_handle_t *handle)
{
    sse_exec_shared_t *shared =
        sse_owner_of(handle, sse_exec_shared_t, rejoin_timer);

    --shared->open_timers;
    free_if_closed(shared);
}

/* No thread knows it any more. */
static void go(sse_exec_shared_t *shared)
{
    shared->is_going = 1;
    give_back(shared);
    if (sse_exec_shared_state(shared) == SSE_EXEC_IS_JOINED) {
        sse_exec_client_stop(&shared->program);
    }
    if (shared->has_timers) {
        shared->open_timers = 2;
        uv_close((uv_handle_t *)&shared->wait_timer, on_wait_timer_closed);
        uv_close((uv_handle_t *)&shared->rejoin_timer, on_rejoin_timer_closed);
    }
    else {
        free_if_closed(shared);
    }
}

/* -- What is next ---------------------------------------------------------- */

static void look_after_supervisor(sse_exec_shared_t *shared)
{
    switch (sse_exec_shared_state(shared)) {
    case SSE_EXEC_IS_LOST:
        rejoin_soon(shared);
        break;
    case SSE_EXEC_IS_JOINED:
        shared->rejoin_msec = 0;
        break;
    default:
        break;
    }
}

static void look_after_output(sse_exec_shared_t *shared)
{
    if (shared->is_waiting || (!shared->intake && !open_next(shared))) {
        return;
    }
    if (shared->has_news) {
        start_work(shared);
    }
    else if (shared->has_ended) {
        close_output(shared);
    }
    else {
        read_on(shared);
    }
}

void sse_exec_shared_go_on(sse_exec_shared_t *shared)
{
    if (shared->is_going) {
        if (!shared->is_open) {
            free_if_closed(shared);
        }
        return;
    }
    if (shared->is_at_work) {
        return;
    }
    if (sse_exec_shared_remove(shared)) {
        go(shared);
    }
    else if (sse_leave_how() != SSE_STAY) {
        give_back(shared);
    }
    else {
        look_after_supervisor(shared);
        look_after_output(shared);
    }
}

/* -- What the supervisor tells --------------------------------------------- */

static void on_own(sse_exec_program_t *program, int out, int err, int value,
                   int rest)
{
    sse_exec_shared_t *shared = owner(program);
    sse_exec_owned_t *owned = calloc(1, sizeof(*owned));

    if (!owned) {
        abort();
    }
    owned->out = out;
    owned->err = err;
    owned->rest = rest;
    owned->value = value;
    make_room(shared);
    STAILQ_INSERT_TAIL(&shared->next, owned, link);
    shared->is_exited = shared->has_given_back = 0;
    set_owner(shared, 1);
    sse_exec_shared_go_on(shared);
}

static void tell_exited(sse_exec_shared_t *shared, int status,
                        apr_int64_t restart_msec)
{
    int is_signal = WIFSIGNALED(status);

    LOG_LATER(shared, APLOG_WARNING,
              "the program %s of the channel %s has ended by itself, with %s "
              "%d; it is started again in %.1f s while somebody subscribes",
              PROGRAM(shared), shared->plan.name,
              is_signal ? "signal" : "exit status",
              is_signal ? WTERMSIG(status) : WEXITSTATUS(status),
              (double)restart_msec / 1000);
}

static void tell_not_started(sse_exec_shared_t *shared, apr_status_t error,
                             apr_int64_t restart_msec)
{
    sse_log_later(APLOG_MARK, APLOG_ERR, error, shared->server,
                  "the program %s of the channel %s cannot be started again; "
                  "it is tried again in %.1f s while somebody subscribes",
                  PROGRAM(shared), shared->plan.name,
                  (double)restart_msec / 1000);
}

/* The supervisor waits before it starts again what it has not ended itself. */
static void on_exited(sse_exec_program_t *program, int status,
                      apr_int64_t restart_msec, apr_status_t error)
{
    sse_exec_shared_t *shared = owner(program);

    if (error) {
        tell_not_started(shared, error, restart_msec);
    }
    else if (shared->is_owner && restart_msec) {
        tell_exited(shared, status, restart_msec);
    }
    shared->is_exited = 1;
    if (!shared->intake && STAILQ_EMPTY(&shared->next)) {
        set_owner(shared, 0);
    }
}

static void on_lost(sse_exec_program_t *program)
{
    sse_exec_shared_t *shared = owner(program);

    if (shared->is_owner) {
        LOG_LATER(shared, APLOG_WARNING,
                  "the supervisor of programs is gone, and with it %s of the "
                  "channel %s, which is started again",
                  PROGRAM(shared), shared->plan.name);
    }
    sse_exec_shared_lose(shared);
    set_owner(shared, 0);
    sse_exec_shared_go_on(shared);
}

static void on_unread(sse_exec_program_t *program)
{
    static sse_complaint_t complaint;
    sse_exec_shared_t *shared = owner(program);

    if (sse_complain_is_due(&complaint)) {
        sse_log_later(APLOG_MARK, APLOG_ERR, EMFILE, shared->server,
                      "this child has no descriptor for the output of %s "
                      "(channel %s), and asks for it again in a while: raise "
                      "LimitNOFILE of systemd's unit, or the limit of ulimit "
                      "-n.  Not logged again for a minute",
                      PROGRAM(shared), shared->plan.name);
    }
    sse_exec_shared_lose(shared);
    set_owner(shared, 0);
    sse_exec_shared_go_on(shared);
}

const sse_exec_program_events_t sse_exec_shared_events = {on_own, on_exited,
                                                          on_lost, on_unread};
