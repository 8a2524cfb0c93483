/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <httpd.h>
#include <http_core.h>
#include <http_protocol.h>

#include "config/sse_config.h"
#include "http/sse_http.h"

typedef enum {
    SSE_ORIGIN_NONE,  /**< not allowed */
    SSE_ORIGIN_ANY,   /**< by "*": without credentials */
    SSE_ORIGIN_LISTED /**< by name */
} sse_origin_e;

static const char *sse_cors_origin(const request_rec *r)
{
    return apr_table_get(r->headers_in, "Origin");
}

static sse_origin_e sse_cors_allows(const request_rec *r, const char *origin)
{
    const apr_array_header_t *origins = sse_conf_origins(r);
    int i;

    for (i = 0; origins && i < origins->nelts; ++i) {
        const char *allowed = APR_ARRAY_IDX(origins, i, const char *);

        if (!strcmp(allowed, "*")) {
            return SSE_ORIGIN_ANY;
        }
        if (!ap_cstr_casecmp(allowed, origin)) {
            return SSE_ORIGIN_LISTED;
        }
    }
    return SSE_ORIGIN_NONE;
}

/* The length of an authority without this port, if it ends in it. */
static apr_size_t sse_cors_bare(const char *authority, const char *port)
{
    apr_size_t len = strlen(authority);
    apr_size_t port_len = strlen(port);

    if (len > port_len && !strcmp(authority + len - port_len, port)) {
        len -= port_len;
    }
    return len;
}

/* As the client spelt it: what it believes to talk to is what its Origin is
 * compared with, whatever ServerName says. */
static const char *sse_cors_authority(const request_rec *r)
{
    return r->parsed_uri.hostinfo ? r->parsed_uri.hostinfo
                                  : apr_table_get(r->headers_in, "Host");
}

/* A page that came by https is at home on a host that speaks http, since there
 * a proxy ends the TLS; one that came by http is not at home on https, as
 * anybody on the way may have written it. */
static int sse_cors_is_own(request_rec *r, const char *origin)
{
    const char *host = sse_cors_authority(r);
    const char *port;
    apr_size_t len;

    if (!ap_cstr_casecmpn(origin, "https://", 8)) {
        origin += 8;
        port = ":443";
    }
    else if (!ap_cstr_casecmpn(origin, "http://", 7) &&
             ap_cstr_casecmp(ap_http_scheme(r), "https")) {
        origin += 7;
        port = ":80";
    }
    else {
        return 0;
    }
    if (!host) {
        return 0;
    }
    len = sse_cors_bare(origin, port);
    return len > 0 && len == sse_cors_bare(host, port) &&
           !ap_cstr_casecmpn(origin, host, len);
}

/* What a browser adds by itself; "*" opens the door to nobody's account. */
static int sse_cors_has_credentials(const request_rec *r)
{
    return r->user || apr_table_get(r->headers_in, "Cookie") ||
           apr_table_get(r->headers_in, "Authorization");
}

int sse_cors_may_publish(request_rec *r)
{
    const char *origin = sse_cors_origin(r);

    if (!origin || sse_cors_is_own(r, origin)) {
        return 1;
    }
    switch (sse_cors_allows(r, origin)) {
    case SSE_ORIGIN_LISTED:
        return 1;
    case SSE_ORIGIN_ANY:
        return !sse_cors_has_credentials(r);
    default:
        return 0;
    }
}

/* err_headers_out, so that they stay should httpd answer an error instead. */
void sse_cors_answer(request_rec *r)
{
    const char *origin = sse_cors_origin(r);
    apr_table_t *headers = r->err_headers_out;
    sse_origin_e allowed;

    if (!sse_conf_origins(r)) {
        return;
    }
    if (!ap_find_token(r->pool, apr_table_get(headers, "Vary"), "Origin")) {
        apr_table_mergen(headers, "Vary", "Origin");
    }
    allowed = origin ? sse_cors_allows(r, origin) : SSE_ORIGIN_NONE;
    if (allowed == SSE_ORIGIN_NONE) {
        return;
    }
    if (allowed == SSE_ORIGIN_LISTED) {
        apr_table_setn(headers, "Access-Control-Allow-Origin", origin);
        apr_table_setn(headers, "Access-Control-Allow-Credentials", "true");
    }
    else {
        apr_table_setn(headers, "Access-Control-Allow-Origin", "*");
    }
    apr_table_setn(headers, "Access-Control-Expose-Headers", "Retry-After");
}

int sse_http_options(request_rec *r)
{
    const char *origin = sse_cors_origin(r);
    const char *allow = sse_http_allow(r);
    apr_table_t *headers = r->err_headers_out;

    apr_table_setn(headers, "Allow", allow);
    if (origin &&
        apr_table_get(r->headers_in, "Access-Control-Request-Method") &&
        sse_cors_allows(r, origin) != SSE_ORIGIN_NONE) {
        apr_table_setn(headers, "Access-Control-Allow-Methods", allow);
        apr_table_setn(headers, "Access-Control-Allow-Headers",
                       "Last-Event-ID, Content-Type, Idempotency-Key, "
                       "Cache-Control");
        apr_table_setn(headers, "Access-Control-Max-Age", "86400");
    }
    return sse_http_empty(r, HTTP_NO_CONTENT);
}
