/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "event/sse_room.h"
#include "http/sse_body.h"

APLOG_USE_MODULE(sse);

/** Bytes requested at a time; smaller bodies get a buffer of their size. */
#define SSE_BODY_READ 16384

/** A growing body. */
typedef struct {
    sse_room_t room;
    apr_size_t len; /**< of it in use */
    apr_size_t limit;
    const char *too_large;
    request_rec *r;
    sse_problem_t *problem;
} buffer_t;

static ap_filter_rec_t *guard_handle;

int sse_problem_set(sse_problem_t *problem, apr_pool_t *pool, int status,
                    const char *format, ...)
{
    va_list args;

    va_start(args, format);
    problem->status = status;
    problem->text = apr_pvsprintf(pool, format, args);
    va_end(args);
    return status;
}

int sse_problem_no_memory(request_rec *r, sse_problem_t *problem)
{
    apr_table_setn(r->err_headers_out, "Retry-After", "5");
    return sse_problem_set(problem, r->pool, HTTP_SERVICE_UNAVAILABLE,
                           "the server has no memory left for this; try again "
                           "later, or send less at once");
}

/* httpd's input filter reports a malformed body by sending an error bucket down
 * the output filters, where it would become httpd's own error page.  This
 * filter, which is there only while a body is read, catches the bucket. */
static apr_status_t guard_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    int *status = f->ctx;
    apr_bucket *e;

    for (e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb);
         e = APR_BUCKET_NEXT(e)) {
        if (AP_BUCKET_IS_ERROR(e)) {
            *status = ((ap_bucket_error *)e->data)->status;
            apr_brigade_cleanup(bb);
            return AP_FILTER_ERROR;
        }
    }
    return ap_pass_brigade(f->next, bb);
}

void sse_body_register(void)
{
    /* In front of every filter that a configuration can add. */
    guard_handle =
        ap_register_output_filter("SSE_BODY_GUARD", guard_filter, NULL,
                                  (ap_filter_type)(AP_FTYPE_RESOURCE - 1));
}

static int limit_problem(request_rec *r, sse_problem_t *problem)
{
    return sse_problem_set(problem, r->pool, HTTP_REQUEST_ENTITY_TOO_LARGE,
                           "the body is larger than the %" APR_OFF_T_FMT
                           " bytes that LimitRequestBody allows here",
                           ap_get_limit_req_body(r));
}

static int client_left(const request_rec *r, apr_status_t rv)
{
    return r->connection->aborted || rv == APR_INCOMPLETE ||
           APR_STATUS_IS_EOF(rv) || APR_STATUS_IS_ECONNRESET(rv) ||
           APR_STATUS_IS_ECONNABORTED(rv) || APR_STATUS_IS_EPIPE(rv);
}

static int answer_failure(request_rec *r, apr_status_t rv, int guarded,
                          sse_problem_t *problem)
{
    int status;

    if (guarded == HTTP_REQUEST_ENTITY_TOO_LARGE && ap_get_limit_req_body(r)) {
        return limit_problem(r, problem);
    }
    if (guarded) {
        return sse_problem_set(problem, r->pool, guarded,
                               "the body could not be read: its chunks or its "
                               "length are malformed");
    }
    if (client_left(r, rv)) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, rv, r,
                      "the client disconnected while sending its body");
        return problem->status = DONE;
    }
    status = ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
    if (status == AP_FILTER_ERROR) { /* already answered */
        return problem->status = status;
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, rv, r, "reading the body failed");
    if (status == HTTP_REQUEST_TIME_OUT) {
        return sse_problem_set(problem, r->pool, status,
                               "the rest of the body did not come in time");
    }
    return sse_problem_set(problem, r->pool, status,
                           "the body could not be read");
}

