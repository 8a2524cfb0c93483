/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status.h"

#include <httpd.h>
#include <apr_optional_hooks.h>
#include <mod_status.h>
#include <string.h>

#include "http/sse/sse_accept.h"
#include "http/sse_front.h"
#include "http/sse_query.h"
#include "http/sse_reply.h"
#include "http/status/sse_status_channels.h"
#include "http/status/sse_status_live.h"
#include "http/status/sse_status_metrics.h"
#include "http/status/sse_status_page.h"
#include "http/status/sse_status_server.h"

/* -- What the client wants ------------------------------------------------- */

typedef enum {
    FORMAT_UNKNOWN,
    FORMAT_JSON,
    FORMAT_PAGE,
    FORMAT_STREAM,
    FORMAT_OPEN,   /* OpenMetrics */
    FORMAT_CLASSIC /* what Prometheus had before */
} format_e;

/* Of several that a client likes as much, the first. */
static const struct {
    format_e format;
    const char *type, *subtype;
} types[] = {{FORMAT_JSON, "application", "json"},
             {FORMAT_PAGE, "text", "html"},
             {FORMAT_STREAM, "text", "event-stream"},
             {FORMAT_OPEN, "application", "openmetrics-text"},
             {FORMAT_CLASSIC, "text", "plain"}};

static format_e by_accept(const char *accept)
{
    format_e format = FORMAT_JSON;
    int best = 0, quality;
    apr_size_t i;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); ++i) {
        quality = sse_accept_quality(accept, types[i].type, types[i].subtype);
        if (quality > best) {
            best = quality;
            format = types[i].format;
        }
    }
    return format;
}

static format_e which_metrics(const char *accept)
{
    return sse_accept_quality(accept, "text", "plain") >
                   sse_accept_quality(accept, "application", "openmetrics-text")
               ? FORMAT_CLASSIC
               : FORMAT_OPEN;
}

static format_e choose(const request_rec *r)
{
    static const char *const names[] = {"format", NULL};
    const char *accept = apr_table_get(r->headers_in, "Accept");
    const char *name = sse_query_value(r, names, NULL);

    if (!name) {
        return sse_query_has(r, names[0]) ? FORMAT_UNKNOWN : by_accept(accept);
    }
    return !strcmp(name, "json")      ? FORMAT_JSON
           : !strcmp(name, "html")    ? FORMAT_PAGE
           : !strcmp(name, "stream")  ? FORMAT_STREAM
           : !strcmp(name, "metrics") ? which_metrics(accept)
                                      : FORMAT_UNKNOWN;
}

/* -- The handler ----------------------------------------------------------- */

static int answer_numbers(request_rec *r, format_e format)
{
    int is_classic = format == FORMAT_CLASSIC;
    sse_text_t text = {.pool = r->pool};
    sse_status_t status;

    sse_status_read(&status, r->pool);
    if (format == FORMAT_PAGE) {
        return sse_status_page(r, &status);
    }
    if (format == FORMAT_JSON) {
        sse_status_json(&status, &text);
        return sse_reply_json(r, HTTP_OK, text.ptr, text.len);
    }
    sse_status_metrics(&status, is_classic, &text);
    return sse_reply_body(r, HTTP_OK,
                          is_classic ? SSE_METRICS_CLASSIC : SSE_METRICS_OPEN,
                          text.ptr, text.len);
}

/* What Accept says besides these two does not matter, as the query says what is
 * wanted. */
static int answer_channels(request_rec *r, format_e format)
{
    if (format != FORMAT_JSON && format != FORMAT_PAGE &&
        sse_query_has(r, "format")) {
        return sse_reply_error(r, HTTP_BAD_REQUEST,
                               "channels are shown as json or html");
    }
    return sse_status_channels(r, format == FORMAT_PAGE);
}

static int answer(request_rec *r)
{
    format_e format = choose(r);

    apr_table_mergen(r->err_headers_out, "Vary", "Accept");
    if (r->method_number != M_GET) {
        apr_table_setn(r->err_headers_out, "Allow", "GET, HEAD");
        return sse_reply_error(r, HTTP_METHOD_NOT_ALLOWED,
                               "the status can only be read");
    }
    if (format == FORMAT_UNKNOWN) {
        return sse_reply_error(r, HTTP_BAD_REQUEST,
                               "this format is not known: html, json, metrics "
                               "and stream are");
    }
    if (sse_status_asks_for_channels(r)) {
        return answer_channels(r, format);
    }
    return format == FORMAT_STREAM ? sse_status_live(r)
                                   : answer_numbers(r, format);
}

void sse_status_init(sse_store_t *store, sse_loop_t *loop)
{
    sse_status_use_store(store);
    sse_status_live_init(loop);
}

void sse_status_register(void)
{
    static sse_front_t front = {"sse-status", 0, answer, NULL};

    sse_front_register(&front);
    APR_OPTIONAL_HOOK(ap, status_hook, sse_status_server, NULL, NULL,
                      APR_HOOK_MIDDLE);
}
