/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/sse_stream_private.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "notify/sse_notify.h"
#include "sse_atomic.h"

/* How long, when the server ends a stream, what waits has to be written; when
 * the child stops at once; and a thread has to leave the write it is in. */
#define DRAIN_MSEC      5000
#define STOP_DRAIN_MSEC 500
#define CUT_MSEC        500
/* How often in SSEDeadPeer overdue acknowledgements are looked for. */
#define ASKS_PER_TIME 8

sse_stream_t *sse_stream_acquire(sse_stream_t *stream)
{
    sse_atomic_add(&stream->refs, 1);
    return stream;
}

void sse_stream_release(sse_stream_t *stream)
{
    if (sse_atomic_sub(&stream->refs, 1) == 0) {
        sse_stream_drop_queue(stream, 1);
        sse_stream_drop_times(stream);
        sse_callbacks_release(stream->callbacks);
        free(stream->begun.text);
        free(stream->sent.text);
        pthread_cond_destroy(&stream->cond);
        pthread_mutex_destroy(&stream->lock);
        free(stream);
    }
}

sse_close_reason_e sse_stream_reason(const sse_stream_t *stream)
{
    return sse_atomic_load(&stream->reason);
}

const char *sse_stream_id(const sse_stream_t *stream)
{
    return stream->notes->id;
}

server_rec *sse_stream_server(const sse_stream_t *stream)
{
    return stream->server;
}

const sse_format_t *sse_stream_format(const sse_stream_t *stream)
{
    return stream->format;
}

const sse_stream_opts_t *sse_stream_settings(const sse_stream_t *stream)
{
    return &stream->opts;
}

void *sse_stream_source(const sse_stream_t *stream)
{
    return stream->phase <= SSE_PHASE_OPEN ? stream->source_baton : NULL;
}

int sse_reason_drains(sse_close_reason_e reason)
{
    return reason == SSE_CLOSE_MAX_AGE || reason == SSE_CLOSE_SERVER ||
           reason == SSE_CLOSE_SHUTDOWN || reason == SSE_CLOSE_STOP ||
           reason == SSE_CLOSE_POLL || reason == SSE_CLOSE_COMPLETE;
}

void sse_stream_post(sse_stream_t *stream, sse_task_t *task)
{
    sse_stream_acquire(stream);
    if (!sse_loop_post(stream->loop, task)) {
        sse_stream_release(stream);
    }
}

void sse_stream_poke(sse_stream_t *stream)
{
    sse_stream_post(stream, &stream->kick_task);
}

apr_status_t sse_stream_ended_status(const sse_stream_t *stream)
{
    return sse_close_by_client(sse_stream_reason(stream)) ? APR_ECONNABORTED
                                                          : APR_EOF;
}

/* -- The timer: heartbeat, SSEMaxAge, SSEDeadPeer, SSEQueue, draining ------ */

int sse_stream_fd(const sse_stream_t *stream)
{
    conn_rec *c = stream->r->connection;

    return stream->peer_open ? stream->peer.fd
                             : sse_conn_fd(c->master ? c->master : c);
}

static apr_uint64_t dead_msec(const sse_stream_t *stream)
{
    return (apr_uint64_t)apr_time_as_msec(stream->opts.dead_peer);
}

/* A client that owes nothing costs nothing.  A thread that hangs in a write
 * does not report that anything was written. */
static void owe(sse_stream_t *stream, int owed)
{
    stream->owed =
        stream->opts.dead_peer && (owed || stream->drive->is_blocking);
    stream->ask_at =
        sse_loop_now(stream->loop) + dead_msec(stream) / ASKS_PER_TIME;
}

void sse_stream_written(sse_stream_t *stream)
{
    stream->written = sse_loop_now(stream->loop);
    if (!stream->owed && stream->opts.dead_peer) {
        owe(stream, 1);
        if (stream->phase == SSE_PHASE_OPEN) {
            sse_stream_arm(stream);
        }
    }
}

