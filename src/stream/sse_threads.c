/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/sse_threads.h"

#include <http_log.h>
#include <pthread.h>
#include <string.h>

#include "config/sse_config.h"
#include "config/sse_mpm.h"
#include "loop/sse_complain.h"
#include "shared/sse_counters.h"
#include "stream/sse_stream.h"

APLOG_USE_MODULE(sse);

/* How many requests of a new connection mod_http2 serves at a time, and at
 * least (h2_mplx.c).  Later it may serve more, which is not relied on. */
#define AT_FIRST 6
#define AT_LEAST 2
/* How many of those are kept for pages, and for streams that only poll. */
#define FOR_PAGES 2
/* How long mod_http2 keeps a limit before it raises it. */
#define CHANGE_EVERY apr_time_from_msec(100)

static struct {
    pthread_mutex_t lock;
    int mpm;   /* lock: the MPM's threads that streams hold */
    int http2; /* lock: mod_http2's */
    int polls; /* lock: held for a moment */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* -- How many there may be ------------------------------------------------- */

static int mpm_share(const server_rec *s)
{
    return sse_conf_max_threads(s, sse_mpm()->threads);
}

/* One is always left: with all of them held no client could even leave. */
static int http2_share(const server_rec *s)
{
    int threads = sse_mpm()->h2_threads;
    int most = threads > 2 ? threads - 1 : 1;
    int share = sse_conf_max_threads_http2(s, threads);

    return share < most ? share : most;
}

/* Half of what the streams that stay leave. */
static int poll_share(const server_rec *s)
{
    int mpm = (sse_mpm()->threads - mpm_share(s)) / 2;
    int http2 = (sse_mpm()->h2_threads - http2_share(s)) / 2;
    int n = sse_mpm()->h2_threads && http2 < mpm ? http2 : mpm;

    return n > 1 ? n : 1;
}

static int conn_share(const sse_threads_conn_t *conn)
{
    return conn->at_a_time > FOR_PAGES ? conn->at_a_time - FOR_PAGES : 1;
}

/* -- Taking: under the lock ------------------------------------------------ */

static sse_thread_e take_poll(const server_rec *s, int can_poll)
{
    if (!can_poll) {
        return SSE_THREAD_REFUSED;
    }
    if (all.polls >= poll_share(s)) {
        return SSE_THREAD_BUSY;
    }
    ++all.polls;
    return SSE_THREAD_POLL;
}

static sse_thread_e take_http2(const server_rec *s, sse_thread_t *thread)
{
    sse_threads_conn_t *conn = thread->conn;

    if (conn->held >= conn_share(conn) || all.http2 >= http2_share(s) ||
        (!conn->held && all.mpm >= mpm_share(s))) {
        return take_poll(s, thread->can_poll);
    }
    ++all.http2;
    all.mpm += !conn->held;
    ++conn->held;
    TAILQ_INSERT_HEAD(&conn->threads, thread, link);
    return SSE_THREAD_HELD;
}

static sse_thread_e take_mpm(const server_rec *s)
{
    if (all.mpm >= mpm_share(s)) {
        return SSE_THREAD_REFUSED;
    }
    ++all.mpm;
    return SSE_THREAD_HELD;
}

/* -- Counting and logging -------------------------------------------------- */

static const char *advice(const server_rec *s, const sse_thread_t *thread)
{
    if (!thread->conn) {
        return "Have more threads (MaxRequestWorkers, ThreadsPerChild), or use "
               "the event MPM and no output filters that may block";
    }
    if (!sse_mpm()->is_async) {
        return "With the event MPM streams over HTTP/2 occupy none";
    }
    return sse_conf_http2(s) == SSE_HTTP2_SPLICE
               ? "The first one in each child that occupied one was logged, "
                 "with the reason"
               : "With SSEHTTP2 splice streams occupy none";
}

/* Only if the child's share is used up, not that of a single connection. */
static void complain(request_rec *r, const sse_thread_t *thread)
{
    static sse_complaint_t complaint;
    int mpm, http2;

    pthread_mutex_lock(&all.lock);
    mpm = all.mpm;
    http2 = all.http2;
    pthread_mutex_unlock(&all.lock);
    if ((http2 < http2_share(r->server) && mpm < mpm_share(r->server)) ||
        !sse_complain_is_due(&complaint)) {
        return;
    }
    ap_log_rerror(
        APLOG_MARK, APLOG_WARNING, 0, r,
        "SSEMaxThreads: streams occupy as many of this child's threads as they "
        "may (%d of the MPM's %d, %d of mod_http2's %d); further ones %s. %s. "
        "Not logged again for a minute",
        mpm, sse_mpm()->threads, http2, sse_mpm()->h2_threads,
        thread->what == SSE_THREAD_REFUSED ? "are answered 503"
                                           : "get their events by polling",
        advice(r->server, thread));
}

/* What it got, counted. */
static sse_thread_e note(request_rec *r, const sse_thread_t *thread)
{
    if (thread->what == SSE_THREAD_HELD) {
        sse_counters_add(SSE_COUNTER_THREADS, 1);
        return thread->what;
    }
    if (thread->what == SSE_THREAD_POLL) {
        sse_counters_add(SSE_COUNTER_POLLED, 1);
    }
    else {
        sse_counters_add(SSE_COUNTER_REFUSED_THREADS, 1);
        apr_table_setn(r->notes, "sse-refused", "SSEMaxThreads");
    }
    complain(r, thread);
    return thread->what;
}

/* -- Interface ------------------------------------------------------------- */

void sse_threads_init_conn(sse_threads_conn_t *conn)
{
    conn->at_a_time = AT_FIRST;
    TAILQ_INIT(&conn->threads);
}

sse_thread_e sse_threads_take(request_rec *r, sse_threads_conn_t *conn,
                              int can_poll, int is_long, sse_thread_t *thread)
{
    memset(thread, 0, sizeof(*thread));
    thread->conn = conn;
    thread->can_poll = can_poll;
    thread->began = apr_time_now();
    pthread_mutex_lock(&all.lock);
    thread->what = conn ? take_http2(r->server, thread) : take_mpm(r->server);
    if (thread->what == SSE_THREAD_REFUSED && is_long) {
        thread->what = take_poll(r->server, can_poll);
    }
    pthread_mutex_unlock(&all.lock);
    return note(r, thread);
}

sse_thread_e sse_threads_force(request_rec *r, sse_thread_t *thread)
{
    memset(thread, 0, sizeof(*thread));
    pthread_mutex_lock(&all.lock);
    thread->what = take_mpm(r->server);
    if (thread->what == SSE_THREAD_REFUSED) {
        ++all.polls;
        thread->what = SSE_THREAD_POLL;
    }
    pthread_mutex_unlock(&all.lock);
    return note(r, thread);
}

void sse_threads_bind(sse_thread_t *thread, sse_stream_t *stream)
{
    pthread_mutex_lock(&all.lock);
    thread->stream = sse_stream_acquire(stream);
    pthread_mutex_unlock(&all.lock);
}

int sse_threads_at_a_time(sse_threads_conn_t *conn)
{
    int n;

    pthread_mutex_lock(&all.lock);
    n = conn->at_a_time;
    pthread_mutex_unlock(&all.lock);
    return n;
}

/* -- mod_http2's limit: under the lock ---------------------------------- */

/* s_mplx_be_happy(): doubled when a request that began after the last change
 * has ended well. */
static void more_at_a_time(sse_threads_conn_t *conn, const sse_thread_t *thread,
                           apr_time_t now)
{
    if (conn->at_a_time < AT_FIRST && thread->began > conn->changed &&
        now - conn->changed >= CHANGE_EVERY) {
        conn->at_a_time =
            conn->at_a_time * 2 < AT_FIRST ? conn->at_a_time * 2 : AT_FIRST;
        conn->changed = now;
    }
}

/* The youngest stream too many, with a reference.  There are too many when they
 * leave none of what is served at a time for pages. */
static sse_stream_t *find_surplus(sse_threads_conn_t *conn)
{
    int surplus = conn->held - (conn->at_a_time - 1);
    sse_thread_t *thread;

    TAILQ_FOREACH(thread, &conn->threads, link) { surplus -= thread->is_told; }
    TAILQ_FOREACH(thread, &conn->threads, link)
    {
        if (surplus > 0 && !thread->is_told && thread->can_poll &&
            thread->stream) {
            thread->is_told = 1;
            return sse_stream_acquire(thread->stream);
        }
    }
    return NULL;
}

/* Not under the lock: a stream's thread may be giving back. */
static void end_surplus(sse_threads_conn_t *conn)
{
    sse_stream_t *stream;

    do {
        pthread_mutex_lock(&all.lock);
        stream = find_surplus(conn);
        pthread_mutex_unlock(&all.lock);
        if (stream) {
            sse_stream_poll(stream);
            sse_stream_release(stream);
        }
    } while (stream);
}

static void give_back_http2(sse_thread_t *thread, int is_reset)
{
    sse_threads_conn_t *conn = thread->conn;
    apr_time_t now = apr_time_now();

    if (thread->what == SSE_THREAD_HELD) {
        TAILQ_REMOVE(&conn->threads, thread, link);
        --all.http2;
        --conn->held;
        all.mpm -= !conn->held;
    }
    if (is_reset) {
        /* m_be_annoyed(): 6, 4, 2.  mod_http2 may lower it less often. */
        conn->at_a_time = conn->at_a_time > 4 ? 4 : AT_LEAST;
        conn->changed = now;
    }
    else {
        more_at_a_time(conn, thread, now);
    }
}

void sse_threads_give_back(sse_thread_t *thread, int is_reset)
{
    if (thread->what != SSE_THREAD_HELD && thread->what != SSE_THREAD_POLL) {
        return;
    }
    pthread_mutex_lock(&all.lock);
    all.polls -= thread->what == SSE_THREAD_POLL;
    if (thread->conn) {
        give_back_http2(thread, is_reset);
    }
    else {
        all.mpm -= thread->what == SSE_THREAD_HELD;
    }
    pthread_mutex_unlock(&all.lock);
    if (thread->what == SSE_THREAD_HELD) {
        sse_counters_add(SSE_COUNTER_THREADS, -1);
    }
    if (thread->conn && is_reset) {
        end_surplus(thread->conn);
    }
    thread->what = SSE_THREAD_NONE;
    if (thread->stream) {
        sse_stream_release(thread->stream);
        thread->stream = NULL;
    }
}
