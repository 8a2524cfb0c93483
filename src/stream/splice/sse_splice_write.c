/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_write.c
 * Frames of ours, put in between those of mod_http2.
 *
 * What came down the chains of a connection's streams goes as one batch down
 * that of the connection, TLS included, and so to the socket in one write.  The
 * next batch waits until that has been written out: what cannot go waits with
 * the streams, where it is bounded and shows who is slow.  It never blocks, be
 * the owner an MPM thread: a client that does not read is to hold up no page of
 * its own by what its streams have to say.
 *
 * Threads: the connection's owner; what is marked, under the lock.
 */

#include "stream/splice/sse_splice_private.h"

#include <stdlib.h>
#include <string.h>

/* One batch, below a TLS record and what the core filter takes at a time. */
#define BATCH_BYTES (16 * 1024 - 64)
/* What is kept of a buffer that was emptied.  What all streams of a channel
 * take and free in each turn, malloc() gets from the system and gives back. */
#define KEEP_BYTES 4096

/* -- What waits: under the lock -------------------------------------------- */

int sse_splice_waits(const sse_shadow_t *shadow)
{
    return !shadow->is_over && (shadow->end > shadow->from || shadow->is_last);
}

static void unlist(sse_splice_conn_t *conn, sse_shadow_t *shadow)
{
    if (shadow->is_listed) {
        shadow->is_listed = 0;
        TAILQ_REMOVE(&conn->ready, shadow, ready);
    }
}

void sse_splice_list(sse_splice_conn_t *conn, sse_shadow_t *shadow)
{
    if (shadow->is_open && !shadow->is_listed && !shadow->is_passed &&
        sse_splice_waits(shadow)) {
        shadow->is_listed = 1;
        TAILQ_INSERT_TAIL(&conn->ready, shadow, ready);
    }
}

static void empty(sse_shadow_t *shadow)
{
    shadow->from = shadow->end = 0;
    if (shadow->size > KEEP_BYTES) {
        free(shadow->out);
        shadow->out = NULL;
        shadow->size = 0;
    }
}

void sse_splice_drop(sse_splice_conn_t *conn, sse_shadow_t *shadow)
{
    unlist(conn, shadow);
    if (shadow->is_passed) {
        shadow->is_passed = 0;
        TAILQ_REMOVE(&conn->passed, shadow, ready);
    }
    shadow->is_over = 1;
    shadow->is_open = 0;
    empty(shadow);
    free(shadow->out);
    shadow->out = NULL;
    shadow->size = 0;
}

static void grow(char **bytes, apr_size_t *size, apr_size_t need)
{
    if (need > *size) {
        *size = need < 2 * *size ? 2 * *size : need;
        *bytes = realloc(*bytes, *size);
        if (!*bytes) {
            abort();
        }
    }
}

void sse_splice_add_reset(sse_splice_conn_t *conn, apr_uint32_t id,
                          apr_uint32_t code)
{
    grow(&conn->control, &conn->size_control,
         conn->n_control + SSE_FRAMES_RESET);
    sse_frames_reset(id, code, conn->control + conn->n_control);
    conn->n_control += SSE_FRAMES_RESET;
}

int sse_splice_add_end(sse_splice_conn_t *conn, sse_shadow_t *shadow)
{
    apr_size_t len = shadow->end - shadow->from;
    char *frame;

    if (len > sse_frames_room(conn->frames, shadow->id) ||
        SSE_FRAMES_HEAD + len > BATCH_BYTES) {
        return 0;
    }
    grow(&conn->control, &conn->size_control,
         conn->n_control + SSE_FRAMES_HEAD + len);
    frame = conn->control + conn->n_control;
    sse_frames_data(conn->frames, shadow->id, len, 1, frame);
    if (len) {
        memcpy(frame + SSE_FRAMES_HEAD, shadow->out + shadow->from, len);
    }
    conn->n_control += SSE_FRAMES_HEAD + len;
    shadow->bytes += len;
    return 1;
}

void sse_splice_put(sse_shadow_t *shadow, const char *bytes, apr_size_t len)
{
    sse_splice_conn_t *conn = shadow->conn;

    pthread_mutex_lock(&conn->lock);
    if (!shadow->is_over) {
        grow(&shadow->out, &shadow->size, shadow->end + len);
        memcpy(shadow->out + shadow->end, bytes, len);
        shadow->end += len;
        sse_splice_list(conn, shadow);
    }
    pthread_mutex_unlock(&conn->lock);
}

void sse_splice_put_end(sse_shadow_t *shadow)
{
    sse_splice_conn_t *conn = shadow->conn;

    pthread_mutex_lock(&conn->lock);
    shadow->is_last = 1;
    sse_splice_list(conn, shadow);
    pthread_mutex_unlock(&conn->lock);
}

/* -- A batch: under the lock ----------------------------------------------- */

static apr_size_t size_of(const char *frame)
{
    const unsigned char *head = (const unsigned char *)frame;

    return SSE_FRAMES_HEAD +
           ((apr_size_t)head[0] << 16 | (apr_size_t)head[1] << 8 | head[2]);
}

