/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status.h"

#include <httpd.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <http_main.h>
#include <http_protocol.h>
#include <mod_status.h>
#include <string.h>

#include "config/sse_config.h"
#include "http/sse_front.h"
#include "http/sse_query.h"
#include "http/sse_reply.h"
#include "hub/sse_hub.h"
#include "hub/sse_presence.h"
#include "hub/sse_start.h"
#include "shared/sse_counters.h"

/* -- The handler ----------------------------------------------------------- */

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

static int answer(request_rec *r)
{
    const char *json, *channel = asked_channel(r);
    sse_board_t board;

    if (r->method_number != M_GET) {
        apr_table_setn(r->err_headers_out, "Allow", "GET, HEAD");
        return sse_reply_error(r, HTTP_METHOD_NOT_ALLOWED,
                               "the status can only be read");
    }
    if (channel) {
        return answer_channel(r, channel);
    }
    sse_counters_read(&board);
    json = apr_psprintf(
        r->pool,
        "{\"streams\":%" APR_UINT64_T_FMT ",\"opened\":%" APR_UINT64_T_FMT
        ",\"published\":%" APR_UINT64_T_FMT ",\"refused\":%" APR_UINT64_T_FMT
        ",\"limit\":%d,\"threads\":%" APR_UINT64_T_FMT
        ",\"polled\":%" APR_UINT64_T_FMT
        ",\"authorize\":{\"asked\":%" APR_UINT64_T_FMT
        ",\"denied\":%" APR_UINT64_T_FMT ",\"failed\":%" APR_UINT64_T_FMT "}"
        ",\"hooks\":{\"waiting\":%" APR_UINT64_T_FMT
        ",\"sent\":%" APR_UINT64_T_FMT ",\"failed\":%" APR_UINT64_T_FMT
        ",\"dropped\":%" APR_UINT64_T_FMT "}}",
        board.numbers[SSE_COUNTER_STREAMS], board.numbers[SSE_COUNTER_OPENED],
        board.numbers[SSE_COUNTER_EVENTS], board.numbers[SSE_COUNTER_REFUSED],
        sse_conf_max_streams(ap_server_conf),
        board.numbers[SSE_COUNTER_THREADS], board.numbers[SSE_COUNTER_POLLED],
        board.numbers[SSE_COUNTER_ASKED], board.numbers[SSE_COUNTER_ASK_DENIED],
        board.numbers[SSE_COUNTER_ASK_FAILED],
        board.numbers[SSE_COUNTER_HOOKS_WAITING],
        board.numbers[SSE_COUNTER_HOOKS_SENT],
        board.numbers[SSE_COUNTER_HOOKS_FAILED],
        board.numbers[SSE_COUNTER_HOOKS_DROPPED]);
    return sse_reply_json(r, HTTP_OK, json, strlen(json));
}

/* -- A block in mod_status' pages ------------------------------------------ */

/* httpd's scoreboard has an entry for each thread, and so none for a stream
 * that holds no thread: all streams are counted here, by child. */
static void print_child(void *r, pid_t pid, apr_uint64_t streams)
{
    ap_rprintf(r, " %" APR_PID_T_FMT "=%" APR_UINT64_T_FMT, pid, streams);
}

/* For programs: one name and value a line. */
static void print_short(request_rec *r)
{
    sse_board_t board;

    sse_counters_read(&board);
    ap_rprintf(
        r,
        "SSEStreams: %" APR_UINT64_T_FMT "\n"
        "SSEOpened: %" APR_UINT64_T_FMT "\n"
        "SSEPublished: %" APR_UINT64_T_FMT "\n"
        "SSERefused: %" APR_UINT64_T_FMT "\n"
        "SSEStreamsByPID:",
        board.numbers[SSE_COUNTER_STREAMS], board.numbers[SSE_COUNTER_OPENED],
        board.numbers[SSE_COUNTER_EVENTS], board.numbers[SSE_COUNTER_REFUSED]);
    sse_counters_each(print_child, r);
    ap_rputs("\n", r);
}

static void print_row(void *r, pid_t pid, apr_uint64_t streams)
{
    ap_rprintf(r,
               "<tr><td>%" APR_PID_T_FMT "</td><td>%" APR_UINT64_T_FMT
               "</td></tr>\n",
               pid, streams);
}

static void print_page(request_rec *r, int has_tables)
{
    sse_board_t board;

    sse_counters_read(&board);
    ap_rprintf(
        r,
        "<hr />\n<h2>Server-Sent Events</h2>\n"
        "<dl><dt>%" APR_UINT64_T_FMT " streams open (those that take no "
        "thread are not among the workers above)</dt>\n"
        "<dt>%" APR_UINT64_T_FMT " opened, %" APR_UINT64_T_FMT
        " refused, %" APR_UINT64_T_FMT
        " events published since the server was started</dt></dl>\n",
        board.numbers[SSE_COUNTER_STREAMS], board.numbers[SSE_COUNTER_OPENED],
        board.numbers[SSE_COUNTER_REFUSED], board.numbers[SSE_COUNTER_EVENTS]);
    if (has_tables) {
        ap_rputs("<table border=\"0\"><tr><th>PID</th><th>Streams</th></tr>\n",
                 r);
        sse_counters_each(print_row, r);
        ap_rputs("</table>\n", r);
    }
}

static int on_status(request_rec *r, int flags)
{
    if (flags & AP_STATUS_SHORT) {
        print_short(r);
    }
    else {
        print_page(r, !(flags & AP_STATUS_NOTABLE));
    }
    return OK;
}

void sse_status_register(void)
{
    static sse_front_t front = {"sse-status", 0, answer, NULL};

    sse_front_register(&front);
    APR_OPTIONAL_HOOK(ap, status_hook, on_status, NULL, NULL, APR_HOOK_MIDDLE);
}
