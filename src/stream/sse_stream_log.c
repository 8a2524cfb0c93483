/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_stream_log.c
 * The line that says how a stream ended.
 *
 * The log may be a pipe whose program has stopped reading, so the loop does not
 * write to it: a worker does, while the end is being told, so that the end is
 * logged even if a listener never returns.  The request is pinned meanwhile.
 *
 * To log, httpd makes an id in the request's pool, which a listener may be
 * doing at the same time.  So the id is made when the stream opens; where
 * ErrorLogFormat forbids that, whoever ends the request logs, after all
 * listeners.
 */

#include "stream/sse_stream_private.h"

#include <http_core.h>
#include <http_log.h>

#include "loop/sse_log.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* How many requests may wait for a log that blocks: more than end at once while
 * it does not, fewer than would exhaust the child's memory.  The ends of others
 * are in the access log only. */
#define WAITING_MOST 10000

static apr_uint32_t waiting; /* atomic */

void sse_stream_log_prepare(request_rec *r)
{
    request_rec *first = r->main ? r->main : r;
    conn_rec *c = r->connection;
    const core_server_config *conf =
        ap_get_core_module_config(r->server->module_config);

    if (!APLOG_R_IS_LEVEL(r, APLOG_INFO) ||
        (conf->error_log_req && conf->error_log_req->nelts) ||
        (conf->error_log_conn && conf->error_log_conn->nelts)) {
        return;
    }
    if (!c->log_id) {
        ap_run_generate_log_id(c, NULL, &c->log_id);
    }
    if (!first->log_id) {
        ap_run_generate_log_id(c, first, &first->log_id);
    }
}

static void log_end(const sse_stream_t *stream)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, stream->status, stream->r,
                  "stream %s ended: %s, %s events", stream->notes->id,
                  stream->notes->reason, stream->notes->events);
}

/* Worker. */
static void run_log(sse_job_t *job)
{
    sse_stream_t *stream = sse_owner_of(job, sse_stream_t, log_job);

    log_end(stream);
    sse_atomic_sub(&waiting, 1);
    sse_callbacks_unpin(stream->callbacks);
    sse_stream_release(stream);
}

/* @return whether a worker will log it, or nobody */
static int log_soon(sse_stream_t *stream)
{
    const request_rec *r = stream->r, *first = r->main ? r->main : r;

    if (sse_atomic_load(&waiting) >= WAITING_MOST) {
        sse_log_drop();
        return 1;
    }
    if (!r->connection->log_id || !first->log_id ||
        !sse_callbacks_pin(stream->callbacks)) {
        return 0;
    }
    sse_stream_acquire(stream);
    stream->log_job.run = run_log;
    sse_atomic_add(&waiting, 1);
    if (sse_workers_try(SSE_WORKERS_LOG, &stream->log_job) == APR_SUCCESS) {
        return 1;
    }
    sse_atomic_sub(&waiting, 1);
    sse_callbacks_unpin(stream->callbacks);
    sse_stream_release(stream);
    return 0;
}

void sse_stream_log_end(sse_stream_t *stream)
{
    if (APLOG_R_IS_LEVEL(stream->r, APLOG_INFO)) {
        stream->log_late = !log_soon(stream);
    }
}

void sse_stream_log_late(const sse_stream_t *stream)
{
    if (stream->log_late) {
        log_end(stream);
    }
}
