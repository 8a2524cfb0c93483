/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Has the hooks of streams and logs what they are told of those below
 * /stream/hook/, one line each:
 *
 *     hook open STREAM type=TYPE channel=CHANNEL
 *     hook close STREAM reason=NAME by_client=N events=N ... pool=ok
 *     hook slept STREAM
 *
 * With the query string "hold=NAME" the last one comes when there is no file
 * logs/hook-hold-NAME: the close callback waits for that.  The handler
 * "sse-subrequest" answers with its query string's URL. */

#if CONFIG_FOR_HTTPD_TEST

<IfModule mod_sse.c>
    <Location "/stream/hook/">
        SetHandler sse
        SSEPublish On
        SSEHeartbeat 0
        Header always set X-Hook seen
        Header set X-Also seen
    </Location>

    <Location "/stream/hook/short/">
        SSEMaxAge 300ms
    </Location>

    <Location "/stream-subrequest">
        SetHandler sse-subrequest
    </Location>
</IfModule>

#endif

/* The harness reads these when its header is included, so they come first. */
#define APACHE_HTTPD_TEST_HANDLER subrequest_handler
#define APACHE_HTTPD_TEST_EXTRA_HOOKS(p)                                       \
    do {                                                                       \
        APR_OPTIONAL_HOOK(sse, stream_open, on_open, NULL, NULL,               \
                          APR_HOOK_MIDDLE);                                    \
        APR_OPTIONAL_HOOK(sse, stream_close, on_close, NULL, NULL,             \
                          APR_HOOK_MIDDLE);                                    \
        ap_hook_optional_fn_retrieve(retrieve, NULL, NULL, APR_HOOK_MIDDLE);   \
    } while (0)

#include "apache_httpd_test.h"
#include "mod_sse.h"
#include "apr_strings.h"
#include <unistd.h>

static APR_OPTIONAL_FN_TYPE(sse_close_name) *close_name;

static void retrieve(void)
{
    close_name = APR_RETRIEVE_OPTIONAL_FN(sse_close_name);
}

static int is_ours(request_rec *r)
{
    return !strncmp(r->uri, "/stream/hook/", 13);
}

static const char *get(apr_table_t *table, const char *name)
{
    const char *value = apr_table_get(table, name);

    return value ? value : "-";
}

static void on_open(sse_stream_t *stream, request_rec *r)
{
    if (is_ours(r)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      "hook open %s type=%s channel=%s",
                      get(r->notes, "sse-stream"), r->content_type,
                      get(r->notes, "sse-channel"));
    }
}

/* The callback's pool is its own, and can be used as any other. */
static const char *try_pool(const sse_close_t *close)
{
    char *text = apr_psprintf(close->pool, "%s", "o");
    apr_pool_t *child;

    apr_pool_create(&child, close->pool);
    text = apr_pstrcat(child, text, "k", NULL);
    return apr_pstrdup(close->pool, text);
}

/* Not for ever, should the test have died. */
static void wait_while_held(request_rec *r, const sse_close_t *close)
{
    const char *hold = r->args ? strstr(r->args, "hold=") : NULL;
    const char *file;
    int i;

    if (!hold) {
        return;
    }
    file = ap_server_root_relative(
        close->pool,
        apr_pstrcat(close->pool, "logs/hook-hold-", hold + 5, NULL));
    for (i = 0; i < 6000 && !access(file, F_OK); ++i) {
        apr_sleep(apr_time_from_msec(20));
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "hook slept %s",
                  get(r->notes, "sse-stream"));
}

static void on_close(sse_stream_t *stream, request_rec *r,
                     const sse_close_t *close)
{
    if (!is_ours(r)) {
        return;
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "hook close %s reason=%s by_client=%d events=%"
                  APR_UINT64_T_FMT " bytes=%" APR_OFF_T_FMT
                  " last=%s lived=%" APR_TIME_T_FMT
                  " type=%s note=%s counted=%s channel=%s always=%s also=%s "
                  "user=%s pool=%s",
                  get(r->notes, "sse-stream"),
                  close_name ? close_name(close->reason) : "?",
                  close->by_client, close->events, close->bytes,
                  close->last_event_id ? close->last_event_id : "-",
                  close->closed - close->opened, r->content_type,
                  get(r->notes, "sse-close"), get(r->notes, "sse-events"),
                  get(r->notes, "sse-channel"),
                  get(r->headers_out, "X-Hook"),
                  get(r->headers_out, "X-Also"),
                  get(r->headers_in, "X-User"), try_pool(close));
    wait_while_held(r, close);
}

static int subrequest_handler(request_rec *r)
{
    request_rec *sub;
    int status;

    if (!r->handler || strcmp(r->handler, "sse-subrequest") || !r->args) {
        return DECLINED;
    }
    ap_set_content_type(r, "text/event-stream");
    sub = ap_sub_req_lookup_uri(r->args, r, r->output_filters);
    status = sub->status == HTTP_OK ? ap_run_sub_req(sub) : sub->status;
    ap_destroy_sub_req(sub);
    return status;
}

APACHE_HTTPD_TEST_MODULE(sse_hook);
