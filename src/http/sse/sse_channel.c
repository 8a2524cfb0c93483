/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <httpd.h>

#include "config/sse_config.h"
#include "http/sse_http.h"

/* C0, DEL and C1 (U+0080 to U+009F); the name is valid UTF-8. */
static int sse_channel_has_control(const char *name)
{
    const unsigned char *s = (const unsigned char *)name;

    for (; *s; ++s) {
        if (*s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0)) {
            return 1;
        }
    }
    return 0;
}

static int sse_channel_is_name(const char *name)
{
    apr_size_t len = strlen(name);

    return len >= 1 && len <= SSE_CHANNEL_MAX && sse_utf8_valid(name, len) &&
           !sse_channel_has_control(name);
}

int sse_channel_key(const server_rec *s, const char *name, apr_pool_t *pool,
                    sse_slice_t *key)
{
    const char *ns = sse_conf_namespace(s, pool);
    apr_size_t ns_size = strlen(ns) + 1;
    apr_size_t name_len = strlen(name);
    char *bytes;

    if (!sse_channel_is_name(name)) {
        return 0;
    }
    bytes = apr_palloc(pool, ns_size + name_len);
    memcpy(bytes, ns, ns_size);
    memcpy(bytes + ns_size, name, name_len);
    key->ptr = bytes;
    key->len = ns_size + name_len;
    return 1;
}

static int sse_channel_add(request_rec *r, apr_array_header_t *channels,
                           const char *name)
{
    sse_channel_t *channel;
    sse_slice_t key;
    int i;

    if (!sse_channel_key(r->server, name, r->pool, &key)) {
        sse_http_error(r, HTTP_BAD_REQUEST,
                       "a channel's name must be 1 to %d bytes of UTF-8 "
                       "without control characters",
                       SSE_CHANNEL_MAX);
        return DONE;
    }
    for (i = 0; i < channels->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(channels, i, sse_channel_t).name, name)) {
            return OK;
        }
    }
    channel = apr_array_push(channels);
    channel->name = name;
    channel->key = key;
    return OK;
}

/* httpd logs what went wrong with the expression. */
static int sse_channel_expand(request_rec *r, const ap_expr_info_t *expr,
                              const char **name)
{
    const char *err = NULL;

    *name = ap_expr_str_exec(r, expr, &err);
    if (*name && !err) {
        return OK;
    }
    sse_http_error(r, HTTP_INTERNAL_SERVER_ERROR,
                   "the channel's name could not be made; the server's error "
                   "log says why");
    return DONE;
}

int sse_http_channels(request_rec *r, apr_array_header_t **channels)
{
    const apr_array_header_t *exprs = sse_conf_channels(r);
    const char *name = r->uri;
    int status = OK;
    int i;

    *channels = apr_array_make(r->pool, exprs ? exprs->nelts : 1,
                               sizeof(sse_channel_t));
    if (!exprs) {
        return sse_channel_add(r, *channels, name);
    }
    for (i = 0; i < exprs->nelts && status == OK; ++i) {
        status = sse_channel_expand(
            r, APR_ARRAY_IDX(exprs, i, const ap_expr_info_t *), &name);
        if (status == OK) {
            status = sse_channel_add(r, *channels, name);
        }
    }
    return status;
}
