/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/sse_origin.h"

#include <string.h>

#include <arpa/inet.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <httpd.h>
#include <http_protocol.h>

#include "config/sse_config.h"
#include "config/sse_values.h"
#include "http/sse_cors.h"

/** A host and a port. */
typedef struct {
    const char *host; /**< in brackets if it is an IPv6 address */
    int port;
} authority_t;

/** An Origin, parsed. */
typedef struct {
    const char *scheme; /**< "http" or "https" */
    authority_t at;
} origin_t;

/* The end of the host; NULL: it is not a host. */
static const char *host_end(const char *text)
{
    const char *end = text;

    if (*text == '[') {
        end = strchr(text, ']');
        return end ? end + 1 : NULL;
    }
    while (apr_isalnum(*end) || (*end && strchr("-._", *end))) {
        ++end;
    }
    return end > text ? end : NULL;
}

/* host or host:port. @return whether it is valid */
static int parse_authority(apr_pool_t *pool, const char *text,
                           const char *scheme, authority_t *at)
{
    const char *end = host_end(text);
    apr_int64_t number;
    char *rest;

    if (!end) {
        return 0;
    }
    at->host = apr_pstrmemdup(pool, text, (apr_size_t)(end - text));
    at->port = apr_uri_port_of_scheme(scheme);
    if (*end != ':' || !apr_isdigit(end[1])) {
        return !*end;
    }
    number = apr_strtoi64(end + 1, &rest, 10);
    at->port = (int)number;
    return !*rest && number >= 1 && number <= 65535;
}

static int parse(apr_pool_t *pool, const char *text, origin_t *origin)
{
    if (!ap_cstr_casecmpn(text, "https://", 8)) {
        origin->scheme = "https";
    }
    else if (!ap_cstr_casecmpn(text, "http://", 7)) {
        origin->scheme = "http";
    }
    else {
        return 0;
    }
    return parse_authority(pool, text + strlen(origin->scheme) + 3,
                           origin->scheme, &origin->at);
}

static int is_same(const authority_t *a, const authority_t *b)
{
    return a->port == b->port && !ap_cstr_casecmp(a->host, b->host);
}

/* The authority that the client has addressed, as the client spelt it. */
static int addressed(request_rec *r, const char *scheme, authority_t *at)
{
    const char *host = r->parsed_uri.hostinfo
                           ? r->parsed_uri.hostinfo
                           : apr_table_get(r->headers_in, "Host");

    return host && parse_authority(r->pool, host, scheme, at);
}

static int is_address(apr_pool_t *pool, const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    apr_size_t len = strlen(host);

    if (*host == '[') {
        return inet_pton(AF_INET6, apr_pstrmemdup(pool, host + 1, len - 2),
                         bytes) == 1;
    }
    return inet_pton(AF_INET, host, bytes) == 1;
}

/* "ServerAlias *" matches every name, and so vouches for none. */
static int matches(const char *host, const char *pattern)
{
    return pattern[strspn(pattern, "*?.")] &&
           !ap_strcasecmp_match(host, pattern);
}

static int is_alias(const server_rec *s, const char *host)
{
    const server_addr_rec *addr;
    int i;

    for (i = 0; s->names && i < s->names->nelts; ++i) {
        if (!ap_cstr_casecmp(host, APR_ARRAY_IDX(s->names, i, char *))) {
            return 1;
        }
    }
    for (i = 0; s->wild_names && i < s->wild_names->nelts; ++i) {
        if (matches(host, APR_ARRAY_IDX(s->wild_names, i, char *))) {
            return 1;
        }
    }
    for (addr = s->addrs; addr; addr = addr->next) {
        if (addr->virthost[0] != '_' && /* not _default_ */
            !ap_cstr_casecmp(host, addr->virthost)) {
            return 1;
        }
    }
    return 0;
}

static int is_server_name(const server_rec *s, const char *host)
{
    return s->server_hostname && !ap_cstr_casecmp(host, s->server_hostname);
}

/* Whether the configuration gives the host this name, by ServerName,
 * ServerAlias or <VirtualHost name>.  A trailing dot makes no difference. */
