/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_ask.h"

#include <stdlib.h>
#include <string.h>

#include <apr_allocator.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "http/sse_front.h"

/* What a later httpd may have added to its request_rec, at the end. */
#define LATER_MEMBERS 256

/* One question; in the pool of its requests. */
typedef struct {
    apr_pool_t *pool;
    const sse_question_t *question;
    request_rec *main; /* the stand-in */
    ap_filter_t in, out;
    char *body;
    apr_size_t len, size;
    apr_time_t first; /* when the first of the body came */
    apr_time_t patience;
    int is_too_large, is_too_slow, is_broken;
    int is_page; /* httpd's own, for an error */
    int is_loop;
} ask_t;

static ap_filter_rec_t *no_body, *collector; /* const after register_hooks */

/* -- Within a question ----------------------------------------------------- */

/* The stand-in is known by its filter. */
static ask_t *ask_of(const request_rec *r)
{
    if (!r->main) {
        return NULL;
    }
    while (r->main) {
        r = r->main;
    }
    return r->output_filters && r->output_filters->frec == collector
               ? r->output_filters->ctx
               : NULL;
}

int sse_ask_refuses_stream(const request_rec *r)
{
    ask_t *ask = ask_of(r);

    if (ask) {
        ask->is_loop = 1;
    }
    return ask != NULL;
}

static void set_env(const ask_t *ask, apr_table_t *env)
{
    apr_table_setn(env, "SSE_METHOD", ask->question->method);
    apr_table_setn(env, "SSE_URI", ask->question->uri);
    apr_table_setn(env, "SSE_CHANNEL", ask->question->channels);
}

/* post_read_request, which of a subrequest runs for internal redirects only. */
static int on_redirect(request_rec *r)
{
    const ask_t *ask = ask_of(r);

    if (ask) {
        set_env(ask, r->subprocess_env);
    }
    return DECLINED;
}

/* After an internal redirect httpd makes pages for errors. */
static void on_error_page(request_rec *r)
{
    ask_t *ask = ask_of(r);

    if (ask) {
        ask->is_page = 1;
    }
}

/* -- The filters ----------------------------------------------------------- */

static apr_status_t give_end(ap_filter_t *f, apr_bucket_brigade *bb,
                             ap_input_mode_t mode, apr_read_type_e block,
                             apr_off_t readbytes)
{
    if (mode != AP_MODE_INIT) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(f->c->bucket_alloc));
    }
    return APR_SUCCESS;
}

static int append(ask_t *ask, const char *data, apr_size_t len)
{
    apr_size_t size = ask->size ? ask->size : 1024;
    char *body;

    if (len > SSE_ASK_BODY_MAX - ask->len) {
        ask->is_too_large = 1;
        return 0;
    }
    while (size < ask->len + len) {
        size *= 2;
    }
    if (size != ask->size) {
        body = apr_palloc(ask->pool, size);
        if (ask->len) {
            memcpy(body, ask->body, ask->len);
        }
        ask->body = body;
        ask->size = size;
    }
    memcpy(ask->body + ask->len, data, len);
    ask->len += len;
    return 1;
}

/* A body that comes byte by byte never lets httpd's own time-outs pass. */
static int is_in_time(ask_t *ask)
{
    apr_time_t now = apr_time_now();

    if (!ask->first) {
        ask->first = now;
    }
    ask->is_too_slow = now - ask->first > ask->patience;
    return !ask->is_too_slow;
}

/* @return whether the answer may go on */
static int take(ask_t *ask, apr_bucket *b)
{
    const char *data;
    apr_size_t len;

    if (AP_BUCKET_IS_ERROR(b) || AP_BUCKET_IS_EOC(b)) {
        ask->is_broken = 1;
    }
    if (APR_BUCKET_IS_METADATA(b)) {
        return 1;
    }
    if (apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
        ask->is_broken = 1;
        return 0;
    }
    return !len || (is_in_time(ask) && append(ask, data, len));
}

/* An error makes the handler give up its answer. */
static apr_status_t collect(ap_filter_t *f, apr_bucket_brigade *bb)
{
    int goes_on = 1;
    apr_bucket *b;

    while (goes_on && !APR_BRIGADE_EMPTY(bb)) {
        b = APR_BRIGADE_FIRST(bb);
        goes_on = take(f->ctx, b);
        apr_bucket_delete(b);
    }
    apr_brigade_cleanup(bb);
    return goes_on ? APR_SUCCESS : APR_ECONNABORTED;
}

static void set_filter(ap_filter_t *f, ap_filter_rec_t *rec, ask_t *ask,
                       request_rec *r)
{
    f->frec = rec;
    f->ctx = ask;
    f->r = r;
    f->c = r->connection;
}

/* -- The stand-in ---------------------------------------------------------- */

/* "SSE" and then what a server of an application may take for a hyphen: their
 * environments have one underscore for "-", "_", "." and more. */
static int is_reserved(const char *name)
{
    return !ap_cstr_casecmpn(name, "SSE", 3) && name[3] &&
           !apr_isalnum(name[3]);
}

