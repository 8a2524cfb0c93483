/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_async_upgrade.c
 * Requests for another protocol on an asynchronous connection.
 *
 * httpd cannot take the connection back, as another protocol needs: mod_http2
 * leaves an idle connection to the MPM, and the loop knows only HTTP/1.x.  Nor
 * can the connection begin to use TLS, as mod_ssl does with "SSLEngine
 * optional".  A server may ignore an upgrade (RFC 9110, 7.8), and the request
 * is served as it is.  An upgrade that stays with its handler, as a WebSocket
 * does with mod_proxy, is not affected.
 *
 * Threads: the request's.
 */

#include "stream/async/sse_async_private.h"

#include <apr_strings.h>
#include <http_log.h>

APLOG_USE_MODULE(sse);

static int is_httpds(const char *protocol)
{
    return !strcasecmp(protocol, "h2c") || !strncasecmp(protocol, "TLS/", 4);
}

/* @return what is left of the list; NULL: nothing */
static const char *without_httpds(apr_pool_t *pool, const char *list)
{
    const char *left = NULL;
    char *token, *state;

    token = apr_strtok(apr_pstrdup(pool, list), ", \t", &state);
    for (; token; token = apr_strtok(NULL, ", \t", &state)) {
        if (!is_httpds(token)) {
            left = left ? apr_pstrcat(pool, left, ", ", token, NULL) : token;
        }
    }
    return left;
}

int sse_async_keep_protocol(request_rec *r)
{
    const sse_conn_record_t *record = sse_conn_record(r->connection);
    const char *wanted, *left;

    if (r->main || r->prev || !record || !record->async) {
        return DECLINED;
    }
    wanted = apr_table_get(r->headers_in, "Upgrade");
    left = wanted ? without_httpds(r->pool, wanted) : NULL;
    if (left) {
        apr_table_setn(r->headers_in, "Upgrade", left);
    }
    else if (wanted) {
        apr_table_unset(r->headers_in, "Upgrade");
        ap_log_rerror(
            APLOG_MARK, APLOG_DEBUG, 0, r,
            "Upgrade: %s ignored: the connection has carried a stream "
            "and stays with HTTP/1.x",
            wanted);
    }
    return DECLINED;
}
