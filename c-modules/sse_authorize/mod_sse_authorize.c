/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* An application in C that is asked who may subscribe (SSEAuthorize): it allows
 * at once, or does what the query says. */

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mod_sse.h"

APLOG_USE_MODULE(sse_authorize);

extern module AP_MODULE_DECLARE_DATA sse_authorize_module;

static int number(const request_rec *r, const char *name)
{
    const char *found = r->args ? strstr(r->args, name) : NULL;

    return found ? atoi(found + strlen(name)) : 0;
}

/* What a handler finds that reads a body. */
static void read_body(request_rec *r)
{
    char buf[8192];
    long n;

    if (ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK) == OK &&
        ap_should_client_block(r)) {
        do {
            n = ap_get_client_block(r, buf, sizeof(buf));
        } while (n > 0);
    }
}

static void on_close(request_rec *r, const sse_close_t *close, void *baton)
{
    APR_OPTIONAL_FN_TYPE(sse_close_name) *name =
        APR_RETRIEVE_OPTIONAL_FN(sse_close_name);

    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, "told of %s: %s", r->uri,
                  name(close->reason));
}

/* Of the client's request, not of the question. */
static void watch(request_rec *r)
{
    APR_OPTIONAL_FN_TYPE(sse_on_close) *on =
        APR_RETRIEVE_OPTIONAL_FN(sse_on_close);

    on(r, SSE_ON_ANY, on_close, NULL, NULL);
}

/* The client's connection as a handler for it may leave it, and a filter of
 * its own at its end. */
static void meddle(request_rec *r)
{
    conn_rec *c = r->connection;

    c->keepalive = AP_CONN_CLOSE;
    c->keepalives += 100;
    ap_add_output_filter("CHUNK", NULL, r, c);
    ap_add_output_filter("CONTENT_LENGTH", NULL, r, c);
    apr_table_set(r->main->headers_in, "X-Meddled", "1");
    apr_table_setn(r->main->notes, "sse-channel",
                   apr_pstrdup(r->pool, "meddled"));
    apr_table_setn(r->main->headers_out, "X-Meddled",
                   apr_pstrdup(r->pool, "meddled"));
}

/* return=N: leaves it to httpd; read=1; meddle=1; watch=1; stream=1. */
static int handler(request_rec *r)
{
    APR_OPTIONAL_FN_TYPE(sse_start) * start;

    if (!r->handler || strcmp(r->handler, "sse-authorize-app")) {
        return DECLINED;
    }
    if (number(r, "read=")) {
        read_body(r);
    }
    if (number(r, "meddle=")) {
        meddle(r);
    }
    if (number(r, "watch=")) {
        watch(r);
    }
    if (number(r, "stream=")) {
        start = APR_RETRIEVE_OPTIONAL_FN(sse_start);
        return start(r, NULL, NULL);
    }
    if (number(r, "return=")) {
        apr_table_setn(r->err_headers_out, "WWW-Authenticate", "Test");
        return number(r, "return=");
    }
    apr_table_setn(r->headers_out, "SSE-User", "c");
    return OK;
}

static void register_hooks(apr_pool_t *pool)
{
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA sse_authorize_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks,
#ifdef AP_MODULE_FLAG_NONE
    AP_MODULE_FLAG_NONE
#endif
};
