/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_shadow.c
 * A shadow: the connection and the request under which a stream runs that is to
 * outlive mod_http2's.
 *
 * To modules it is one more of mod_http2's secondary connections, with the same
 * master, and the request that came on it.  Its last filters are ours.  What
 * comes down to them is passed down mod_http2's request, whose status and
 * headers are set before the first bytes, so that mod_http2 makes HEADERS of
 * them.  Once that request has been let go, the bytes wait for frames of ours.
 */

#include "stream/splice/sse_splice_private.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_core.h>
#include <stdlib.h>

#include "process/sse_leave.h"
#include "process/sse_thread.h"
#include "sse_atomic.h"

extern module AP_MODULE_DECLARE_DATA sse_module;

/* How much of a response is passed on at a time. */
#define PASS_BYTES (64 * 1024)
/* What is kept of ended shadows' memory. */
#define KEPT_BYTES (4 * 1024 * 1024)

static ap_filter_rec_t *in_filter;         /* const after register_hooks */
static ap_filter_rec_t *out_filter;        /* likewise */
static ap_filter_rec_t *head_filter;       /* likewise */
static apr_allocator_t *shadows_allocator; /* const after child_init */

sse_shadow_t *sse_shadow_of(conn_rec *c)
{
    return (sse_shadow_t *)sse_conn_inner(c);
}

/* -- The head of mod_http2's response -------------------------------------- */

static const char *copy(apr_pool_t *pool, const char *text)
{
    return text ? apr_pstrdup(pool, text) : NULL;
}

static apr_array_header_t *copy_texts(apr_pool_t *pool,
                                      const apr_array_header_t *texts)
{
    apr_array_header_t *to;
    int i;

    if (!texts) {
        return NULL;
    }
    to = apr_array_make(pool, texts->nelts, sizeof(char *));
    for (i = 0; i < texts->nelts; ++i) {
        APR_ARRAY_PUSH(to, const char *) =
            apr_pstrdup(pool, APR_ARRAY_IDX(texts, i, const char *));
    }
    return to;
}

static int set_field(void *to, const char *name, const char *value)
{
    apr_table_set(to, name, value);
    return 1;
}

/* Notes say for instance that the client is to come by HTTP/1.1, or that it
 * gets no ETag. */
static void give_notes(request_rec *outer, const request_rec *r)
{
    if (r->prev) {
        give_notes(outer, r->prev);
    }
    apr_table_do(set_field, outer->notes, r->notes, NULL);
}

/* All in the outer request's pool, as the shadow may be gone before that is. */
static void give_head(request_rec *outer, const request_rec *r)
{
    static const char no_vary[] = "force-no-vary";
    apr_pool_t *pool = outer->pool;

    give_notes(outer, r);
    outer->status = r->status;
    outer->status_line = copy(pool, r->status_line);
    ap_set_content_type(outer, copy(pool, r->content_type));
    outer->content_encoding = copy(pool, r->content_encoding);
    outer->content_languages = copy_texts(pool, r->content_languages);
    outer->headers_out = apr_table_clone(pool, r->headers_out);
    outer->err_headers_out = apr_table_clone(pool, r->err_headers_out);
    outer->no_cache = r->no_cache;
    outer->clength = r->clength;
    outer->proxyreq = r->proxyreq;
    /* What these have to do was done. */
    ap_remove_output_filter_byhandle(outer->output_filters, "BYTERANGE");
    ap_remove_output_filter_byhandle(outer->output_filters, "CONTENT_LENGTH");
    if (apr_table_get(r->subprocess_env, no_vary)) {
        apr_table_setn(outer->subprocess_env, no_vary, "1");
    }
}

/* As it was sent, for the log: both tables in one, Date and others that httpd
 * has added. */
static void take_head(const request_rec *outer, request_rec *r)
{
    r->headers_out = apr_table_clone(r->pool, outer->headers_out);
    apr_table_clear(r->err_headers_out);
    r->sent_bodyct = 1;
}

/* -- In the place of mod_http2's request ----------------------------------- */