/* What is about the client's body, connection, or copy of a response. */
static int is_passed_over(const char *name)
{
    static const char *const prefixes[] = {"Content-", "If-", "Sec-WebSocket-",
                                           "Proxy-Connection"};
    static const char *const names[] = {
        "Accept-Encoding", "Cache-Control",     "Connection",
        "Expect",          "Expires",           "HTTP2-Settings",
        "Keep-Alive",      "Last-Modified",     "Pragma",
        "Range",           "Request-Range",     "TE",
        "Trailer",         "Transfer-Encoding", "Upgrade"};
    apr_size_t i;

    for (i = 0; i < sizeof(prefixes) / sizeof(*prefixes); ++i) {
        if (!ap_cstr_casecmpn(name, prefixes[i], strlen(prefixes[i]))) {
            return 1;
        }
    }
    for (i = 0; i < sizeof(names) / sizeof(*names); ++i) {
        if (!ap_cstr_casecmp(name, names[i])) {
            return 1;
        }
    }
    return 0;
}

static int add_header(void *headers, const char *name, const char *value)
{
    if (!is_reserved(name) && !is_passed_over(name)) {
        apr_table_addn(headers, name, value);
    }
    return 1;
}

static apr_table_t *make_headers(const ask_t *ask, const request_rec *r)
{
    apr_table_t *headers = apr_table_make(ask->pool, 16);

    apr_table_do(add_header, headers, r->headers_in, NULL);
    apr_table_addn(headers, "Cache-Control", "no-cache, no-store");
    apr_table_addn(headers, "SSE-Method", ask->question->method);
    apr_table_addn(headers, "SSE-URI", ask->question->uri);
    apr_table_addn(headers, "SSE-Channel", ask->question->channels);
    return headers;
}

/* What modules keep with a request: theirs to read, while what they add now is
 * gone with the question, as is the memory that they take for it. */
static ap_conf_vector_t *copy_config(const ask_t *ask, const request_rec *r)
{
    ap_conf_vector_t *config = ap_create_request_config(ask->pool);
    const module *m;

    for (m = ap_top_module; m; m = m->next) {
        ap_set_module_config(config, m,
                             ap_get_module_config(r->request_config, m));
    }
    return config;
}

/* To those who look for the first of all requests (sse_callbacks_first()), the
 * stand-in is a redirect from the real one. */
static request_rec *make_main(ask_t *ask, const request_rec *r,
                              const char *path)
{
    request_rec *main = apr_pcalloc(ask->pool, sizeof(*main) + LATER_MEMBERS);

    memcpy(main, r, sizeof(*main));
    main->pool = ask->pool;
    main->main = NULL;
    main->prev = (request_rec *)r;
    main->request_config = copy_config(ask, r);
    main->notes = apr_table_copy(ask->pool, r->notes);
    main->headers_out = apr_table_copy(ask->pool, r->headers_out);
    main->err_headers_out = apr_table_copy(ask->pool, r->err_headers_out);
    main->the_request = apr_pstrcat(ask->pool, "GET ", path, " HTTP/1.1", NULL);
    main->headers_in = make_headers(ask, r);
    main->trailers_in = apr_table_make(ask->pool, 1);
    main->subprocess_env = apr_table_copy(ask->pool, r->subprocess_env);
    set_env(ask, main->subprocess_env);
    main->expecting_100 = 0;
    main->read_length = 0;
    main->kept_body = NULL;
    set_filter(&ask->in, no_body, ask, main);
    set_filter(&ask->out, collector, ask, main);
    main->input_filters = main->proto_input_filters = &ask->in;
    main->output_filters = main->proto_output_filters = &ask->out;
    return main;
}

/* -- The answer ------------------------------------------------------------ */

static void fail(sse_answer_t *answer, const char *why)
{
    answer->how = SSE_ASK_NONE;
    answer->why = why;
}

/* What a handler returned instead of answering, or httpd found before it.  A
 * server error is what mod_proxy and CGI return when no answer came. */
static void refuse(sse_answer_t *answer, request_rec *r, int status)
{
    if (!ap_is_HTTP_VALID_RESPONSE(status)) {
        fail(answer, "its answer broke off");
    }
    else if (status >= 500) {
        fail(answer, apr_psprintf(r->pool,
                                  "no answer came, for which httpd has the "
                                  "status %d",
                                  status));
    }
    else {
        answer->how = SSE_ASK_REFUSED;
        answer->status = status;
    }
}

/* To mod_proxy_fcgi the end of a request is a success, even before the end of
 * its headers. */
static int has_no_head(const request_rec *last)
{
    return last->proxyreq && !last->status_line && !last->content_type &&
           apr_is_empty_table(last->headers_out) &&
           apr_is_empty_table(last->err_headers_out);
}

/* The request whose answer it is: the last one of internal redirects, but the
 * first one that failed (an error document follows it), or that a CGI answered
 * by a redirect to a path, which httpd then serves as if it had been asked for.
 */
static const request_rec *find_last(const request_rec *sub)
{
    while (sub->next && sub->status == HTTP_OK &&
           !apr_table_get(sub->headers_out, "Location")) {
        sub = sub->next;
    }
    return sub;
}

