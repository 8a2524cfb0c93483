/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/wait/sse_h2_requests.h"

#include <apr_optional.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_protocol.h>
#include <mod_http2.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>
#include <util_filter.h>

#include "config/sse_mpm.h"
#include "conn/sse_conn.h"
#include "sse_atomic.h"
#include "stream/sse_conn_record.h"
#include "stream/wait/sse_h2_frames.h"

/* A request is stranded if at so many looks in a row one waits and none has
 * begun.  A single long wait shows nothing: the whole process may have been
 * suspended. */
#define LOOK_EVERY_MSEC 125
#define LOOKS           5
/* How many waiting requests of a connection are remembered; mod_http2 lets a
 * client open 100 streams (H2MaxSessionStreams). */
#define MOST_WAITING 100

struct sse_h2_conn_t {
    sse_h2_frames_t frames; /* the connection's thread's */
    sse_conn_record_t *own; /* const */
    int running;            /* lock: requests that have begun */
    int blamed;             /* lock: streams that have yielded for it */
    int count;              /* lock: requests that wait */
    apr_uint32_t *waiting;  /* lock: their ids */
    TAILQ_ENTRY(sse_h2_conn_t) link; /* lock */
};

static struct {
    pthread_mutex_t lock;
    TAILQ_HEAD(, sse_h2_conn_t) conns; /* lock */
    int waiting;         /* atomic, changed under the lock: requests that have
                            come and not begun */
    apr_uint32_t looked; /* atomic: time of the last look, in ms */
    int stranded;        /* lock: looks in a row at which one seemed stranded */
    int has_begun;       /* lock: one has begun since the last look */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER,
         .conns = TAILQ_HEAD_INITIALIZER(all.conns)};

typedef APR_OPTIONAL_FN_TYPE(http2_var_lookup) lookup_fn;

static ap_filter_rec_t *filter; /* const */
static lookup_fn *lookup;       /* const in children; NULL: no mod_http2 */

/* -- What waits: under the lock -------------------------------------------- */

static void forget(sse_h2_conn_t *conn, int i)
{
    conn->waiting[i] = conn->waiting[--conn->count];
    if (sse_atomic_sub(&all.waiting, 1) == 0) {
        all.stranded = 0;
    }
}

static void forget_id(sse_h2_conn_t *conn, apr_uint32_t id)
{
    int i;

    for (i = 0; i < conn->count; ++i) {
        if (conn->waiting[i] == id) {
            forget(conn, i);
            return;
        }
    }
}

/* Whether a request waits although mod_http2 would let it begin.  If as many
 * streams have yielded as there are threads, it waits for something else. */
static int is_stranded(int blame)
{
    sse_h2_conn_t *conn;
    int found = 0;

    TAILQ_FOREACH(conn, &all.conns, link)
    {
        if (conn->count && conn->blamed < sse_mpm()->h2_threads &&
            conn->running < sse_threads_at_a_time(&conn->own->threads)) {
            conn->blamed += blame;
            found = 1;
        }
    }
    return found;
}

/* -- What comes ------------------------------------------------------------ */

static apr_status_t on_gone(void *baton)
{
    sse_h2_conn_t *conn = baton;

    pthread_mutex_lock(&all.lock);
    while (conn->count) {
        forget(conn, 0);
    }
    TAILQ_REMOVE(&all.conns, conn, link);
    pthread_mutex_unlock(&all.lock);
    return APR_SUCCESS;
}

static void on_preface(conn_rec *c, sse_h2_conn_t *conn)
{
    conn->own = sse_conn_record(c);
    conn->waiting = apr_palloc(c->pool, MOST_WAITING * sizeof(*conn->waiting));
    pthread_mutex_lock(&all.lock);
    TAILQ_INSERT_HEAD(&all.conns, conn, link);
    conn->own->h2 = conn;
    pthread_mutex_unlock(&all.lock);
    apr_pool_cleanup_register(c->pool, conn, on_gone, apr_pool_cleanup_null);
}

static void on_request(sse_h2_conn_t *conn, apr_uint32_t id)
{
    pthread_mutex_lock(&all.lock);
    if (conn->count < MOST_WAITING) {
        conn->waiting[conn->count++] = id;
        sse_atomic_add(&all.waiting, 1);
    }
    pthread_mutex_unlock(&all.lock);
}

static void on_reset(sse_h2_conn_t *conn, apr_uint32_t id)
{
    pthread_mutex_lock(&all.lock);
    forget_id(conn, id);
    pthread_mutex_unlock(&all.lock);
}

