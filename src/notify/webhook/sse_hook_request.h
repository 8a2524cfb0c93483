/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_request.h
 * What webhooks need of a request: which targets its location has, and who and
 * what the calls are about.
 *
 * Made once, in the request, as fields are expressions that look at it; all of
 * it lives as long as the pool and the request, and is constant.
 *
 * Threads: the request's; what was made, any.
 */

#ifndef SSE_HOOK_REQUEST_H
#define SSE_HOOK_REQUEST_H

#include <httpd.h>

#include "config/sse_config.h"
#include "notify/webhook/sse_hook_json.h"

/** A target. */
typedef struct {
    sse_slice_t line;    /**< see sse_hook_target_text() */
    apr_uint32_t events; /**< of sse_hook_e */
} sse_hook_to_t;

typedef struct {
    sse_hook_about_t about;
    const sse_hook_to_t *to;
    int n_to;
} sse_hook_request_t;

/** Whether a location has a target for one of these events. */
int sse_hook_request_wants(const sse_dir_conf_t *conf, apr_uint32_t events);

/** The location's targets for any of these events, and what there is to say of
 *  the request, but for its stream and channels. */
sse_hook_request_t *sse_hook_request_make(request_rec *r,
                                          const sse_dir_conf_t *conf,
                                          apr_uint32_t events,
                                          apr_pool_t *pool);

/** The same for what a C module does in no request. */
sse_hook_request_t *sse_hook_request_of_server(const server_rec *s,
                                               const sse_dir_conf_t *conf,
                                               apr_uint32_t events,
                                               apr_pool_t *pool);

/** The request's channels, of their keys. */
void sse_hook_request_set_channels(sse_hook_request_t *request,
                                   const sse_slice_t *keys, int n,
                                   apr_pool_t *pool);

#endif /* SSE_HOOK_REQUEST_H */