/* What is in shadow->bb. */
static apr_status_t pass_down(sse_shadow_t *shadow)
{
    request_rec *outer = shadow->outer;
    conn_rec *c = shadow->c;
    int is_first = !shadow->has_head;
    apr_status_t rv;

    if (is_first) {
        shadow->has_head = 1;
        give_head(outer, shadow->answers);
    }
    if (c->aborted) {
        outer->connection->aborted = 1;
    }
    rv = ap_pass_brigade(outer->output_filters, shadow->bb);
    apr_brigade_cleanup(shadow->bb);
    if (is_first) {
        take_head(outer, shadow->answers);
    }
    if (rv == APR_SUCCESS && outer->eos_sent) {
        sse_atomic_store(&shadow->inner.is_taken, 1);
    }
    c->aborted = sse_conn_is_aborted(c);
    return rv == APR_SUCCESS && c->aborted ? APR_ECONNABORTED : rv;
}

static apr_status_t add_data(sse_shadow_t *shadow, apr_bucket *b,
                             apr_size_t *total)
{
    apr_bucket_brigade *to = shadow->bb;
    const char *bytes;
    apr_size_t len;
    apr_status_t rv = apr_bucket_read(b, &bytes, &len, APR_BLOCK_READ);

    if (rv == APR_SUCCESS && len) {
        APR_BRIGADE_INSERT_TAIL(
            to, apr_bucket_transient_create(bytes, len, to->bucket_alloc));
        *total += len;
        shadow->bytes += len;
    }
    return rv;
}

/* Move what comes first in bb to shadow->bb, whose buckets are of the outer
 * connection; the bytes stay where they are.
 * @param upto out: what has not been moved */
static apr_status_t collect(sse_shadow_t *shadow, apr_bucket_brigade *bb,
                            apr_bucket **upto)
{
    apr_bucket_alloc_t *list = shadow->bb->bucket_alloc;
    apr_size_t total = 0;
    apr_status_t rv = APR_SUCCESS;
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb);
         rv == APR_SUCCESS && b != APR_BRIGADE_SENTINEL(bb) &&
         !AP_BUCKET_IS_EOR(b) && total < PASS_BYTES;
         b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_EOS(b)) {
            APR_BRIGADE_INSERT_TAIL(shadow->bb, apr_bucket_eos_create(list));
        }
        else if (APR_BUCKET_IS_FLUSH(b)) {
            APR_BRIGADE_INSERT_TAIL(shadow->bb, apr_bucket_flush_create(list));
        }
        else if (!APR_BUCKET_IS_METADATA(b)) {
            rv = add_data(shadow, b, &total);
        }
    }
    *upto = b;
    return rv;
}

static void delete_upto(apr_bucket_brigade *bb, const apr_bucket *upto)
{
    while (APR_BRIGADE_FIRST(bb) != upto) {
        apr_bucket_delete(APR_BRIGADE_FIRST(bb));
    }
}

static apr_status_t pass(sse_shadow_t *shadow, apr_bucket_brigade *bb)
{
    apr_bucket *upto;
    apr_status_t rv;

    do {
        rv = collect(shadow, bb, &upto);
        if (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(shadow->bb)) {
            rv = pass_down(shadow);
        }
        apr_brigade_cleanup(shadow->bb);
        delete_upto(bb, upto);
    } while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb) &&
             !AP_BUCKET_IS_EOR(upto));
    return rv;
}

/* A filter says by a bucket that there is no response but an error. */
static int error_in(const apr_bucket_brigade *bb)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (AP_BUCKET_IS_ERROR(b)) {
            return ((ap_bucket_error *)b->data)->status;
        }
    }
    return OK;
}

/* In the place of httpd's filter of that kind: sees the first of the response,
 * and which of the redirected requests gives it. */
static apr_status_t on_head(ap_filter_t *f, apr_bucket_brigade *bb)
{
    sse_shadow_t *shadow = f->ctx;
    int error = error_in(bb);

    if (APR_BRIGADE_EMPTY(bb)) {
        return APR_SUCCESS;
    }
    ap_remove_output_filter(f);
    if (error != OK) {
        apr_brigade_cleanup(bb);
        ap_die(error, f->r);
        return AP_FILTER_ERROR;
    }
    shadow->answers = f->r;
    return ap_pass_brigade(f->next, bb);
}

/* -- By itself ------------------------------------------------------------- */