void sse_stream_stuck(sse_stream_t *stream)
{
    pthread_mutex_lock(&stream->lock);
    sse_stream_count_waiting(stream);
    pthread_mutex_unlock(&stream->lock);
    if (stream->phase == SSE_PHASE_OPEN && sse_slow_watch(stream)) {
        sse_stream_arm(stream);
    }
}

static void on_timer(uv_timer_t *timer);

static sse_peer_answer_e ask_peer(sse_stream_t *stream)
{
    return sse_peer_ask(sse_stream_fd(stream), sse_loop_now(stream->loop),
                        dead_msec(stream), &stream->silent_since);
}

/* @return whether it is dead */
static int ask(sse_stream_t *stream)
{
    sse_peer_answer_e answer = ask_peer(stream);

    if (answer == SSE_PEER_DEAD) {
        sse_stream_end(stream, SSE_CLOSE_DEAD_PEER, APR_ETIMEDOUT);
        return 1;
    }
    owe(stream, answer == SSE_PEER_WAITED || !sse_stream_is_drained(stream));
    return 0;
}

/* A long poll's answer has the time that its client needs, if that is there. */
static int may_drain_on(sse_stream_t *stream)
{
    return stream->phase == SSE_PHASE_DRAINING && sse_stream_is_long(stream) &&
           sse_leave_how() == SSE_STAY && sse_slow_drains(stream) &&
           (!stream->opts.dead_peer || ask_peer(stream) != SSE_PEER_DEAD);
}

static void on_end_timer(sse_stream_t *stream)
{
    if (may_drain_on(stream)) {
        uv_timer_start(&stream->timer, on_timer, DRAIN_MSEC, 0);
    }
    else {
        sse_stream_cut_short(stream);
    }
}

static void on_timer(uv_timer_t *timer)
{
    sse_stream_t *stream = sse_owner_of(timer, sse_stream_t, timer);
    apr_uint64_t now = sse_loop_now(stream->loop);

    if (stream->phase >= SSE_PHASE_DRAINING) {
        on_end_timer(stream);
        return;
    }
    if (stream->deadline && now >= stream->deadline) {
        sse_stream_dismiss(stream,
                           stream->polls || !stream->is_age ? SSE_CLOSE_POLL
                                                            : SSE_CLOSE_MAX_AGE,
                           0);
        return;
    }
    if (stream->owed && now >= stream->ask_at && ask(stream)) {
        return;
    }
    if (sse_slow_look(stream, now)) {
        sse_stream_end(stream, SSE_CLOSE_SLOW_CLIENT, APR_TIMEUP);
        return;
    }
    if (stream->opts.heartbeat &&
        now - stream->written >=
            (apr_uint64_t)apr_time_as_msec(stream->opts.heartbeat)) {
        stream->written = now;
        if (sse_stream_is_drained(stream)) {
            sse_stream_push(stream, stream->format->heartbeat, SSE_PUSH_ALWAYS);
        }
    }
    sse_stream_arm(stream);
}

/* A write does not reset the timer for the next heartbeat: the timer finds out
 * when it fires. */
