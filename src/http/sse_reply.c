/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_reply.h"

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_log.h>
#include <http_protocol.h>
#include <mod_core.h>
#include <util_filter.h>

#include "event/sse_json_text.h"
#include "http/sse_cors.h"

APLOG_USE_MODULE(sse);

const char *sse_reply_quote(apr_pool_t *pool, sse_slice_t text)
{
    char *quoted = apr_palloc(pool, sse_json_quoted_size(text) + 1);

    quoted[sse_json_quote(text, quoted)] = '\0';
    return quoted;
}

/* httpd would answer a request with Range by a part (206) of a 200 response,
 * whatever the method. */
static void keep_whole(request_rec *r)
{
    ap_filter_t *f, *next;

    for (f = r->output_filters; f; f = next) {
        next = f->next;
        if (f->frec == ap_byterange_filter_handle) {
            ap_remove_output_filter(f);
        }
    }
}

static int answer(request_rec *r, int status, const char *body, apr_size_t len)
{
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, alloc);
    apr_status_t rv;

    r->status = status;
    /* httpd would answer 500 for one that it does not know (418, 419). */
    r->status_line = ap_get_status_line_ex(r->pool, status);
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    sse_cors_answer(r);
    if (len) {
        APR_BRIGADE_INSERT_TAIL(
            bb, apr_bucket_pool_create(body, len, r->pool, alloc));
    }
    /* With the EOS in the same brigade the head is sent before httpd looks at
     * an unread request body, and so says whether the connection is kept. */
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(alloc));
    keep_whole(r);
    rv = ap_pass_brigade(r->output_filters, bb);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, rv, r,
                      "the response could not be sent");
    }
    return OK;
}

int sse_reply_body(request_rec *r, int status, const char *type,
                   const char *body, apr_size_t len)
{
    ap_set_content_type(r, type);
    ap_set_content_length(r, (apr_off_t)len);
    return answer(r, status, body, len);
}

int sse_reply_json(request_rec *r, int status, const char *json, apr_size_t len)
{
    return sse_reply_body(r, status, "application/json", json, len);
}

int sse_reply_empty(request_rec *r, int status)
{
    return answer(r, status, NULL, 0);
}

int sse_reply_error(request_rec *r, int status, const char *format, ...)
{
    const char *text, *json;
    va_list args;

    va_start(args, format);
    text = apr_pvsprintf(r->pool, format, args);
    va_end(args);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "answered %d: %s", status,
                  ap_escape_logitem(r->pool, text));
    json = apr_pstrcat(r->pool,
                       "{\"error\":", sse_reply_quote(r->pool, sse_slice(text)),
                       "}\n", NULL);
    return sse_reply_json(r, status, json, strlen(json));
}
