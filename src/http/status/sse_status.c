/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status.h"

#include <httpd.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <mod_status.h>
#include <string.h>

#include "config/sse_config.h"
#include "http/sse/sse_accept.h"
#include "http/sse_front.h"
#include "http/sse_query.h"
#include "http/sse_reply.h"
#include "hub/sse_hub.h"
#include "hub/sse_presence.h"
#include "hub/sse_start.h"
#include "http/status/sse_status_metrics.h"
#include "http/status/sse_status_server.h"

/* -- One channel ----------------------------------------------------------- */

/* What cannot be decoded, or is empty, is no name. @return NULL: not asked */
static const char *asked_channel(const request_rec *r)
{
    static const char *const names[] = {"channel", NULL};
    int is_bad = 0;
    const char *name = sse_query_value(r, names, &is_bad);

    if (!name) {
        return sse_query_has(r, names[0]) ? "" : NULL;
    }
    return is_bad ? "" : name;
}

static int answer_channel(request_rec *r, const char *name)
{
    sse_room_t room = {0};
    sse_slice_t key, json;
    sse_id_t last;
    apr_status_t rv;
    int status;

    if (!sse_hub_key(r->server, name, r->pool, &key)) {
        return sse_reply_error(r, HTTP_BAD_REQUEST,
                               "a channel's name must be 1 to %d bytes of "
                               "UTF-8 without control characters",
                               SSE_CHANNEL_MAX);
    }
    rv = sse_hub()
             ? sse_start_complain(sse_hub(), sse_presence_document(
                                                 key, 1, &room, &json, &last))
             : APR_ENOTIMPL; /* which was logged as the child began */
    if (rv == APR_SUCCESS) {
        status = sse_reply_json(
            r, HTTP_OK, apr_pstrmemdup(r->pool, json.ptr, json.len), json.len);
    }
    else {
        status = sse_reply_error(r, HTTP_SERVICE_UNAVAILABLE,
                                 "the event store cannot tell who is on a "
                                 "channel; the server's error log says why");
    }
    sse_room_free(&room);
    return status;
}

/* -- What the client wants ------------------------------------------------- */

typedef enum {
    FORMAT_UNKNOWN,
    FORMAT_JSON,
    FORMAT_OPEN,   /* OpenMetrics */
    FORMAT_CLASSIC /* what Prometheus had before */
} format_e;

/* Of several that a client likes as much, the first. */
static const struct {
    format_e format;
    const char *type, *subtype;
} types[] = {{FORMAT_JSON, "application", "json"},
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
           : !strcmp(name, "metrics") ? which_metrics(accept)
                                      : FORMAT_UNKNOWN;
}

/* -- The handler ----------------------------------------------------------- */

static int answer_numbers(request_rec *r, format_e format)
{
    sse_text_t text = {.pool = r->pool};
    sse_status_t status;

    sse_status_read(&status, r->pool);
    if (format == FORMAT_JSON) {
        sse_status_json(&status, &text);
        return sse_reply_json(r, HTTP_OK, text.ptr, text.len);
    }
    sse_status_metrics(&status, format == FORMAT_CLASSIC, &text);
    return sse_reply_body(r, HTTP_OK,
                          format == FORMAT_CLASSIC ? SSE_METRICS_CLASSIC
                                                   : SSE_METRICS_OPEN,
                          text.ptr, text.len);
}

static int answer(request_rec *r)
{
    const char *channel = asked_channel(r);
    format_e format = choose(r);

    apr_table_mergen(r->err_headers_out, "Vary", "Accept");
    if (r->method_number != M_GET) {
        apr_table_setn(r->err_headers_out, "Allow", "GET, HEAD");
        return sse_reply_error(r, HTTP_METHOD_NOT_ALLOWED,
                               "the status can only be read");
    }
    if (format == FORMAT_UNKNOWN) {
        return sse_reply_error(r, HTTP_BAD_REQUEST,
                               "this format is not known: json and metrics "
                               "are");
    }
    return channel ? answer_channel(r, channel) : answer_numbers(r, format);
}

void sse_status_init(sse_store_t *store) { sse_status_use_store(store); }

void sse_status_register(void)
{
    static sse_front_t front = {"sse-status", 0, answer, NULL};

    sse_front_register(&front);
    APR_OPTIONAL_HOOK(ap, status_hook, sse_status_server, NULL, NULL,
                      APR_HOOK_MIDDLE);
}
