/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>

#include "config/sse_config.h"
#include "http/sse/sse_post.h"
#include "http/sse_origin.h"
#include "http/sse_reply.h"
#include "hub/sse_hub.h"
#include "hub/sse_publish.h"

#define TYPES                                                                  \
    "text/event-stream, application/json, application/x-www-form-urlencoded "  \
    "and text/plain"

typedef int reader_fn(sse_post_t *post);

static const struct {
    const char *type;
    reader_fn *read;
} readers[] = {
    {"text/event-stream", sse_feed_read},
    {"application/json", sse_json_read},
    {"application/x-www-form-urlencoded", sse_form_read},
    {"text/plain", sse_plain_read},
};

/* The type without its parameters, in lower case. */
static const char *type_of(request_rec *r)
{
    const char *header = apr_table_get(r->headers_in, "Content-Type");
    char *type = apr_pstrdup(r->pool, header ? header : "");
    apr_size_t len;

    type += strspn(type, " \t");
    len = strcspn(type, "; \t");
    type[len] = '\0';
    ap_str_tolower(type);
    return *type ? type : "text/plain";
}

/* The value of charset=, or NULL.  For text types only: JSON and forms do not
 * have the parameter. */
static const char *charset_of(request_rec *r)
{
    const char *header = apr_table_get(r->headers_in, "Content-Type");
    const char *rest = header ? strchr(header, ';') : NULL;

    while (rest) {
        rest += 1 + strspn(rest + 1, " \t");
        if (!ap_cstr_casecmpn(rest, "charset=", 8)) {
            rest += 8;
            return *rest == '"'
                       ? ap_getword_conf(r->pool, &rest)
                       : apr_pstrmemdup(r->pool, rest, strcspn(rest, "; \t"));
        }
        rest = strchr(rest, ';');
    }
    return NULL;
}

static int charset_ok(const char *charset)
{
    return !charset || !ap_cstr_casecmp(charset, "utf-8") ||
           !ap_cstr_casecmp(charset, "us-ascii");
}

/* @return NULL: 415 was answered */
static reader_fn *find_reader(request_rec *r)
{
    const char *type = type_of(r);
    apr_size_t i;

    if (!strncmp(type, "text/", 5) && !charset_ok(charset_of(r))) {
        sse_reply_error(r, HTTP_UNSUPPORTED_MEDIA_TYPE,
                        "events are UTF-8: send the body with charset=utf-8 or "
                        "without a charset");
        return NULL;
    }
    for (i = 0; i < sizeof(readers) / sizeof(*readers); ++i) {
        if (!strcmp(type, readers[i].type)) {
            return readers[i].read;
        }
    }
    sse_reply_error(r, HTTP_UNSUPPORTED_MEDIA_TYPE,
                    "a body of this Content-Type cannot be published; accepted "
                    "are " TYPES);
    return NULL;
}

/* "channel":"/a" and, with several, ,"channels":["/a","/b"] */
static const char *list_channels(request_rec *r,
                                 const apr_array_header_t *channels)
{
    apr_array_header_t *names =
        apr_array_make(r->pool, channels->nelts, sizeof(const char *));
    const char *first, *name;
    int i;

    for (i = 0; i < channels->nelts; ++i) {
        name = APR_ARRAY_IDX(channels, i, sse_channel_t).name;
        APR_ARRAY_PUSH(names, const char *) =
            sse_reply_quote(r->pool, sse_slice(name));
    }
    first = apr_pstrcat(
        r->pool, "\"channel\":", APR_ARRAY_IDX(names, 0, const char *), NULL);
    return channels->nelts == 1
               ? first
               : apr_pstrcat(r->pool, first, ",\"channels\":[",
                             apr_array_pstrcat(r->pool, names, ','), "]", NULL);
}

/* {head,"ids":["1","2"]}, oldest first; with "published", their number, if only
 * the newest are still known. */
static int answer_ids(request_rec *r, int status, const char *head,
                      const sse_ids_t *ids)
{
    int i, n = sse_ids_count(ids);
    char *text = apr_palloc(r->pool, strlen(head) + (apr_size_t)n * 23 + 64);
    char *out = text + strlen(head);

    memcpy(text, head, strlen(head));
    if (ids->made > (apr_uint64_t)n) {
        out += apr_snprintf(out, 40, ",\"published\":%" APR_UINT64_T_FMT,
                            ids->made);
    }
    out = apr_cpystrn(out, ",\"ids\":[", 10);
    for (i = 0; i < n; ++i) {
        out += apr_snprintf(out, 24, "%s\"%" APR_UINT64_T_FMT "\"",
                            i ? "," : "", sse_ids_get(ids, i));
    }
    out = apr_cpystrn(out, "]}\n", 4);
    return sse_reply_json(r, status, text, (apr_size_t)(out - text));
}

