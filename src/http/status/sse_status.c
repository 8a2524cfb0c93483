/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status.h"

#include <apr_strings.h>
#include <http_main.h>
#include <string.h>

#include "config/sse_config.h"
#include "http/sse_http.h"
#include "shared/sse_counters.h"

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
        sse_counters_sum(SSE_COUNTER_STREAMS),
        sse_counters_sum(SSE_COUNTER_OPENED),
        sse_counters_sum(SSE_COUNTER_EVENTS),
        sse_counters_sum(SSE_COUNTER_REFUSED),
        sse_conf_max_streams(ap_server_conf),
        sse_counters_sum(SSE_COUNTER_THREADS),
        sse_counters_sum(SSE_COUNTER_POLLED));
    return sse_http_json(r, HTTP_OK, json, strlen(json));
}