static apr_status_t put(sse_shadow_t *shadow, const apr_bucket_brigade *bb)
{
    apr_status_t rv = APR_SUCCESS;
    const char *bytes;
    apr_size_t len;
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb);
         rv == APR_SUCCESS && b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_EOS(b)) {
            sse_splice_put_end(shadow);
        }
        else if (!APR_BUCKET_IS_METADATA(b)) {
            rv = apr_bucket_read(b, &bytes, &len, APR_BLOCK_READ);
            if (rv == APR_SUCCESS && len) {
                sse_splice_put(shadow, bytes, len);
            }
        }
    }
    return rv;
}

/* -- The filters ----------------------------------------------------------- */

/* EOR goes last, and the request with it.  What comes before the head is an
 * interim response, as HTTP/1.1. */
static apr_status_t on_output(ap_filter_t *f, apr_bucket_brigade *bb)
{
    sse_shadow_t *shadow = f->ctx;
    apr_status_t rv = APR_SUCCESS;

    if (APR_BRIGADE_EMPTY(bb)) {
        return APR_SUCCESS;
    }
    if (!shadow->outer) {
        rv = shadow->c->aborted ? APR_ECONNABORTED : put(shadow, bb);
    }
    else if (shadow->answers) {
        rv = pass(shadow, bb);
    }
    apr_brigade_cleanup(bb);
    return rv;
}

/* Its request has no body, and none follows it. */
static apr_status_t on_input(ap_filter_t *f, apr_bucket_brigade *bb,
                             ap_input_mode_t mode, apr_read_type_e block,
                             apr_off_t readbytes)
{
    return mode == AP_MODE_INIT ? APR_SUCCESS : APR_EOF;
}

void sse_shadow_register(void)
{
    in_filter = ap_register_input_filter("SSE_SHADOW_IN", on_input, NULL,
                                         AP_FTYPE_NETWORK);
    out_filter = ap_register_output_filter("SSE_SHADOW_OUT", on_output, NULL,
                                           AP_FTYPE_NETWORK);
    head_filter = ap_register_output_filter("SSE_SHADOW_HEAD", on_head, NULL,
                                            AP_FTYPE_PROTOCOL);
}

/* -- Making and destroying ------------------------------------------------- */

/* mod_http2's go with its connection, those of the client's stay. */
static void take_names(conn_rec *c, const conn_rec *c2)
{
    c->remote_host = c->master->remote_host;
    c->remote_logname = c->master->remote_logname;
    c->local_host = c->master->local_host;
    c->double_reverse = c->master->double_reverse;
    c->log_id = copy(c->pool, c2->log_id);
}

/* As mod_http2 makes its own.  The MPM adds its part of the connection's
 * config, and a state, to a secondary connection that has none. */
static conn_rec *create_conn(apr_pool_t *pool, conn_rec *c2)
{
    conn_rec *c = apr_pmemdup(pool, c2, sizeof(*c));

    c->pool = pool;
    c->conn_config = ap_create_conn_config(pool);
    c->notes = apr_table_make(pool, 1);
    c->bucket_alloc = apr_bucket_alloc_create(pool);
    c->input_filters = NULL;
    c->output_filters = NULL;
    c->data_in_input_filters = c->data_in_output_filters = 0;
    c->sbh = NULL;
    c->cs = NULL;
    c->log = NULL;
    c->aborted = 0;
    take_names(c, c2);
    /* One that all of mod_http2's have in common. */
    ap_set_core_module_config(c->conn_config, ap_get_conn_socket(c2));
    return c;
}

static int open_conn(sse_shadow_t *shadow)
{
    conn_rec *c = shadow->c;
    int rv;

    ap_set_module_config(c->conn_config, &sse_module, shadow);
    ap_add_input_filter_handle(in_filter, NULL, NULL, c);
    ap_add_output_filter_handle(out_filter, shadow, NULL, c);
    rv = ap_run_pre_connection(c, ap_get_conn_socket(c));
    return rv == OK || rv == DONE;
}

