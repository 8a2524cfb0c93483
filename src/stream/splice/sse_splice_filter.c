/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_filter.c
 * Between mod_http2 and TLS: all bytes of a connection, in both directions.
 *
 * The input filter is also where an MPM thread that waits for mod_http2's
 * requests comes by when it is woken, and so where it writes what streams have
 * to send meanwhile.  What the loop has read before mod_http2's turn comes
 * first.
 *
 * Threads: the connection's owner.
 */

#include "stream/splice/sse_splice_private.h"

#include <apr_portable.h>
#include <http_core.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static const char filter_name[] = "SSE_SPLICE";
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_BYTES (sizeof(preface) - 1)
/* What the loop reads at a time, and at most in one turn. */
#define READ_BYTES (16 * 1024)
#define READS_MOST 4
/* What is kept for mod_http2 while it waits for a thread. */
#define HELD_MOST (64 * 1024)

static apr_uint64_t now_msec(void) { return uv_hrtime() / 1000000; }

/* -- Bytes through the frames ---------------------------------------------- */

typedef enum { FROM_CLIENT, FROM_ENGINE } direction_e;

static void look(sse_splice_conn_t *conn, direction_e from, sse_span_t *bytes,
                 sse_span_t *give)
{
    pthread_mutex_lock(&conn->lock);
    if (from == FROM_CLIENT) {
        sse_frames_from_client(conn->frames, bytes, give, now_msec());
    }
    else {
        sse_frames_from_engine(conn->frames, bytes, give);
    }
    pthread_mutex_unlock(&conn->lock);
}

static int is_usable(sse_splice_conn_t *conn)
{
    int usable;

    pthread_mutex_lock(&conn->lock);
    usable = sse_frames_is_usable(conn->frames);
    pthread_mutex_unlock(&conn->lock);
    return usable;
}

/* A bucket stays whole where nothing changes: TLS makes a record of each. */
static apr_status_t look_at(sse_splice_conn_t *conn, apr_bucket *b,
                            const char *data, apr_size_t len, direction_e from)
{
    sse_span_t bytes, give;
    apr_size_t used;
    apr_bucket *other;
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && len) {
        bytes.bytes = data;
        bytes.len = len;
        look(conn, from, &bytes, &give);
        used = len - bytes.len;
        if (bytes.len) {
            apr_bucket_split(b, used);
        }
        other = APR_BUCKET_NEXT(b);
        if (give.bytes != data || give.len != used) {
            if (give.len) {
                APR_BUCKET_INSERT_BEFORE(
                    b, apr_bucket_heap_create(give.bytes, give.len, NULL,
                                              b->list));
            }
            apr_bucket_delete(b);
        }
        if (!bytes.len) {
            return APR_SUCCESS;
        }
        b = other;
        rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
    }
    return rv;
}

/* What is read of a file becomes a bucket, the rest another one behind it. */
static apr_status_t look_through(sse_splice_conn_t *conn,
                                 apr_bucket_brigade *bb, direction_e from)
{
    apr_status_t rv = APR_SUCCESS;
    apr_bucket *b, *next;
    const char *data;
    apr_size_t len;

    for (b = APR_BRIGADE_FIRST(bb);
         rv == APR_SUCCESS && is_usable(conn) && b != APR_BRIGADE_SENTINEL(bb);
         b = next) {
        len = 0;
        if (!APR_BUCKET_IS_METADATA(b)) {
            rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
        }
        next = APR_BUCKET_NEXT(b);
        if (rv == APR_SUCCESS && len) {
            rv = look_at(conn, b, data, len, from);
        }
    }
    return rv;
}

int sse_splice_has_kept(sse_splice_conn_t *conn)
{
    int has;

    pthread_mutex_lock(&conn->lock);
    has = sse_frames_has_kept(conn->frames);
    pthread_mutex_unlock(&conn->lock);
    return has;
}

/* -- Posing as the socket -------------------------------------------------- */

void sse_splice_pose(sse_splice_conn_t *conn)
{
    apr_os_sock_t fd = conn->poll_fd;
    apr_socket_t *sock = NULL;

    if (!conn->is_posing &&
        apr_os_sock_put(&sock, &fd, conn->c->pool) == APR_SUCCESS) {
        ap_set_core_module_config(conn->c->conn_config, sock);
        conn->is_posing = conn->is_http2 = 1;
    }
}

void sse_splice_stop_posing(sse_splice_conn_t *conn)
{
    if (conn->is_posing) {
        ap_set_core_module_config(conn->c->conn_config, conn->sock);
        conn->is_posing = 0;
    }
}

/* Its poll is to return when there is input, and, if it is to write, when there
 * is room. */