static int pass(request_rec *r, apr_bucket_brigade *bb, sse_body_fn *fn,
                void *baton, int *ended, sse_problem_t *problem)
{
    int status = OK;

    while (status == OK && !*ended && !APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *e = APR_BRIGADE_FIRST(bb);
        const char *buf;
        apr_size_t len;
        apr_status_t rv;

        if (APR_BUCKET_IS_EOS(e)) {
            *ended = 1;
        }
        else if (!APR_BUCKET_IS_METADATA(e)) {
            rv = apr_bucket_read(e, &buf, &len, APR_BLOCK_READ);
            if (rv != APR_SUCCESS) {
                status = answer_failure(r, rv, 0, problem);
            }
            else if (len) {
                status = fn(baton, buf, len);
            }
        }
        apr_bucket_delete(e);
    }
    return status;
}

static int read_all(request_rec *r, apr_bucket_brigade *bb, sse_body_fn *fn,
                    void *baton, const int *guarded, sse_problem_t *problem)
{
    int status = OK;
    int ended = 0;

    while (status == OK && !ended) {
        apr_status_t rv =
            ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES,
                           APR_BLOCK_READ, SSE_BODY_READ);

        if (rv != APR_SUCCESS || *guarded) {
            status = answer_failure(r, rv, *guarded, problem);
        }
        else {
            status = pass(r, bb, fn, baton, &ended, problem);
        }
        apr_brigade_cleanup(bb);
    }
    /* The rest may be endless, so do not wait for it to be discarded. */
    if (!ended) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    return status;
}

static int length_of(const request_rec *r, apr_off_t *length)
{
    const char *header = apr_table_get(r->headers_in, "Content-Length");
    char *end;

    return header && apr_strtoff(length, header, &end, 10) == APR_SUCCESS &&
           !*end && *length >= 0;
}

int sse_body_each(request_rec *r, sse_body_fn *fn, void *baton,
                  sse_problem_t *problem)
{
    apr_off_t limit = ap_get_limit_req_body(r);
    ap_filter_t *guard = NULL;
    apr_bucket_brigade *bb;
    apr_off_t length;
    int guarded = 0;
    int status;

    if (limit > 0 && length_of(r, &length) && length > limit) {
        return limit_problem(r, problem);
    }
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    if (guard_handle) {
        guard = ap_add_output_filter_handle(guard_handle, &guarded, r,
                                            r->connection);
    }
    status = read_all(r, bb, fn, baton, &guarded, problem);
    if (guard) {
        ap_remove_output_filter(guard);
    }
    apr_brigade_destroy(bb);
    return status;
}

static apr_status_t buffer_free(void *data)
{
    sse_room_free(&((buffer_t *)data)->room);
    return APR_SUCCESS;
}

static int refuse_size(buffer_t *buffer)
{
    return sse_problem_set(buffer->problem, buffer->r->pool,
                           HTTP_REQUEST_ENTITY_TOO_LARGE, "%s",
                           buffer->too_large);
}

static int buffer_add(void *baton, const char *buf, apr_size_t len)
{
    buffer_t *buffer = baton;

    if (len > buffer->limit - buffer->len) {
        return refuse_size(buffer);
    }
    if (!sse_room_double(&buffer->room, buffer->len + len)) {
        return sse_problem_no_memory(buffer->r, buffer->problem);
    }
    memcpy(buffer->room.ptr + buffer->len, buf, len);
    buffer->len += len;
    return OK;
}

int sse_body_whole(request_rec *r, apr_size_t limit, const char *too_large,
                   apr_pool_t *pool, char **body, apr_size_t *len,
                   sse_problem_t *problem)
{
    buffer_t *buffer = apr_pcalloc(pool, sizeof(*buffer));
    apr_off_t length;
    int status, is_told = length_of(r, &length);

    *body = NULL;
    *len = 0;
    buffer->limit = limit;
    buffer->too_large = too_large;
    buffer->r = r;
    buffer->problem = problem;
    if (is_told && (apr_uint64_t)length > limit) {
        return refuse_size(buffer);
    }
    /* Do not allocate what the client has only announced. */
    if (is_told && length > 0 && length < SSE_BODY_READ) {
        sse_room_grow(&buffer->room, (apr_size_t)length);
    }
    apr_pool_cleanup_register(pool, buffer, buffer_free, apr_pool_cleanup_null);
    status = sse_body_each(r, buffer_add, buffer, problem);
    *body = buffer->room.ptr;
    *len = buffer->len;
    return status;
}