void sse_stream_arm(sse_stream_t *stream)
{
    apr_uint64_t now = sse_loop_now(stream->loop), due = APR_UINT64_MAX;

    if (stream->opts.heartbeat) {
        due = stream->written + apr_time_as_msec(stream->opts.heartbeat);
    }
    if (stream->deadline && stream->deadline < due) {
        due = stream->deadline;
    }
    if (stream->owed && stream->ask_at < due) {
        due = stream->ask_at;
    }
    if (stream->slow.look_at && stream->slow.look_at < due) {
        due = stream->slow.look_at;
    }
    if (due != APR_UINT64_MAX) {
        uv_timer_start(&stream->timer, on_timer, due > now ? due - now : 1, 0);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    sse_stream_release(sse_owner_of(handle, sse_stream_t, timer));
}

/* -- The end --------------------------------------------------------------- */

/* The reason comes first: the thread of a waiting drive may find at once that
 * it cannot write the last bytes. */
static apr_status_t end(sse_stream_t *stream, sse_close_reason_e reason,
                        apr_status_t status, apr_int64_t retry, sse_id_t upto)
{
    if (!sse_atomic_cas(&stream->reason, SSE_CLOSE_NONE, (int)reason)) {
        return APR_EOF;
    }
    stream->status = status;
    stream->closed = apr_time_now();
    stream->seen = uv_hrtime();
    if (sse_reason_drains(reason)) {
        sse_stream_add_last(stream, retry, upto);
    }
    sse_stream_post(stream, &stream->end_task);
    return APR_SUCCESS;
}

apr_status_t sse_stream_end(sse_stream_t *stream, sse_close_reason_e reason,
                            apr_status_t status)
{
    return end(stream, reason, status, 0, 0);
}

void sse_stream_dismiss(sse_stream_t *stream, sse_close_reason_e reason,
                        sse_id_t upto)
{
    apr_int64_t retry = sse_stream_poll_retry(stream, reason);

    if (retry) {
        retry = retry / 2 + (apr_int64_t)((double)retry * sse_streams_spread());
    }
    end(stream, reason, APR_SUCCESS, retry,
        upto ? upto : sse_stream_poll_upto(stream));
}

/* -- Phases ---------------------------------------------------------------- */

static void open_up(sse_stream_t *stream);
static void drain(sse_stream_t *stream);
static void await_writer(sse_stream_t *stream);
static void tell(sse_stream_t *stream);
static void let_go(sse_stream_t *stream);

#define AFTER(phase) (1u << SSE_PHASE_##phase)

/* What each phase may follow, and what is done when it begins. */
static const struct {
    unsigned int after;
    void (*begin)(sse_stream_t *stream);
} phases[] = {
    [SSE_PHASE_NEW] = {0, NULL},
    [SSE_PHASE_OPEN] = {AFTER(NEW), open_up},
    [SSE_PHASE_DRAINING] = {AFTER(OPEN), drain},
    [SSE_PHASE_CUT] = {AFTER(OPEN), await_writer},
    [SSE_PHASE_TELLING] = {AFTER(OPEN) | AFTER(DRAINING) | AFTER(CUT), tell},
    [SSE_PHASE_DONE] = {AFTER(TELLING), let_go},
};

/* The only place where a phase changes. */
static void transit(sse_stream_t *stream, sse_phase_e to)
{
    if (phases[to].after & 1u << stream->phase) {
        if (stream->phase == SSE_PHASE_DRAINING) {
            stream->seen = uv_hrtime();
        }
        stream->phase = to;
        phases[to].begin(stream);
    }
}

static int is_ending(const sse_stream_t *stream)
{
    return stream->phase == SSE_PHASE_DRAINING ||
           stream->phase == SSE_PHASE_CUT;
}

/* From now, not from when the loop last woke up. */
static void start_end_timer(sse_stream_t *stream, apr_uint64_t msec)
{
    uv_update_time(sse_loop_uv(stream->loop));
    uv_timer_start(&stream->timer, on_timer, msec, 0);
}

static void drain(sse_stream_t *stream)
{
    start_end_timer(stream, sse_stream_reason(stream) == SSE_CLOSE_STOP
                                ? STOP_DRAIN_MSEC
                                : DRAIN_MSEC);
    /* Nobody has kicked for what was sent before it was attached. */
    stream->drive->kick(stream);
}

static void await_writer(sse_stream_t *stream)
{
    start_end_timer(stream, CUT_MSEC);
}

/* The writer may still be busy (a waiting drive that hangs in a write): it
 * changes these numbers under the lock. */
static void fill(sse_stream_t *stream, sse_ending_t *ending)
{
    sse_close_t *close = &ending->ended.close;

    close->reason = sse_stream_reason(stream);
    close->by_client = sse_close_by_client(close->reason);
    close->status = stream->status;
    close->opened = stream->opened;
    close->closed = stream->closed;
    pthread_mutex_lock(&stream->lock);
    close->events = stream->sent.events;
    close->bytes = stream->sent.bytes;
    if (stream->sent.id) {
        apr_snprintf(ending->last_event_id, sizeof(ending->last_event_id),
                     "%" APR_UINT64_T_FMT, stream->sent.id);
    }
    ending->last_event_text = stream->sent.text;
    stream->sent.text = NULL;
    sse_notes_end(stream->notes, close->reason, stream->sent.events);
    pthread_mutex_unlock(&stream->lock);
}

/* Modules' code that has pinned the request may still be running. */
static void on_told(sse_task_t *task)
{
    sse_stream_t *stream = sse_owner_of(task, sse_stream_t, told_task);

    sse_limits_give_back(&stream->claim); /* before it can be seen as closed */
    sse_stream_count_closed(stream);
    sse_callbacks_finish(stream->callbacks, &stream->free_task);
}

/* Who polls comes again, to be probed as before. */
static void stop_probing(sse_stream_t *stream)
{
    if (stream->probing && sse_stream_reason(stream) != SSE_CLOSE_POLL) {
        sse_peer_unprobe(sse_stream_fd(stream), stream->probing);
    }
}

static void tell(sse_stream_t *stream)
{
    sse_ending_t ending = {0};

    sse_leave_hold();
    sse_stream_poll_count(stream);
    uv_timer_stop(&stream->timer);
    stop_probing(stream);
    fill(stream, &ending);
    sse_stream_log_end(stream);
    ending.ended.stream = stream;
    ending.ended.r = stream->r;
    ending.ended.was_opened = 1;
    ending.done = &stream->told_task;
    ending.loop = stream->loop;
    ending.seen = stream->seen;
    if (!sse_notify_end(&ending)) {
        on_told(&stream->told_task);
    }
}

static void on_free(sse_task_t *task)
{
    transit(sse_owner_of(task, sse_stream_t, free_task), SSE_PHASE_DONE);
}

static void let_go(sse_stream_t *stream)
{
    uv_close((uv_handle_t *)&stream->timer, on_timer_closed);
    sse_streams_remove(stream);
    /* A thread may still be in a write, and knows what it has taken. */
    sse_stream_drop_queue(stream, !stream->drive->is_blocking);
    sse_leave_let_go();
    stream->drive->finish(stream);
}

static int drains(const sse_stream_t *stream)
{
    sse_close_reason_e reason = sse_stream_reason(stream);

    return sse_reason_drains(reason) &&
           (reason == SSE_CLOSE_STOP || sse_leave_how() != SSE_LEAVE_AT_ONCE);
}

/* A stream that is open and has a reason to end. */
static void end_open(sse_stream_t *stream)
{
    stream->source->on_ended(stream, stream->source_baton);
    if (!drains(stream)) {
        transit(stream,
                stream->drive->cut(stream) ? SSE_PHASE_CUT : SSE_PHASE_TELLING);
    }
    else if (sse_atomic_load(&stream->is_dead) ||
             sse_stream_is_drained(stream)) {
        transit(stream, SSE_PHASE_TELLING);
    }
    else {
        transit(stream, SSE_PHASE_DRAINING);
    }
}

static void on_end(sse_task_t *task)
{
    sse_stream_t *stream = sse_owner_of(task, sse_stream_t, end_task);

    if (stream->phase == SSE_PHASE_NEW) {
        stream->ended_early = 1; /* open_up() goes on from here */
    }
    else if (stream->phase == SSE_PHASE_OPEN) {
        end_open(stream);
    }
    sse_stream_release(stream);
}

void sse_stream_cut_short(sse_stream_t *stream)
{
    if (is_ending(stream)) {
        stream->drive->cut(stream);
        transit(stream, SSE_PHASE_TELLING);
    }
}

void sse_stream_drained(sse_stream_t *stream)
{
    if (is_ending(stream)) {
        transit(stream, SSE_PHASE_TELLING);
    }
    else if (stream->phase == SSE_PHASE_OPEN &&
             sse_stream_reason(stream) == SSE_CLOSE_NONE) {
        stream->source->on_drained(stream, stream->source_baton);
        sse_stream_poll_look(stream);
    }
}

sse_close_reason_e sse_stream_write_reason(const sse_stream_t *stream,
                                           apr_status_t status)
{
    return sse_peer_write_reason(sse_conn_fd(stream->r->connection), status,
                                 stream->opts.dead_peer);
}

void sse_stream_broken(sse_stream_t *stream, sse_close_reason_e reason,
                       apr_status_t status)
{
    sse_atomic_store(&stream->is_dead, 1);
    sse_stream_end(stream, reason, status);
    if (is_ending(stream)) {
        transit(stream, SSE_PHASE_TELLING);
    }
}

/* -- The beginning --------------------------------------------------------- */

static void set_deadline(sse_stream_t *stream)
{
    apr_uint64_t age = apr_time_as_msec(stream->opts.max_age);

    if (age) {
        /* Up to a tenth earlier, so that not all end at the same time. */
        age -= (apr_uint64_t)((double)age / 10 * sse_streams_spread());
        stream->deadline = sse_loop_now(stream->loop) + age;
        stream->is_age = 1;
    }
}

/* Worker: the module's own function, with the request pinned. */
static void run_ready(sse_job_t *job)
{
    sse_stream_t *stream = sse_owner_of(job, sse_stream_t, ready_job);

    stream->ready(stream, stream->r, stream->ready_baton);
    sse_atomic_store(&stream->is_readying, 0);
    sse_stream_poke(stream);
    sse_callbacks_unpin(stream->callbacks);
    sse_stream_release(stream);
}

static void start_ready(sse_stream_t *stream)
{
    if (stream->ready && sse_callbacks_pin(stream->callbacks)) {
        sse_stream_acquire(stream);
        sse_atomic_store(&stream->is_readying, 1);
        sse_workers_do(SSE_WORKERS_READY, &stream->ready_job);
    }
}

static void on_attach(sse_task_t *task)
{
    transit(sse_owner_of(task, sse_stream_t, attach_task), SSE_PHASE_OPEN);
}

static void open_up(sse_stream_t *stream)
{
    apr_status_t rv;

    /* Its times count from now, not from when the loop last woke up. */
    uv_update_time(sse_loop_uv(stream->loop));
    uv_timer_init(sse_loop_uv(stream->loop), &stream->timer);
    sse_stream_acquire(stream); /* the timer's */
    sse_streams_add(stream);
    set_deadline(stream);
    sse_stream_poll_open(stream);
    rv = stream->drive->attach(stream);
    sse_stream_written(stream); /* the response's first bytes */
    if (rv != APR_SUCCESS) {
        /* The MPM may have closed the socket already. */
        sse_stream_end(stream,
                       sse_leave_how() == SSE_LEAVE_AT_ONCE ? SSE_CLOSE_STOP
                                                            : SSE_CLOSE_ERROR,
                       rv);
    }
    if (sse_stream_reason(stream) == SSE_CLOSE_NONE) {
        sse_stream_arm(stream);
        stream->source->on_attached(stream, stream->source_baton);
        stream->drive->kick(stream);
        start_ready(stream);
        sse_stream_poll_look(stream);
    }
    else if (stream->ended_early) {
        end_open(stream);
    }
    /* Else whoever ends it is about to post the task. */
}

void sse_stream_init_tasks(sse_stream_t *stream)
{
    stream->attach_task.run = on_attach;
    stream->end_task.run = on_end;
    stream->told_task.run = on_told;
    stream->free_task.run = on_free;
    stream->ready_job.run = run_ready;
    stream->poll_task.run = sse_stream_on_poll;
}
