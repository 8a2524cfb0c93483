/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/open/sse_open.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_main.h>
#include <http_protocol.h>
#include <stdlib.h>

#include "config/sse_config.h"
#include "notify/sse_notify.h"
#include "notify/sse_watcher.h"
#include "loop/sse_complain.h"
#include "sse_atomic.h"
#include "shared/sse_counters.h"
#include "process/sse_signals.h"
#include "stream/async/sse_async.h"
#include "stream/splice/sse_splice.h"
#include "stream/sse_conn_record.h"
#include "stream/sse_filters.h"
#include "stream/sse_stream_private.h"

APLOG_USE_MODULE(sse);

/* A client that reaches a child which is leaving comes back after this. */
#define LEAVING_RETRY_MSEC 500

static struct {
    sse_loop_t *loop; /* const after child_init */
    int is_async;     /* likewise */
} child;

void sse_open_init(sse_loop_t *loop, int is_async)
{
    child.loop = loop;
    child.is_async = is_async;
    sse_async_init(loop);
    sse_splice_init(loop,
                    is_async && sse_conf_any_http2_splice(ap_server_conf));
    sse_streams_init(loop);
}

void sse_open_opts(request_rec *r, sse_stream_opts_t *opts)
{
    opts->heartbeat = sse_conf_heartbeat(r);
    opts->retry = sse_conf_retry(r);
    opts->dead_peer = sse_conf_dead_peer(r);
    opts->max_age = sse_conf_max_age(r);
    opts->queue_bytes = (apr_size_t)sse_conf_queue_bytes(r);
    opts->queue_drop = sse_conf_queue_drop(r);
    opts->queue_time = sse_conf_queue_time(r);
    opts->half_keep = sse_conf_half_close_keep(r) && sse_conn_may_half_close(r);
}

/* -- The head -------------------------------------------------------------- */

/* httpd would have to read it on the loop, to find the next request. */
static int has_body(request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    return apr_table_get(r->headers_in, "Transfer-Encoding") ||
           (length && strcmp(length, "0"));
}

void sse_open_head(request_rec *r, const sse_format_t *format)
{
    const char *const *header;

    ap_set_content_type(r, format->content_type);
    for (header = format->headers; *header; header += 2) {
        apr_table_setn(r->headers_out, header[0], header[1]);
    }
    apr_table_unset(r->headers_out, "Content-Length");
    if (has_body(r)) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
}

/* Takes over the reference.  The handler's thread may block: FLUSH goes all the
 * way down. */
static apr_status_t send_buf(request_rec *r, sse_buf_t *buf)
{
    apr_bucket_alloc_t *list = r->connection->bucket_alloc;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, list);
    apr_status_t rv;

    APR_BRIGADE_INSERT_TAIL(bb, sse_buf_bucket(buf, list));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(list));
    rv = ap_pass_brigade(r->output_filters, bb);
    apr_brigade_destroy(bb);
    return sse_conn_is_aborted(r->connection) ? APR_ECONNABORTED : rv;
}

/* -- The stream ------------------------------------------------------------ */

/* The first one in a child is a notice. */
static void tell_of_filter(request_rec *r, const char *name)
{
    static int told; /* atomic */
    int level = sse_atomic_cas(&told, 0, 1) ? APLOG_NOTICE : APLOG_INFO;

    ap_log_rerror(APLOG_MARK, level, 0, r,
                  "the stream occupies a thread, as its output filter %s may "
                  "block. If the filter never does, name it in SSETrustFilter",
                  name);
}

/* The MPM must give the connection up, and the request be the connection's own:
 * what ap_internal_redirect() or a subrequest runs cannot be suspended.  An
 * HTTP/2 stream has no socket: it must run so that it can be spliced. */
static int is_suspendable(request_rec *r)
{
    conn_rec *c = r->connection;

    if (!child.is_async || r->main || r->prev) {
        return 0;
    }
    return c->master ? sse_splice_may(r) : c->cs && !c->clogging_input_filters;
}

/* And it must not run a filter that may block. */
static int may_suspend(request_rec *r)
{
    const char *waiting;

    if (!is_suspendable(r)) {
        return 0;
    }
    waiting = sse_filters_waiting(r);
    if (waiting) {
        tell_of_filter(r, waiting);
    }
    return !waiting;
}

static const sse_drive_t *drive_for(request_rec *r)
{
    if (!may_suspend(r)) {
        if (child.is_async && r->connection->master) {
            sse_splice_tell(r);
        }
        return &sse_wait_drive;
    }
    return r->connection->master ? &sse_splice_drive : &sse_async_drive;
}

/* stream_open may send already. */
static void prepare_drive(sse_stream_t *stream)
{
    if (stream->drive == &sse_async_drive) {
        sse_async_prepare(stream);
    }
    else if (stream->drive == &sse_splice_drive) {
        sse_splice_prepare(stream);
    }
    else {
        sse_wait_prepare(stream);
    }
}