/* As mod_http2 reads its own.  The outer request is the one that is counted. */
static int read_request(request_rec *r, const request_rec *outer,
                        const apr_table_t *headers)
{
    conn_rec *c = r->connection;
    int rv;

    r->headers_in = apr_table_clone(r->pool, headers);
    ap_run_pre_read_request(r, c);
    r->request_time = outer->request_time;
    r->the_request = apr_pstrdup(r->pool, outer->the_request);
    r->hostname = NULL; /* as that of the field Host is to be taken */
    if (!ap_parse_request_line(r) || !ap_check_request_header(r)) {
        return 0;
    }
    r->per_dir_config = r->server->lookup_defaults;
    ap_add_input_filter_handle(ap_http_input_filter_handle, NULL, r, c);
    ap_remove_output_filter_byhandle(r->output_filters, "HTTP_HEADER");
    ap_add_output_filter_handle(head_filter, sse_shadow_of(c), r, c);
    rv = ap_post_read_request(r);
    sse_leave_uncount_request(r);
    return rv == OK;
}

/* It is never destroyed: the last shadows may go while the child ends.  APR may
 * map and unmap each block by itself, which costs more than all else of a
 * stream's end where there are many processors: some are kept for the next. */
void sse_shadow_start(void)
{
    apr_thread_mutex_t *mutex;
    apr_pool_t *pool;

    if (apr_allocator_create(&shadows_allocator) != APR_SUCCESS ||
        apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS ||
        apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pool) !=
            APR_SUCCESS) {
        abort();
    }
    apr_pool_tag(pool, "sse_shadow_allocator");
    apr_allocator_mutex_set(shadows_allocator, mutex);
    apr_allocator_max_free_set(shadows_allocator, KEPT_BYTES);
}

/* Where its client's connection goes, it goes first, whatever pools say. */
static apr_pool_t *create_pool(apr_pool_t *like)
{
    apr_pool_t *pool;

    if (apr_pool_create_unmanaged_ex(&pool, apr_pool_abort_get(like),
                                     shadows_allocator) != APR_SUCCESS) {
        abort();
    }
    apr_pool_tag(pool, "sse_shadow");
    return pool;
}

sse_shadow_t *sse_shadow_create(sse_splice_conn_t *conn, apr_uint32_t id,
                                request_rec *outer, const apr_table_t *headers)
{
    conn_rec *c2 = outer->connection;
    sse_shadow_t *shadow = calloc(1, sizeof(*shadow));

    if (!shadow) {
        abort();
    }
    shadow->conn = conn;
    shadow->id = id;
    shadow->outer = outer;
    shadow->inner.outer = c2;
    shadow->inner.is_draft = 1;
    shadow->bb = apr_brigade_create(outer->pool, c2->bucket_alloc);
    shadow->pool = create_pool(c2->pool);
    shadow->c = create_conn(shadow->pool, c2);
    if (open_conn(shadow)) {
        shadow->r = ap_create_request(shadow->c);
        if (read_request(shadow->r, outer, headers)) {
            return shadow;
        }
    }
    sse_shadow_drop(shadow);
    return NULL;
}

/* EOS in a brigade of its own, behind the head: else httpd takes the response
 * for an empty one, and adds its length, 0. */
void sse_shadow_let_go(sse_shadow_t *shadow)
{
    apr_bucket_alloc_t *list = shadow->bb->bucket_alloc;
    unsigned int aborted;

    if (!shadow->has_head) {
        APR_BRIGADE_INSERT_TAIL(shadow->bb, apr_bucket_flush_create(list));
        pass_down(shadow);
    }
    aborted = shadow->c->aborted;
    APR_BRIGADE_INSERT_TAIL(shadow->bb, apr_bucket_eos_create(list));
    pass_down(shadow);
    /* mod_http2 aborts its connection when it has sent the end. */
    shadow->c->aborted = aborted;
    shadow->outer = NULL;
    shadow->bb = NULL;
    shadow->inner.outer = NULL;
    shadow->c->current_thread = NULL;
    sse_leave_count_request(shadow->r);
}

static void count_bytes(sse_shadow_t *shadow)
{
    APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_out) *add =
        APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_out);

    if (add) {
        add(shadow->c, shadow->bytes);
    }
}

void sse_shadow_destroy(sse_shadow_t *shadow)
{
    conn_rec *c = shadow->c;

    c->current_thread = sse_thread_here();
    c->aborted = sse_conn_is_aborted(c);
    count_bytes(shadow);
    ap_process_request_after_handler(shadow->r);
    sse_shadow_drop(shadow);
}

void sse_shadow_drop(sse_shadow_t *shadow)
{
    apr_pool_destroy(shadow->pool);
    sse_splice_conn_leave(shadow);
}