/* With the namespace, because hosts that look like the same one to publisher
 * and subscriber may have different ones, and so different channels. */
static int answer_ok(request_rec *r, const apr_array_header_t *channels,
                     const sse_ids_t *ids, int several)
{
    sse_slice_t ns = sse_slice(sse_conf_namespace(r->server, r->pool));
    const char *head =
        apr_pstrcat(r->pool, "{", list_channels(r, channels),
                    ",\"namespace\":", sse_reply_quote(r->pool, ns), NULL);

    if (several || ids->made != 1) {
        return answer_ids(r, HTTP_OK, head, ids);
    }
    head = apr_psprintf(r->pool, "%s,\"id\":\"%" APR_UINT64_T_FMT "\"}\n", head,
                        sse_ids_get(ids, 0));
    return sse_reply_json(r, HTTP_OK, head, strlen(head));
}

/* A body was refused, of which the first events may be published already. */
static int answer_problem(sse_post_t *post, int feed)
{
    request_rec *r = post->r;
    const sse_problem_t *problem = &post->problem;
    const char *head;

    if (problem->status == DONE) {
        /* The client is gone: a status for the access log, nothing sent. */
        r->status = HTTP_BAD_REQUEST;
        r->connection->keepalive = AP_CONN_CLOSE;
        r->connection->aborted = 1;
        return DONE;
    }
    if (!problem->text) {
        return problem->status;
    }
    if (!feed) {
        return sse_reply_error(r, problem->status, "%s", problem->text);
    }
    head =
        apr_pstrcat(r->pool, "{\"error\":",
                    sse_reply_quote(r->pool, sse_slice(problem->text)), NULL);
    return answer_ids(r, problem->status, head, post->ids);
}

/* For POST and DELETE. @return OK, or DONE: the request was refused */
static int check_request(request_rec *r)
{
    const char *refused = sse_origin_refused(r);

    if (refused) {
        sse_reply_error(r, HTTP_FORBIDDEN, "%s", refused);
        return DONE;
    }
    if (!sse_hub()) {
        apr_table_setn(r->err_headers_out, "Retry-After", SSE_POST_RETRY_AFTER);
        sse_reply_error(r, HTTP_SERVICE_UNAVAILABLE,
                        "the event store could not be opened; the server's "
                        "error log says why");
        return DONE;
    }
    return OK;
}

/* Those that the publisher may publish to. */
static int get_channels(request_rec *r, apr_array_header_t **channels)
{
    int status = sse_handler_channels(r, channels);

    return status == OK
               ? sse_handler_authorize(r, SSE_TO_PUBLISH, channels, NULL)
               : status;
}

int sse_handler_publish(request_rec *r)
{
    apr_array_header_t *channels;
    reader_fn *reader;
    sse_post_t *post;
    int status;

    if (check_request(r) != OK) {
        return OK;
    }
    reader = find_reader(r);
    if (!reader) {
        return OK;
    }
    status = get_channels(r, &channels);
    if (status != OK) {
        return status;
    }
    post = sse_post_create(r, channels);
    status = reader(post);
    if (status == OK) {
        status = sse_post_flush(post);
    }
    sse_post_finish(post);
    if (status != OK) {
        return answer_problem(post, reader == sse_feed_read);
    }
    return answer_ok(r, channels, post->ids,
                     reader == sse_json_read && post->batch);
}

int sse_handler_forget(request_rec *r)
{
    apr_array_header_t *channels;
    sse_ids_t *ids;
    sse_id_t id;
    apr_status_t rv = APR_SUCCESS;
    sse_problem_t problem;
    int status, i;

    if (check_request(r) != OK) {
        return OK;
    }
    status = get_channels(r, &channels);
    if (status != OK) {
        return status;
    }
    ids = sse_ids_create(r);
    for (i = 0; i < channels->nelts && rv == APR_SUCCESS; ++i) {
        rv = sse_publish_forget(APR_ARRAY_IDX(channels, i, sse_channel_t).key,
                                &id);
        if (rv == APR_SUCCESS) {
            sse_ids_add(ids, id);
        }
    }
    if (rv != APR_SUCCESS) {
        sse_post_store_failed(r, rv, 0, &problem);
        return sse_reply_error(r, problem.status, "%s", problem.text);
    }
    return answer_ok(r, channels, ids, 0);
}