static sse_stream_t *create(request_rec *r, const sse_stream_plan_t *plan,
                            const sse_quota_claim_t *claim)
{
    sse_stream_t *stream = calloc(1, sizeof(*stream));

    if (!stream) {
        abort();
    }
    stream->refs = 1;
    stream->r = r;
    stream->server = r->server;
    stream->loop = child.loop;
    stream->opts = plan->opts;
    stream->format = plan->format;
    stream->source = plan->source;
    stream->source_baton = plan->baton;
    stream->ready = plan->ready;
    stream->can_poll = plan->can_poll;
    stream->poll = plan->poll;
    if (plan->now) {
        apr_snprintf(stream->now, sizeof(stream->now), "%" APR_UINT64_T_FMT,
                     plan->now);
    }
    stream->ready_baton = plan->ready_baton;
    stream->opened = apr_time_now();
    stream->began = uv_hrtime();
    stream->claim = *claim;
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->cond, NULL);
    stream->bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    stream->drive = drive_for(r);
    sse_stream_init_tasks(stream);
    prepare_drive(stream);
    sse_stream_log_prepare(r);
    stream->notes = sse_notes_create(r, plan->channels);
    stream->seal = sse_seal_add(r);
    stream->callbacks = sse_callbacks_of(r, child.loop);
    sse_callbacks_acquire(stream->callbacks);
    sse_callbacks_set_stream(stream->callbacks, plan->keys, plan->n_keys);
    return stream;
}

static int run(sse_stream_t *stream, int is_open)
{
    request_rec *r = stream->r;

    sse_leave_count_up();
    sse_stream_count_opened(stream);
    if (!is_open) {
        sse_listeners_opened(stream, r);
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "stream %s open on %s",
                  stream->notes->id, apr_table_get(r->notes, "sse-channel"));
    if (r->handler) {
        sse_splice_handler_add(r->handler);
    }
    if (stream->drive == &sse_async_drive) {
        return sse_async_run(stream);
    }
    if (stream->drive == &sse_splice_drive) {
        return sse_splice_run(stream);
    }
    sse_wait_run(stream);
    return OK;
}

/* No stream is opened, and nobody is told of one. */
static int give_up(request_rec *r, const sse_stream_plan_t *plan)
{
    plan->source->on_ended(NULL, plan->baton);
    r->connection->aborted = 1;
    return OK;
}

/* Callbacks never run on the loop, so their threads must exist before anything
 * opens. */
static int reserve_threads(request_rec *r, const sse_stream_plan_t *plan)
{
    static sse_complaint_t complaint;
    apr_status_t rv = sse_notify_reserve();

    if (rv == APR_SUCCESS && plan->ready) {
        rv = sse_workers_reserve(SSE_WORKERS_READY);
    }
    if (rv == APR_SUCCESS) {
        return OK;
    }
    if (sse_complain_is_due(&complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      "cannot create a thread for callbacks; a stream is "
                      "answered 503: see the limits on threads (TasksMax of "
                      "systemd's unit, RLIMIT_NPROC of the user, the cgroup's "
                      "pids.max). Not logged again for a minute");
    }
    sse_counters_add(SSE_COUNTER_REFUSED_CALLBACKS, 1);
    apr_table_setn(r->err_headers_out, "Retry-After", SSE_RETRY_AFTER);
    apr_table_setn(r->notes, "sse-refused", "callbacks");
    return HTTP_SERVICE_UNAVAILABLE;
}

static int is_gone(request_rec *r, const sse_stream_plan_t *plan, int fd)
{
    return sse_conn_is_aborted(r->connection) ||
           (fd >= 0 &&
            sse_peer_look(fd, plan->opts.half_keep) != SSE_CLOSE_NONE);
}

/* Nothing to come back for: no Retry-After. */
static int refuse_http2(request_rec *r)
{
    if (!r->header_only) {
        sse_counters_add(SSE_COUNTER_REFUSED_HTTP2, 1);
    }
    apr_table_setn(r->notes, "sse-refused", "SSEHTTP2");
    return HTTP_SERVICE_UNAVAILABLE;
}

int sse_open_check_http2(request_rec *r)
{
    conn_rec *c = r->connection->master;

    if (!c) {
        return OK;
    }
    if (!ap_is_allowed_protocol(c, r, r->server, ap_get_protocol(c))) {
        return HTTP_MISDIRECTED_REQUEST;
    }
    return sse_conf_http2(r->server) == SSE_HTTP2_OFF ? refuse_http2(r) : OK;
}

/* No stream: the client is to come back, maybe to another child. */
static int send_away(request_rec *r, const sse_stream_plan_t *plan,
                     apr_int64_t retry, sse_id_t upto)
{
    sse_goodbye_t how = {retry, upto, 0, plan->poll.last, 1};

    plan->source->on_ended(NULL, plan->baton);
    sse_open_head(r, plan->format);
    r->connection->keepalive = AP_CONN_CLOSE;
    send_buf(r, plan->format->goodbye(&how));
    return OK;
}

static sse_thread_e take_thread(request_rec *r, const sse_stream_plan_t *plan,
                                sse_thread_t *thread)
{
    conn_rec *c = r->connection->master;
    sse_conn_record_t *record = c ? sse_conn_record(c) : NULL;

    memset(thread, 0, sizeof(*thread));
    if (is_suspendable(r) && !sse_filters_waiting(r)) {
        return SSE_THREAD_NONE;
    }
    return sse_threads_take(r, record ? &record->threads : NULL, plan->can_poll,
                            plan->poll.limit != 0, thread);
}

