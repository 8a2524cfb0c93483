/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <httpd.h>

#include "config/sse_config.h"
#include "http/sse/sse_handler.h"
#include "http/sse_reply.h"
#include "hub/sse_channel.h"

static int add(request_rec *r, apr_array_header_t *channels, const char *name)
{
    sse_channel_t *channel;
    sse_slice_t key;
    int i;

    if (!sse_channel_key(r->server, name, r->pool, &key)) {
        sse_reply_error(r, HTTP_BAD_REQUEST,
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
static int expand(request_rec *r, const ap_expr_info_t *expr, const char **name)
{
    const char *err = NULL;

    *name = ap_expr_str_exec(r, expr, &err);
    if (*name && !err) {
        return OK;
    }
    sse_reply_error(r, HTTP_INTERNAL_SERVER_ERROR,
                    "the channel's name could not be made; the server's error "
                    "log says why");
    return DONE;
}

int sse_handler_channels(request_rec *r, apr_array_header_t **channels)
{
    const apr_array_header_t *exprs = sse_conf_channels(r);
    const char *name = r->uri;
    int status = OK;
    int i;

    *channels = apr_array_make(r->pool, exprs ? exprs->nelts : 1,
                               sizeof(sse_channel_t));
    if (!exprs) {
        return add(r, *channels, name);
    }
    for (i = 0; i < exprs->nelts && status == OK; ++i) {
        status =
            expand(r, APR_ARRAY_IDX(exprs, i, const ap_expr_info_t *), &name);
        if (status == OK) {
            status = add(r, *channels, name);
        }
    }
    return status;
}