/* Whole frames. */
static apr_size_t take_control(sse_splice_conn_t *conn, char *batch,
                               apr_size_t room)
{
    apr_size_t n = 0;

    while (n < conn->n_control && n + size_of(conn->control + n) <= room) {
        n += size_of(conn->control + n);
    }
    if (n) {
        memcpy(batch, conn->control, n);
        conn->n_control -= n;
        memmove(conn->control, conn->control + n, conn->n_control);
    }
    return n;
}

/* All that it had has gone. */
static void pass(sse_splice_conn_t *conn, sse_shadow_t *shadow)
{
    empty(shadow);
    if (shadow->is_last) {
        shadow->is_open = 0; /* the frames know it no more */
        shadow->is_over = 1;
    }
    shadow->is_passed = 1;
    TAILQ_INSERT_TAIL(&conn->passed, shadow, ready);
}

/* One frame of this stream; what more it has comes behind other streams'. */
static apr_size_t take_frame(sse_splice_conn_t *conn, sse_shadow_t *shadow,
                             char *batch, apr_size_t room)
{
    apr_size_t waits = shadow->end - shadow->from;
    apr_size_t len = sse_frames_room(conn->frames, shadow->id);
    int is_last;

    room -= SSE_FRAMES_HEAD;
    len = len < room ? len : room;
    len = len < waits ? len : waits;
    is_last = shadow->is_last && len == waits;
    unlist(conn, shadow);
    if (!len && !is_last) {
        return 0; /* its window, or the account, will list it */
    }
    sse_frames_data(conn->frames, shadow->id, len, is_last, batch);
    if (len) {
        memcpy(batch + SSE_FRAMES_HEAD, shadow->out + shadow->from, len);
    }
    shadow->from += len;
    shadow->bytes += (apr_off_t)len;
    if (len == waits) {
        pass(conn, shadow);
    }
    else {
        sse_splice_list(conn, shadow);
    }
    return SSE_FRAMES_HEAD + len;
}

/* @return how many bytes */
static apr_size_t fill(sse_splice_conn_t *conn, char *batch)
{
    apr_size_t n = 0;
    sse_shadow_t *shadow;

    if (!sse_frames_is_between(conn->frames)) {
        return 0;
    }
    n = take_control(conn, batch, BATCH_BYTES);
    while ((shadow = TAILQ_FIRST(&conn->ready)) != NULL &&
           n + SSE_FRAMES_HEAD < BATCH_BYTES) {
        n += take_frame(conn, shadow, batch + n, BATCH_BYTES - n);
    }
    return n;
}

/* -- Writing --------------------------------------------------------------- */

/* The TLS filter is to keep nothing back, and the socket not to be waited
 * for: our filter below takes the FLUSH out again. */
static apr_status_t pass_batch(sse_splice_conn_t *conn, const char *batch,
                               apr_size_t len)
{
    apr_bucket_alloc_t *list = conn->c->bucket_alloc;
    int may_block = conn->async->may_block;
    apr_status_t rv;

    APR_BRIGADE_INSERT_TAIL(conn->bb,
                            apr_bucket_heap_create(batch, len, NULL, list));
    APR_BRIGADE_INSERT_TAIL(conn->bb, apr_bucket_flush_create(list));
    conn->async->may_block = 0;
    rv = ap_pass_brigade(conn->out->next, conn->bb);
    conn->async->may_block = may_block;
    apr_brigade_cleanup(conn->bb);
    return rv == APR_SUCCESS ? sse_async_write(conn->async) : rv;
}

/* Under the lock: what was passed has been written out. */
static void count_written(sse_splice_conn_t *conn, sse_ready_t *done)
{
    sse_shadow_t *shadow;

    while ((shadow = TAILQ_FIRST(&conn->passed)) != NULL) {
        TAILQ_REMOVE(&conn->passed, shadow, ready);
        shadow->is_passed = 0;
        if (sse_splice_waits(shadow)) {
            sse_splice_list(conn, shadow); /* more has come meanwhile */
            continue;
        }
        shadow->is_written = 1;
        if (done) {
            TAILQ_INSERT_TAIL(done, shadow, ready);
        }
        else {
            sse_stream_poke(shadow->stream);
        }
    }
}

static int has_streams(sse_splice_conn_t *conn)
{
    int n;

    pthread_mutex_lock(&conn->lock);
    n = conn->n;
    pthread_mutex_unlock(&conn->lock);
    return n > 0 || conn->async;
}

apr_status_t sse_splice_write(sse_splice_conn_t *conn, sse_ready_t *done)
{
    char batch[BATCH_BYTES];
    apr_status_t rv = APR_SUCCESS;
    apr_size_t n;

    if (!has_streams(conn) || conn->c->aborted) {
        return APR_SUCCESS;
    }
    sse_splice_adopt(conn);
    do {
        if (!sse_async_is_flushed(conn->async)) {
            rv = sse_async_write(conn->async);
        }
        n = 0;
        if (rv == APR_SUCCESS && sse_async_is_flushed(conn->async)) {
            pthread_mutex_lock(&conn->lock);
            count_written(conn, done);
            n = fill(conn, batch);
            pthread_mutex_unlock(&conn->lock);
        }
        if (n) {
            rv = pass_batch(conn, batch, n);
        }
    } while (n && rv == APR_SUCCESS);
    return rv;
}