/* What its source needs besides, now that it is sure to open. */
static int begin(request_rec *r, const sse_stream_plan_t *plan,
                 sse_quota_claim_t *claim, sse_thread_t *thread)
{
    int rv = plan->begin ? plan->begin(r, plan->baton) : OK;

    if (rv != OK) {
        sse_limits_give_back(claim);
        sse_threads_give_back(thread, 0);
        plan->source->on_ended(NULL, plan->baton);
    }
    return rv;
}

/* @return OK, or the status to answer with; DONE: it has been answered */
static int take(request_rec *r, const sse_stream_plan_t *plan,
                sse_quota_claim_t *claim, sse_thread_t *thread, int *polls)
{
    int rv = reserve_threads(r, plan);

    if (rv == OK) {
        *polls = plan->poll.limit != 0;
        rv = sse_limits_take(r, polls, claim);
    }
    if (rv != OK) {
        plan->source->on_ended(NULL, plan->baton);
        return rv;
    }
    switch (take_thread(r, plan, thread)) {
    case SSE_THREAD_BUSY:
        sse_limits_give_back(claim);
        /* In one to three seconds. */
        send_away(r, plan, 1000 + apr_time_now() % 2000, plan->now);
        return DONE;
    case SSE_THREAD_REFUSED:
        sse_limits_give_back(claim);
        plan->source->on_ended(NULL, plan->baton);
        apr_table_setn(r->err_headers_out, "Retry-After", SSE_RETRY_AFTER);
        return HTTP_SERVICE_UNAVAILABLE;
    default:
        return begin(r, plan, claim, thread);
    }
}

/* Filters may have come or gone with the head.  The stream keeps what was taken
 * if it does occupy a thread. */
static void settle_thread(sse_stream_t *stream, sse_thread_t *thread, int polls)
{
    if (stream->drive != &sse_wait_drive) {
        sse_threads_give_back(thread, 0);
        return;
    }
    if (thread->what == SSE_THREAD_NONE) {
        sse_threads_force(stream->r, thread);
    }
    stream->polls = stream->yields = polls || thread->what == SSE_THREAD_POLL;
    sse_threads_bind(thread, stream);
}

/* The client has reset this stream, and its connection lives. */
static int is_reset(conn_rec *c)
{
    int fd = c->master ? sse_conn_fd(c->master) : -1;

    return fd >= 0 && sse_conn_is_aborted(c) && !c->master->aborted &&
           sse_peer_look(fd, 0) == SSE_CLOSE_NONE;
}

/* Once the loop owns the request it may be destroyed at any time. */
static int open_stream(request_rec *r, const sse_stream_plan_t *plan,
                       const sse_quota_claim_t *claim, sse_thread_t *thread,
                       int is_open, int polls)
{
    sse_stream_t *stream = create(r, plan, claim);
    int rv;

    settle_thread(stream, thread, polls);
    stream->probing =
        r->connection->master ? NULL : &sse_conn_record(r->connection)->probing;
    sse_peer_probe(sse_stream_fd(stream), plan->opts.dead_peer,
                   stream->probing);
    rv = run(stream, is_open);
    if (thread->what != SSE_THREAD_NONE) {
        sse_threads_give_back(thread, is_reset(r->connection));
    }
    return rv;
}

static int start(request_rec *r, const sse_stream_plan_t *plan)
{
    sse_thread_t thread;
    sse_quota_claim_t claim;
    sse_buf_t *first;
    int is_open, polls, rv;

    if (is_gone(r, plan, sse_conn_fd(r->connection))) {
        return give_up(r, plan);
    }
    if (sse_leave_how() != SSE_STAY) {
        return send_away(r, plan, LEAVING_RETRY_MSEC,
                         plan->poll.limit ? plan->now : 0);
    }
    rv = sse_open_check_http2(r);
    if (rv != OK) {
        plan->source->on_ended(NULL, plan->baton);
        return rv;
    }
    rv = take(r, plan, &claim, &thread, &polls);
    if (rv != OK) {
        return rv == DONE ? OK : rv;
    }
    sse_open_head(r, plan->format);
    first = plan->format->first(apr_time_as_msec(plan->opts.retry));
    /* Up to here the request's watcher tells of its end. */
    if (send_buf(r, first) != APR_SUCCESS || !sse_watcher_disarm(r, &is_open)) {
        sse_limits_give_back(&claim);
        sse_threads_give_back(&thread, is_reset(r->connection));
        return give_up(r, plan);
    }
    return open_stream(r, plan, &claim, &thread, is_open, polls);
}

/* From here on a stop leaves all ends to the loop.  The request may have been
 * destroyed at the end, except where signals are held back. */
int sse_open_run(request_rec *r, const sse_stream_plan_t *plan)
{
    conn_rec *c = r->connection;
    int rv;

    sse_signals_hold();
    rv = start(r, plan);
    sse_signals_let_go_at_end(c);
    return rv;
}