/* @param result what the handler returned, or httpd before it was run */
static void judge(const ask_t *ask, request_rec *r, const request_rec *sub,
                  int result, sse_answer_t *answer)
{
    const request_rec *last = find_last(sub);

    if (ask->is_loop) {
        answer->how = SSE_ASK_LOOP;
    }
    else if (ask->is_too_large) {
        fail(answer, "its answer is larger than " APR_STRINGIFY(
                         SSE_ASK_BODY_MAX) " bytes");
    }
    else if (ask->is_too_slow) {
        fail(answer, "its answer took longer than Timeout says, from the first "
                     "byte to the last");
    }
    else if (ask->is_broken) {
        fail(answer, "its answer broke off");
    }
    else if (result != OK) {
        refuse(answer, r, result);
    }
    else if (last->next || ask->is_page) {
        refuse(answer, r,
               last->status == HTTP_OK ? HTTP_MOVED_TEMPORARILY : last->status);
    }
    else if (has_no_head(last)) {
        fail(answer, "its answer has no whole head");
    }
    else {
        answer->how = SSE_ASK_ANSWERED;
        answer->status = last->status;
    }
}

static int copy_header(void *headers, const char *name, const char *value)
{
    apr_table_add(headers, name, value);
    return 1;
}

static void keep(const ask_t *ask, request_rec *r, const request_rec *sub,
                 sse_answer_t *answer)
{
    sub = find_last(sub);
    answer->headers = apr_table_make(r->pool, 8);
    apr_table_do(copy_header, answer->headers, sub->headers_out, NULL);
    if (sub->err_headers_out != sub->headers_out) {
        apr_table_do(copy_header, answer->headers, sub->err_headers_out, NULL);
    }
    if (answer->how != SSE_ASK_ANSWERED) {
        return;
    }
    if (sub->content_type) {
        apr_table_set(answer->headers, "Content-Type", sub->content_type);
    }
    if (sub->content_encoding) {
        apr_table_set(answer->headers, "Content-Encoding",
                      sub->content_encoding);
    }
    answer->body =
        apr_pstrmemdup(r->pool, ask->body ? ask->body : "", ask->len);
    answer->len = ask->len;
}

/* -- The question ---------------------------------------------------------- */

/* A user whom httpd has authenticated for the client's request is the user of
 * the question, unless that has one by itself. */
static int run(ask_t *ask, const request_rec *r, request_rec *sub)
{
    if (sub->status != HTTP_OK) {
        return sub->status;
    }
    if (sse_front_is_hub(sub->handler)) {
        ask->is_loop = 1;
        return OK;
    }
    if (!sub->user) {
        sub->user = r->user;
        sub->ap_auth_type = r->ap_auth_type;
    }
    sub->protocol = r->protocol; /* programs are told of it; not "INCLUDED" */
    return ap_run_sub_req(sub);
}

/* As of a first request: of a later one on its connection mod_proxy lets the
 * client believe that the connection broke, where its back end's did. */
static int run_as_first(ask_t *ask, const request_rec *r, const char *path,
                        request_rec **sub)
{
    conn_rec *c = r->connection;
    ap_conn_keepalive_e keepalive = c->keepalive;
    int keepalives = c->keepalives;
    int result;

    c->keepalives = 0;
    *sub = ap_sub_req_method_uri("GET", path, ask->main, &ask->out);
    result = run(ask, r, *sub);
    c->keepalives = keepalives;
    c->keepalive = keepalive;
    return result;
}

/* With an allocator of its own: that of the connection would keep the memory
 * for as long as the stream lasts. */
static apr_pool_t *make_pool(const request_rec *r)
{
    apr_allocator_t *allocator;
    apr_pool_t *pool;

    if (apr_allocator_create(&allocator) != APR_SUCCESS) {
        abort();
    }
    apr_pool_create_ex(&pool, r->pool, NULL, allocator);
    apr_allocator_owner_set(allocator, pool);
    apr_pool_tag(pool, "sse_ask");
    return pool;
}

void sse_ask_run(request_rec *r, const char *path,
                 const sse_question_t *question, sse_answer_t *answer)
{
    apr_pool_t *pool = make_pool(r);
    request_rec *sub;
    ask_t *ask;
    int result;

    ask = apr_pcalloc(pool, sizeof(*ask));
    ask->pool = pool;
    ask->question = question;
    ask->patience = r->server->timeout;
    ask->main = make_main(ask, r, path);
    result = run_as_first(ask, r, path, &sub);
    memset(answer, 0, sizeof(*answer));
    judge(ask, r, sub, result, answer);
    keep(ask, r, sub, answer);
    if (result != SUSPENDED) { /* else another thread may still have it */
        apr_pool_destroy(pool);
    }
}

void sse_ask_register(void)
{
    no_body = ap_register_input_filter("SSE_ASK_IN", give_end, NULL,
                                       AP_FTYPE_PROTOCOL);
    collector = ap_register_output_filter("SSE_ASK_OUT", collect, NULL,
                                          AP_FTYPE_PROTOCOL);
    ap_hook_post_read_request(on_redirect, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_insert_error_filter(on_error_page, NULL, NULL, APR_HOOK_MIDDLE);
}
