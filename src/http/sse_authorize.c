/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_authorize.h"

#include <string.h>

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "config/sse_config.h"
#include "conn/sse_conn.h"
#include "http/sse_ask.h"
#include "http/sse_reply.h"
#include "loop/sse_peer.h"
#include "shared/sse_counters.h"

APLOG_USE_MODULE(sse);

/* As long as a request line may be. */
#define PATH_MAX_BYTES DEFAULT_LIMIT_REQUEST_LINE

/* -- The log --------------------------------------------------------------- */

/* A client that has left may be why a handler gave up. */
static int has_left(request_rec *r)
{
    int keep = sse_conf_half_close_keep(r) && sse_conn_may_half_close(r);
    int fd = sse_conn_fd(r->connection);

    return sse_conn_is_aborted(r->connection) ||
           (fd >= 0 && sse_peer_look(fd, keep) != SSE_CLOSE_NONE);
}

/* @param what a sentence, or several, that ends without a full stop */
static void complain(request_rec *r, const sse_ask_conf_t *conf,
                     const char *what)
{
    if (has_left(r)) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      "SSEAuthorize %s: %s, and the client has left",
                      conf->text, ap_escape_logitem(r->pool, what));
    }
    else if (sse_complain_is_due(conf->complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "SSEAuthorize %s: %s. Not logged again for a minute",
                      conf->text, ap_escape_logitem(r->pool, what));
    }
}

static void complain_is_over(request_rec *r, const sse_ask_conf_t *conf)
{
    if (sse_complain_is_over(conf->complaint)) {
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                      "SSEAuthorize %s: the application answers again",
                      conf->text);
    }
}

/* -- The question ---------------------------------------------------------- */

/* Whatever a request line cannot have is percent-encoded: the client may have
 * sent it. */
static const char *encode(const request_rec *r, const char *text)
{
    char *encoded = apr_palloc(r->pool, 3 * strlen(text) + 1), *out = encoded;

    for (; *text; ++text) {
        if (*text > ' ' && *text < 0x7f && *text != '#') {
            *out++ = *text;
        }
        else {
            out += apr_snprintf(out, 4, "%%%02X", (unsigned char)*text);
        }
    }
    *out = '\0';
    return encoded;
}

/* @return NULL: no path of this host */
static const char *make_path(const request_rec *r, const char *text)
{
    return text[0] == '/' && text[1] != '/' && strlen(text) <= PATH_MAX_BYTES
               ? encode(r, text)
               : NULL;
}

/* httpd logs what went wrong with the expression. */
static const char *path_of(request_rec *r, const sse_ask_conf_t *conf)
{
    const char *err = NULL, *path = NULL;
    const char *text = ap_expr_str_exec(r, conf->expr, &err);

    if (text && !err) {
        path = make_path(r, text);
        if (!path) {
            complain(r, conf,
                     apr_psprintf(r->pool,
                                  "it gives '%.100s', which is no path of this "
                                  "host: it must begin with one slash, and "
                                  "have at most %d bytes. Requests are "
                                  "answered 500",
                                  text, PATH_MAX_BYTES));
        }
    }
    return path;
}

/* As the client has sent it, with a name of the host left out: also where it is
 * no path that could be asked, such as one with two slashes, which httpd takes
 * for one. */
static const char *uri_of(const request_rec *r)
{
    const char *uri;

    while (r->prev) {
        r = r->prev;
    }
    uri = r->unparsed_uri;
    if (!uri || *uri != '/') {
        uri =
            apr_uri_unparse(r->pool, &r->parsed_uri, APR_URI_UNP_OMITSITEPART);
    }
    return *uri ? encode(r, uri) : "/";
}

static const char *list_of(request_rec *r, const apr_array_header_t *channels)
{
    apr_array_header_t *names =
        apr_array_make(r->pool, channels->nelts, sizeof(const char *));
    int i;

    for (i = 0; i < channels->nelts; ++i) {
        APR_ARRAY_PUSH(names, const char *) =
            sse_grant_encode(APR_ARRAY_IDX(channels, i, const char *), r->pool);
    }
    return apr_array_pstrcat(r->pool, names, ' ');
}

/* -- The client's answer --------------------------------------------------- */

/* A value that httpd would not send stays out: it would replace the answer. */
static int add_header(void *headers, const char *name, const char *value)
{
    if (!*ap_scan_http_field_content(value)) {
        apr_table_add(headers, name, value);
    }
    return 1;
}

static int refused(request_rec *r, sse_counter_e number)
{
    sse_counters_add(number, 1);
    apr_table_setn(r->notes, "sse-refused", "SSEAuthorize");
    return DONE;
}

