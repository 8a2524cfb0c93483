/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_status.h"

#include <apr_strings.h>
#include <http_main.h>
#include <string.h>

#include "config/sse_config.h"
#include "http/sse_http.h"
#include "sse_board.h"

int sse_status_handler(request_rec *r)
{
    const char *json;

    if (!r->handler || strcmp(r->handler, SSE_STATUS_HANDLER)) {
        return DECLINED;
    }
    if (r->method_number != M_GET) {
        apr_table_setn(r->err_headers_out, "Allow", "GET, HEAD");
        return sse_http_error(r, HTTP_METHOD_NOT_ALLOWED,
                              "the status can only be read");
    }
    json = apr_psprintf(
        r->pool,
        "{\"streams\":%" APR_UINT64_T_FMT ",\"opened\":%" APR_UINT64_T_FMT
        ",\"published\":%" APR_UINT64_T_FMT ",\"refused\":%" APR_UINT64_T_FMT
        ",\"limit\":%d,\"threads\":%" APR_UINT64_T_FMT
        ",\"polled\":%" APR_UINT64_T_FMT "}",
        sse_board_sum(SSE_BOARD_STREAMS), sse_board_sum(SSE_BOARD_OPENED),
        sse_board_sum(SSE_BOARD_EVENTS), sse_board_sum(SSE_BOARD_REFUSED),
        sse_conf_max_streams(ap_server_conf), sse_board_sum(SSE_BOARD_THREADS),
        sse_board_sum(SSE_BOARD_POLLED));
    return sse_http_json(r, HTTP_OK, json, strlen(json));
}
