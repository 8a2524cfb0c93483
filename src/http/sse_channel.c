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

static sse_slice_t sse_channel_key(request_rec *r, const char *name)
{
    const char *ns = sse_conf_namespace(r->server, r->pool);
    apr_size_t ns_len = strlen(ns);
    apr_size_t name_len = strlen(name);
    char *key = apr_palloc(r->pool, ns_len + 1 + name_len);
    sse_slice_t slice;

    memcpy(key, ns, ns_len);
    key[ns_len] = '\0';
    memcpy(key + ns_len + 1, name, name_len);
    slice.ptr = key;
    slice.len = ns_len + 1 + name_len;
    return slice;
}

static int sse_channel_add(request_rec *r, apr_array_header_t *channels,
                           const char *name)
{
    sse_channel_t *channel;
    int i;

    if (!sse_channel_is_name(name)) {
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
    channel->key = sse_channel_key(r, name);
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
