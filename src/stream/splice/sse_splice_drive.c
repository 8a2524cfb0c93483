/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_drive.c
 * The drive of spliced streams: events go down the shadow's chain on the loop,
 * as those of an asynchronous connection do, and wait behind it until the
 * connection's owner has put them into frames and written these out.
 *
 * Threads: the loop's, except where tagged.
 */

#include "stream/splice/sse_splice_private.h"

#include <http_log.h>

#include "config/sse_config.h"
#include "process/sse_thread.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* What a socket whose buffer is empty takes at once. */
#define SURE_BYTES (16 * 1024)
/* RFC 9113, 7. */
#define CANCEL         8
#define INTERNAL_ERROR 2

static sse_shadow_t *shadow_of(const sse_stream_t *stream)
{
    return stream->shadow;
}

static int is_writing(const sse_stream_t *stream)
{
    return (stream->phase == SSE_PHASE_OPEN ||
            stream->phase == SSE_PHASE_DRAINING) &&
           !sse_atomic_load(&stream->is_dead);
}

/* Nothing of it waits behind its chain.  An MPM thread may be writing, even
 * some of what the chain has passed so far while more is on its way.
 * @param is_written out: what did wait has been written out since the last look
 */
static int is_flushed(sse_shadow_t *shadow, int *is_written)
{
    int flushed;

    pthread_mutex_lock(&shadow->conn->lock);
    flushed = !shadow->is_passed && !sse_splice_waits(shadow);
    *is_written = flushed && shadow->is_written;
    if (flushed) {
        shadow->is_written = 0;
    }
    pthread_mutex_unlock(&shadow->conn->lock);
    return flushed;
}

static apr_status_t pass(sse_stream_t *stream)
{
    apr_bucket_brigade *bb = stream->bb;
    apr_status_t rv;

    sse_stream_written(stream);
    APR_BRIGADE_INSERT_TAIL(
        bb, stream->has_last ? apr_bucket_eos_create(bb->bucket_alloc)
                             : apr_bucket_flush_create(bb->bucket_alloc));
    rv = ap_pass_brigade(stream->r->output_filters, bb);
    apr_brigade_cleanup(bb);
    return rv;
}

/* A filter has kept all that was passed, or a thread has written it already. */
static void go_on_if_flushed(sse_stream_t *stream)
{
    sse_shadow_t *shadow = shadow_of(stream);
    int is_written;

    if (is_flushed(shadow, &is_written)) {
        pthread_mutex_lock(&shadow->conn->lock);
        shadow->is_written = 1;
        pthread_mutex_unlock(&shadow->conn->lock);
        sse_stream_poke(stream);
    }
}

/* One piece at a time: the next one when it has been written out. */
static void write_queue(sse_stream_t *stream)
{
    apr_size_t taken;
    apr_status_t rv;

    sse_stream_poll_look(stream);
    taken = sse_stream_take(stream, stream->bb);
    if (!taken) {
        sse_stream_drained(stream);
        return;
    }
    if (stream->has_last && taken <= SURE_BYTES) {
        /* Its client may be back before the write has returned. */
        sse_limits_give_back(&stream->claim);
    }
    rv = pass(stream);
    if (rv != APR_SUCCESS) {
        sse_stream_broken(stream, SSE_CLOSE_WRITE_ERROR, rv);
        return;
    }
    sse_splice_kick(shadow_of(stream)->conn);
    go_on_if_flushed(stream);
}

void sse_splice_on_written(sse_shadow_t *shadow)
{
    sse_stream_t *stream = shadow->stream;
    int is_written, flushed = is_flushed(shadow, &is_written);

    if (!is_writing(stream)) {
        return;
    }
    if (is_written) {
        sse_stream_moved(stream);
        sse_stream_wrote(stream, 1);
        if (stream->has_last) {
            sse_limits_give_back(&stream->claim);
        }
    }
    if (flushed) {
        write_queue(stream);
    }
}

static void on_kick(sse_task_t *task)
{
    sse_stream_t *stream = sse_owner_of(task, sse_stream_t, kick_task);
    sse_shadow_t *shadow = shadow_of(stream);

    if (shadow) {
        sse_splice_on_written(shadow);
    }
    sse_stream_release(stream);
}

/* The client has reset it, or mod_http2 has. */
static void on_over(sse_task_t *task)
{
    sse_stream_t *stream = sse_owner_of(task, sse_stream_t, input_task);
    sse_shadow_t *shadow = shadow_of(stream);

    if (shadow) {
        if (shadow->is_attached) { /* until then it is the request thread's */
            shadow->c->aborted = 1;
        }
        sse_stream_broken(stream, shadow->why, APR_ECONNRESET);
    }
    sse_stream_release(stream);
}

static apr_status_t splice_attach(sse_stream_t *stream)
{
    stream->seal->is_open = 1; /* nobody else writes from now on */
    stream->r->connection->current_thread = sse_thread_here();
    sse_splice_attached(shadow_of(stream));
    return APR_SUCCESS;
}