/* @return whether to read on */
static int read_bytes(conn_rec *c, sse_h2_conn_t *conn, const char *bytes,
                      apr_size_t len)
{
    apr_uint32_t id;

    while (len) {
        switch (sse_h2_frames_read(&conn->frames, &bytes, &len, &id)) {
        case SSE_H2_OTHER:
            return 0;
        case SSE_H2_PREFACE:
            on_preface(c, conn);
            break;
        case SSE_H2_REQUEST:
            on_request(conn, id);
            break;
        case SSE_H2_RESET:
            on_reset(conn, id);
            break;
        case SSE_H2_MORE:
            break;
        }
    }
    return 1;
}

static int read_brigade(conn_rec *c, sse_h2_conn_t *conn,
                        apr_bucket_brigade *bb)
{
    apr_bucket *b;
    const char *bytes;
    apr_size_t len;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_METADATA(b)) {
            continue;
        }
        if (apr_bucket_read(b, &bytes, &len, APR_NONBLOCK_READ) !=
                APR_SUCCESS ||
            !read_bytes(c, conn, bytes, len)) {
            return 0;
        }
    }
    return 1;
}

/* Bytes of a speculative read come again.  The filter stays even when it has no
 * more to do: httpd finds a request's place in the chain by the connection's
 * first filter, which has to be the one that the request began with. */
static apr_status_t in_filter(ap_filter_t *f, apr_bucket_brigade *bb,
                              ap_input_mode_t mode, apr_read_type_e block,
                              apr_off_t readbytes)
{
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, readbytes);

    if (rv == APR_SUCCESS && f->ctx && mode != AP_MODE_SPECULATIVE &&
        !read_brigade(f->c, f->ctx, bb)) {
        f->ctx = NULL;
    }
    return rv;
}

/* A client's connection: look at what it sends, in case it is HTTP/2. */
static int on_connection(conn_rec *c, void *csd)
{
    if (!c->master && !c->outgoing && sse_mpm()->h2_threads) {
        ap_add_input_filter_handle(
            filter, apr_pcalloc(c->pool, sizeof(sse_h2_conn_t)), NULL, c);
    }
    return OK;
}

/* -- What begins ----------------------------------------------------------- */

static apr_status_t on_end(void *baton)
{
    sse_h2_conn_t *conn = baton;

    pthread_mutex_lock(&all.lock);
    --conn->running;
    pthread_mutex_unlock(&all.lock);
    return APR_SUCCESS;
}

static apr_uint32_t id_of(request_rec *r)
{
    char name[] = "H2_STREAM_ID";
    const char *id = lookup(r->pool, r->server, r->connection, r, name);

    return id ? (apr_uint32_t)strtoul(id, NULL, 10) : 0;
}

/* Once for each request that a client sends: not for one that runs in the place
 * of mod_http2's.  A secondary connection ends before its primary. */
static void on_begin(request_rec *r, conn_rec *c)
{
    sse_h2_conn_t *conn = c->master ? sse_conn_record(c->master)->h2 : NULL;
    apr_uint32_t id;

    if (!conn || !lookup || sse_conn_inner(c)) {
        return;
    }
    id = id_of(r);
    pthread_mutex_lock(&all.lock);
    forget_id(conn, id);
    if (!conn->count) {
        conn->blamed = 0;
    }
    ++conn->running;
    all.has_begun = 1;
    pthread_mutex_unlock(&all.lock);
    apr_pool_cleanup_register(r->pool, conn, on_end, apr_pool_cleanup_null);
}

/* -- What is stranded ------------------------------------------------------ */

static apr_uint32_t now_msec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (apr_uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* Under the lock. */
static int look(void)
{
    int must;

    if (all.has_begun) {
        all.stranded = 0;
    }
    all.has_begun = 0;
    must = all.stranded >= LOOKS - 1;
    all.stranded = !is_stranded(must) ? 0 : all.stranded + 1;
    if (all.stranded < LOOKS) {
        return 0;
    }
    all.stranded = 0;
    return 1;
}

int sse_h2_must_yield(void)
{
    apr_uint32_t now, looked;
    int must;

    if (!sse_atomic_load(&all.waiting)) {
        return 0;
    }
    looked = sse_atomic_load(&all.looked); /* first: it is not later than now */
    now = now_msec();
    if (now - looked < LOOK_EVERY_MSEC ||
        !sse_atomic_cas(&all.looked, looked, now)) {
        return 0;
    }
    pthread_mutex_lock(&all.lock);
    must = look();
    pthread_mutex_unlock(&all.lock);
    return must;
}

static void find_lookup(void)
{
    lookup = APR_RETRIEVE_OPTIONAL_FN(http2_var_lookup);
}

void sse_h2_register(void)
{
    filter =
        ap_register_input_filter("SSE_H2_REQUESTS", in_filter, NULL,
                                 (ap_filter_type)(AP_FTYPE_CONNECTION + 3));
    ap_hook_optional_fn_retrieve(find_lookup, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_connection(on_connection, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_read_request(on_begin, NULL, NULL, APR_HOOK_MIDDLE);
}