static void watch(sse_splice_conn_t *conn, int writes)
{
    struct epoll_event event = {.events = EPOLLIN};

    if (writes) {
        event.events |= EPOLLOUT;
    }
    epoll_ctl(conn->poll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

void sse_splice_wake(sse_splice_conn_t *conn)
{
    if (!conn->is_woken) {
        conn->is_woken = 1;
        watch(conn, 1);
    }
}

/* What the socket does not take now is the reason for the next time. */
apr_status_t sse_splice_write_woken(sse_splice_conn_t *conn)
{
    apr_status_t rv;

    pthread_mutex_lock(&conn->lock);
    if (conn->is_woken) {
        conn->is_woken = 0;
        watch(conn, 0);
    }
    pthread_mutex_unlock(&conn->lock);
    rv = sse_splice_write(conn, NULL);
    if (conn->async && !sse_async_is_flushed(conn->async)) {
        pthread_mutex_lock(&conn->lock);
        sse_splice_wake(conn);
        pthread_mutex_unlock(&conn->lock);
    }
    return rv;
}

/* -- Output ---------------------------------------------------------------- */

/* Window that mod_http2 is to get again: it may be waiting for its requests,
 * with none left. */
static void wake_for_kept(sse_splice_conn_t *conn)
{
    pthread_mutex_lock(&conn->lock);
    if (sse_frames_has_kept(conn->frames)) {
        sse_splice_wake(conn);
    }
    pthread_mutex_unlock(&conn->lock);
}

static apr_status_t out_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    sse_splice_conn_t *conn = f->ctx;
    apr_status_t rv;

    if (conn->is_declined) {
        return ap_pass_brigade(f->next, bb);
    }
    rv = look_through(conn, bb, FROM_ENGINE);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    wake_for_kept(conn);
    rv = ap_pass_brigade(f->next, bb);
    if (rv == APR_SUCCESS) {
        rv = sse_splice_write(conn, NULL);
    }
    return rv;
}

/* -- Input ----------------------------------------------------------------- */

static void give_held(sse_splice_conn_t *conn, apr_bucket_brigade *bb)
{
    apr_bucket_alloc_t *list = conn->c->bucket_alloc;
    sse_span_t give;

    if (conn->n_held) {
        APR_BRIGADE_INSERT_TAIL(
            bb, apr_bucket_heap_create(conn->held, conn->n_held, NULL, list));
        conn->n_held = 0;
    }
    pthread_mutex_lock(&conn->lock);
    sse_frames_give_kept(conn->frames, &give);
    if (give.len) {
        ++conn->n_kept;
        APR_BRIGADE_INSERT_TAIL(
            bb, apr_bucket_heap_create(give.bytes, give.len, NULL, list));
    }
    pthread_mutex_unlock(&conn->lock);
}

static int has_data(const apr_bucket_brigade *bb)
{
    const apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (!APR_BUCKET_IS_METADATA(b) || APR_BUCKET_IS_EOS(b)) {
            return 1;
        }
    }
    return 0;
}

/* Why the client sends no more, seen before the engine answers: what is written
 * to one that has left makes it a reset, and a reset is told once. */
static void note_end(sse_splice_conn_t *conn, apr_status_t rv)
{
    if (APR_STATUS_IS_EAGAIN(rv) || rv == APR_SUCCESS) {
        return;
    }
    conn->is_at_end = conn->is_at_end || APR_STATUS_IS_EOF(rv);
    if (conn->seen == SSE_CLOSE_NONE) {
        conn->seen = APR_STATUS_IS_ECONNRESET(rv) ? SSE_CLOSE_RESET
                                                  : sse_peer_look(conn->fd, 0);
    }
    if (conn->seen == SSE_CLOSE_NONE && conn->is_at_end) {
        conn->seen = SSE_CLOSE_CLIENT; /* TLS is over, its FIN may follow */
    }
}

/* mod_http2 reads.  What was all for streams of ours does not reach it. */
static apr_status_t read_for_engine(sse_splice_conn_t *conn, ap_filter_t *f,
                                    apr_bucket_brigade *bb,
                                    apr_read_type_e block, apr_off_t most)
{
    apr_status_t rv, written = APR_SUCCESS;

    do {
        apr_brigade_cleanup(bb);
        rv = ap_get_brigade(f->next, bb, AP_MODE_READBYTES, block, most);
        if (rv != APR_SUCCESS || APR_BRIGADE_EMPTY(bb)) {
            note_end(conn, rv);
            break;
        }
        rv = look_through(conn, bb, FROM_CLIENT);
    } while (rv == APR_SUCCESS && !has_data(bb));
    /* Windows may have grown, also by what has left nothing to give on. */
    if (rv == APR_SUCCESS || APR_STATUS_IS_EAGAIN(rv)) {
        written = sse_splice_write_woken(conn);
    }
    return written == APR_SUCCESS ? rv : written;
}