static int is_name(request_rec *r, const char *host)
{
    apr_size_t len = strlen(host);

    if (len > 1 && host[len - 1] == '.') {
        host = apr_pstrmemdup(r->pool, host, len - 1);
    }
    return is_server_name(r->server, host) || is_alias(r->server, host);
}

/* No DNS record of somebody else can point these names here. */
static int is_fixed(request_rec *r, const char *host)
{
    return !ap_cstr_casecmp(host, "localhost") || is_address(r->pool, host);
}

/* A ServerName with a scheme is the whole public origin, for a proxy in front
 * may have replaced Host.  This does not hold if Host is an alias: each of the
 * sites on this host may have its own, and the pages of one site must not
 * publish to another. */
static int is_public(request_rec *r, const origin_t *origin)
{
    const server_rec *s = r->server;
    authority_t host, own;

    if (!s->server_scheme || !s->server_hostname) {
        return 0;
    }
    own.host = s->server_hostname;
    own.port = s->port ? s->port : apr_uri_port_of_scheme(origin->scheme);
    if (!is_same(&origin->at, &own)) {
        return 0;
    }
    return !addressed(r, origin->scheme, &host) ||
           is_server_name(s, host.host) || !is_name(r, host.host);
}

/* Browsers send Sec-Fetch-Site over https only. */
static int fetched_from(const request_rec *r, const char *site)
{
    const char *header = apr_table_get(r->headers_in, "Sec-Fetch-Site");

    return header && !ap_cstr_casecmp(header, site);
}

/* Whether this host speaks the page's scheme: that of its ServerName, if it has
 * one, else that of the connection.  If a proxy in front ends TLS, the browser
 * may still say that page and host are of the same origin.
 * @return NULL: it does; else the reason */
static const char *check_scheme(request_rec *r, const origin_t *origin)
{
    int is_https = !strcmp(origin->scheme, "https");

    if (!ap_cstr_casecmp(origin->scheme, ap_http_scheme(r)) ||
        (is_https && fetched_from(r, "same-origin"))) {
        return NULL;
    }
    if (is_https) {
        return "a page loaded by https is of another origin than this host, "
               "which speaks http: if a proxy in front ends TLS, set "
               "ServerName https://..., or list the Origin in SSEAllowOrigin";
    }
    return "a page loaded by http is of another origin than this host, which "
           "speaks https: load the page by https, or list its Origin in "
           "SSEAllowOrigin";
}

static const char *refuse(request_rec *r)
{
    const apr_array_header_t *origins = sse_conf_origins(r);

    if (origins && sse_values_has_word(origins, "*")) {
        return "pages of this Origin may read, but not publish here: list it "
               "in SSEAllowOrigin beside * to allow it";
    }
    return "pages of this Origin may not publish here: list it in "
           "SSEAllowOrigin to allow it";
}

/* @return NULL: the page is this host's own; else why not */
static const char *refuse_stranger(request_rec *r, const char *text)
{
    origin_t origin;
    authority_t host;

    if (!parse(r->pool, text, &origin)) {
        return refuse(r);
    }
    if (is_public(r, &origin)) {
        return check_scheme(r, &origin);
    }
    if (!addressed(r, origin.scheme, &host) || !is_same(&origin.at, &host)) {
        return refuse(r);
    }
    if (!is_name(r, host.host) && !is_fixed(r, host.host)) {
        return "the name in the header Host is not one of this host's: make it "
               "its ServerName or a ServerAlias, or list the Origin in "
               "SSEAllowOrigin";
    }
    return check_scheme(r, &origin);
}

/* Browsers send no Origin with some requests of a page; old browsers with none
 * of a form's. */
static const char *hidden(request_rec *r)
{
    if (fetched_from(r, "cross-site") || fetched_from(r, "same-site")) {
        return "a page of another origin sent this (Sec-Fetch-Site) without "
               "saying which: only those in SSEAllowOrigin may publish here";
    }
    return NULL;
}

const char *sse_origin_refused(request_rec *r)
{
    const char *origin = apr_table_get(r->headers_in, "Origin");

    if (!origin) {
        return hidden(r);
    }
    if (sse_cors_lists(r, origin)) {
        return NULL;
    }
    return fetched_from(r, "cross-site") ? refuse(r)
                                         : refuse_stranger(r, origin);
}