static int answer_misconfigured(request_rec *r)
{
    sse_reply_error(r, HTTP_INTERNAL_SERVER_ERROR,
                    "the application that decides here cannot be asked; the "
                    "server's error log says why");
    return refused(r, SSE_COUNTER_ASK_FAILED);
}

static int answer_failed(request_rec *r)
{
    sse_reply_error(r, HTTP_BAD_GATEWAY,
                    "the application that decides here gave no valid answer; "
                    "try again later. The server's error log says more");
    return refused(r, SSE_COUNTER_ASK_FAILED);
}

static int answer_denied(request_rec *r, const sse_answer_t *answer)
{
    int is_redirect = ap_is_HTTP_REDIRECT(answer->status);
    int status = is_redirect ? HTTP_FORBIDDEN : answer->status;
    const char *type = apr_table_get(answer->headers, "Content-Type");

    apr_table_do(add_header, r->err_headers_out, answer->headers,
                 "WWW-Authenticate", "Location", "Set-Cookie", "Retry-After",
                 NULL);
    if (answer->len) {
        apr_table_do(add_header, r->err_headers_out, answer->headers,
                     "Content-Encoding", NULL);
        sse_reply_body(r, status, type ? type : "text/plain", answer->body,
                       answer->len);
    }
    else {
        sse_reply_error(r, status,
                        is_redirect
                            ? "the application that decides here refused this "
                              "by a redirect (%d)"
                            : "the application that decides here refused this "
                              "(%d)",
                        answer->status);
    }
    return refused(r, SSE_COUNTER_ASK_DENIED);
}

static int is_final(int status)
{
    return status >= 200 && status <= 599 && status != HTTP_NOT_MODIFIED;
}

static void set_notes(request_rec *r, const sse_grant_t *grant)
{
    const char *user = grant->user ? grant->user : r->user;

    if (user) {
        apr_table_setn(r->notes, "sse-user", user);
    }
    if (grant->session) {
        apr_table_setn(r->notes, "sse-session", grant->session);
    }
}

static int let_in(request_rec *r, const sse_ask_conf_t *conf,
                  const sse_answer_t *answer, sse_grant_t *grant)
{
    const char *wrong = sse_grant_read(grant, answer->headers, r->pool);

    if (wrong) {
        complain(r, conf,
                 apr_pstrcat(r->pool, "the application's answer is invalid: ",
                             wrong, "; it is answered 502", NULL));
        return answer_failed(r);
    }
    complain_is_over(r, conf);
    set_notes(r, grant);
    apr_table_do(add_header, r->err_headers_out, answer->headers, "Set-Cookie",
                 NULL);
    return OK;
}

/* @param path that was asked */
static int settle(request_rec *r, const sse_ask_conf_t *conf, const char *path,
                  const sse_answer_t *answer, sse_grant_t *grant)
{
    const char *why = answer->why;

    if (answer->how == SSE_ASK_LOOP) {
        complain(r, conf,
                 apr_psprintf(r->pool,
                              "%.100s is a location of streams itself, or is "
                              "redirected to one, so there is no application "
                              "to ask. Give it another handler; requests are "
                              "answered 500",
                              path));
        return answer_misconfigured(r);
    }
    if (answer->how != SSE_ASK_NONE && !is_final(answer->status)) {
        why = apr_psprintf(r->pool, "its status is %d, which decides nothing",
                           answer->status);
    }
    if (why) {
        complain(r, conf,
                 apr_psprintf(r->pool,
                              "the application did not answer %.100s: %s. "
                              "Requests are answered 502; lines of mod_proxy "
                              "or CGI, or the application's own log, may say "
                              "more",
                              path, why));
        return answer_failed(r);
    }
    if (ap_is_HTTP_SUCCESS(answer->status)) {
        return let_in(r, conf, answer, grant);
    }
    complain_is_over(r, conf);
    return answer_denied(r, answer);
}

int sse_authorize(request_rec *r, sse_authorize_e what,
                  const apr_array_header_t *channels, sse_grant_t *grant)
{
    const sse_ask_conf_t *conf = what == SSE_TO_SUBSCRIBE
                                     ? sse_conf_ask_subscribe(r)
                                     : sse_conf_ask_publish(r);
    sse_question_t question;
    sse_answer_t answer;
    const char *path;

    memset(grant, 0, sizeof(*grant));
    if (!conf || !conf->expr) {
        return OK;
    }
    path = path_of(r, conf);
    if (!path) {
        return answer_misconfigured(r);
    }
    question.method = r->method;
    question.uri = uri_of(r);
    question.channels = list_of(r, channels);
    sse_counters_add(SSE_COUNTER_ASKED, 1);
    sse_ask_run(r, path, &question, &answer);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "SSEAuthorize: %s answered %d",
                  path, answer.status);
    return settle(r, conf, path, &answer, grant);
}