/* Without TLS: what mod_http2 finds when it looks at the first bytes is found
 * here, just before it makes its session, or a request of HTTP/1.x. */
static void look_for_preface(sse_splice_conn_t *conn,
                             const apr_bucket_brigade *bb)
{
    char bytes[PREFACE_BYTES];
    apr_size_t len = sizeof(bytes);

    if (apr_brigade_flatten((apr_bucket_brigade *)bb, bytes, &len) !=
        APR_SUCCESS) {
        return;
    }
    if (len == PREFACE_BYTES && !memcmp(bytes, preface, PREFACE_BYTES)) {
        sse_splice_pose(conn);
    }
    else {
        sse_splice_conn_decline(conn);
    }
}

static apr_status_t in_filter(ap_filter_t *f, apr_bucket_brigade *bb,
                              ap_input_mode_t mode, apr_read_type_e block,
                              apr_off_t most)
{
    sse_splice_conn_t *conn = f->ctx;
    apr_status_t rv;

    if (conn->is_declined) {
        return ap_get_brigade(f->next, bb, mode, block, most);
    }
    if (mode != AP_MODE_READBYTES || !is_usable(conn)) {
        rv = ap_get_brigade(f->next, bb, mode, block, most);
        if (rv == APR_SUCCESS && mode == AP_MODE_SPECULATIVE &&
            most == (apr_off_t)PREFACE_BYTES && !sse_conn_is_tls(f->c)) {
            look_for_preface(conn, bb);
        }
        return rv;
    }
    sse_splice_stop_posing(conn);
    rv = sse_splice_write_woken(conn);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    give_held(conn, bb);
    return APR_BRIGADE_EMPTY(bb) ? read_for_engine(conn, f, bb, block, most)
                                 : APR_SUCCESS;
}

/* -- The loop reads -------------------------------------------------------- */

static void hold(sse_splice_conn_t *conn, const sse_span_t *give)
{
    apr_size_t need = conn->n_held + give->len;

    if (need > conn->size_held) {
        conn->size_held = need;
        conn->held = realloc(conn->held, need);
        if (!conn->held) {
            abort();
        }
    }
    memcpy(conn->held + conn->n_held, give->bytes, give->len);
    conn->n_held = need;
}

static apr_status_t hold_all(sse_splice_conn_t *conn)
{
    apr_status_t rv = APR_SUCCESS;
    sse_span_t bytes, give;
    apr_bucket *b;

    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(conn->bb)) {
        b = APR_BRIGADE_FIRST(conn->bb);
        rv = APR_BUCKET_IS_METADATA(b)
                 ? APR_SUCCESS
                 : apr_bucket_read(b, &bytes.bytes, &bytes.len,
                                   APR_NONBLOCK_READ);
        while (rv == APR_SUCCESS && !APR_BUCKET_IS_METADATA(b) && bytes.len) {
            look(conn, FROM_CLIENT, &bytes, &give);
            if (give.len) {
                hold(conn, &give);
            }
        }
        apr_bucket_delete(b);
    }
    return rv;
}

int sse_splice_is_full(const sse_splice_conn_t *conn)
{
    return conn->n_held >= HELD_MOST;
}

apr_status_t sse_splice_read(sse_splice_conn_t *conn)
{
    apr_size_t most = conn->n_held ? HELD_MOST : 1;
    apr_status_t rv = APR_SUCCESS;
    int reads;

    for (reads = 0; reads < READS_MOST && conn->n_held < most; ++reads) {
        rv = ap_get_brigade(conn->in->next, conn->bb, AP_MODE_READBYTES,
                            APR_NONBLOCK_READ, READ_BYTES);
        if (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(conn->bb)) {
            rv = APR_EAGAIN;
        }
        if (rv == APR_SUCCESS) {
            rv = hold_all(conn);
        }
        apr_brigade_cleanup(conn->bb);
        if (rv != APR_SUCCESS) {
            conn->is_at_end = conn->is_at_end || APR_STATUS_IS_EOF(rv);
            return rv;
        }
    }
    return APR_SUCCESS;
}

/* -- In the chains --------------------------------------------------------- */

void sse_splice_add_filters(sse_splice_conn_t *conn)
{
    conn->in = ap_add_input_filter(filter_name, conn, NULL, conn->c);
    conn->out = ap_add_output_filter(filter_name, conn, NULL, conn->c);
}

void sse_splice_filter_register(void)
{
    const ap_filter_type type = (ap_filter_type)(AP_FTYPE_CONNECTION + 3);

    ap_register_input_filter(filter_name, in_filter, NULL, type);
    ap_register_output_filter(filter_name, out_filter, NULL, type);
}