static void splice_kick(sse_stream_t *stream)
{
    sse_stream_post(stream, &stream->kick_task);
}

static int splice_cut(sse_stream_t *stream)
{
    sse_shadow_t *shadow = shadow_of(stream);

    shadow->c->aborted = 1;
    sse_splice_conn_cut(shadow, sse_stream_reason(stream) == SSE_CLOSE_ERROR
                                    ? INTERNAL_ERROR
                                    : CANCEL);
    return 0;
}

/* Worker. */
static void end_request(sse_job_t *job)
{
    sse_shadow_t *shadow = sse_owner_of(job, sse_shadow_t, job);
    sse_stream_t *stream = shadow->stream;

    sse_stream_log_late(stream);
    sse_seal_warn(shadow->r, stream->seal);
    apr_brigade_cleanup(stream->bb);
    sse_shadow_destroy(shadow);
}

/* One that had nothing more to write when its end came has not passed its EOS,
 * for which a filter may have kept some bytes. */
static void pass_end(sse_stream_t *stream)
{
    if (!stream->has_last) {
        stream->has_last = 1;
        APR_BRIGADE_INSERT_TAIL(
            stream->bb, apr_bucket_eos_create(stream->bb->bucket_alloc));
        ap_pass_brigade(stream->r->output_filters, stream->bb);
        apr_brigade_cleanup(stream->bb);
    }
}

static int ends_well(const sse_stream_t *stream)
{
    return sse_reason_drains(sse_stream_reason(stream)) &&
           !stream->r->connection->aborted &&
           !sse_atomic_load(&stream->is_dead);
}

/* From here on the stream has no request. */
static void splice_finish(sse_stream_t *stream)
{
    sse_shadow_t *shadow = shadow_of(stream);

    if (ends_well(stream)) {
        pass_end(stream);
        sse_splice_conn_end(shadow);
    }
    else {
        sse_splice_conn_cut(shadow, CANCEL);
    }
    stream->shadow = NULL;
    shadow->job.run = end_request;
    sse_workers_do_soon(&shadow->job);
}

/* What counts of a client that reads slowly: what has gone to the connection,
 * and while some of it is there, what its machine acknowledges. */
static apr_uint64_t splice_progress(sse_stream_t *stream)
{
    sse_shadow_t *shadow = shadow_of(stream);
    apr_uint64_t progress;
    int is_passed;

    pthread_mutex_lock(&shadow->conn->lock);
    progress = (apr_uint64_t)shadow->bytes;
    is_passed = shadow->is_passed;
    pthread_mutex_unlock(&shadow->conn->lock);
    return is_passed ? progress + sse_peer_acknowledged(shadow->conn->fd)
                     : progress;
}

const sse_drive_t sse_splice_drive = {
    0, splice_attach, splice_kick, splice_cut, splice_finish, splice_progress};

/* -- Request thread -------------------------------------------------------- */

void sse_splice_prepare(sse_stream_t *stream)
{
    stream->kick_task.run = on_kick;
    stream->input_task.run = on_over;
}

int sse_splice_may(request_rec *r)
{
    sse_shadow_t *shadow = sse_shadow_of(r->connection);

    return shadow && !r->main && !r->prev &&
           sse_splice_conn_may_add(shadow->conn, shadow->id) ==
               SSE_FRAMES_ADDED;
}

void sse_splice_tell(request_rec *r)
{
    sse_shadow_t *shadow = sse_shadow_of(r->connection);
    int why = SSE_FRAMES_ADDED;

    if (sse_conf_http2(r->server) != SSE_HTTP2_SPLICE || r->main || r->prev) {
        return;
    }
    if (shadow) {
        why = (int)sse_splice_conn_may_add(shadow->conn, shadow->id);
    }
    else {
        why = sse_splice_conn_of(r->connection->master) ? SSE_SPLICE_NO_SHADOW
                                                        : SSE_SPLICE_NO_CONN;
    }
    sse_splice_tell_of_thread(r, why);
}

int sse_splice_run(sse_stream_t *stream)
{
    sse_shadow_t *shadow = sse_shadow_of(stream->r->connection);

    stream->shadow = shadow;
    shadow->stream = stream;
    if (!sse_splice_conn_add(shadow) && shadow->why != SSE_CLOSE_NONE) {
        sse_stream_post(stream, &stream->input_task);
    }
    return SUSPENDED;
}

void sse_splice_attach(sse_shadow_t *shadow, int is_suspended)
{
    sse_stream_t *stream = shadow->stream;

    if (!is_suspended) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, stream->r,
                      "stream %s is over before it began: its handler must "
                      "return what sse_start() returned",
                      stream->notes->id);
        stream->seal->is_error_page = 1;
        sse_stream_end(stream, SSE_CLOSE_ERROR, APR_EGENERAL);
    }
    sse_loop_post(stream->loop, &stream->attach_task);
}

void sse_splice_register(void)
{
    sse_shadow_register();
    sse_splice_conn_register();
    sse_splice_filter_register();
    sse_splice_request_register();
}
