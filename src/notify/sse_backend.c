/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_backend.h"

#include <httpd.h>
#include <apr_optional_hooks.h>
#include <mod_proxy.h>
#include <util_filter.h>

#include "notify/sse_watcher.h"
#include "conn/sse_conn.h"

static ap_filter_rec_t *filter; /* const after register_hooks */

/* The filter's; in the request's pool. */
typedef struct {
    struct sse_watcher_t *watcher;
    request_rec *r;
} sse_backend_t;

/* For mod_proxy APR_EOF is an end of the response after which the connection is
 * closed, and nothing is logged.  mod_cache would take the part that was read
 * for the whole, and keep it. */
static apr_status_t sse_backend_end(const sse_backend_t *backend)
{
    backend->r->no_cache = 1;
    return APR_EOF;
}

static apr_status_t sse_backend_in(ap_filter_t *f, apr_bucket_brigade *bb,
                                   ap_input_mode_t mode, apr_read_type_e block,
                                   apr_off_t readbytes)
{
    const sse_backend_t *backend = f->ctx;
    apr_status_t rv;

    if (block == APR_BLOCK_READ &&
        !sse_watcher_begin_read(backend->watcher, sse_conn_fd(f->c))) {
        return sse_backend_end(backend);
    }
    rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    if (block == APR_BLOCK_READ && !sse_watcher_end_read(backend->watcher) &&
        rv != APR_SUCCESS) {
        apr_brigade_cleanup(bb);
        rv = sse_backend_end(backend);
    }
    return rv;
}

/* mod_proxy's hook: response stands for what the back end will answer. */
static int sse_backend_create_req(request_rec *r, request_rec *response)
{
    struct sse_watcher_t *watcher = sse_watcher_of(r);
    sse_backend_t *backend;

    if (watcher) {
        backend = apr_palloc(r->pool, sizeof(*backend));
        backend->watcher = watcher;
        backend->r = r;
        ap_add_input_filter_handle(filter, backend, response,
                                   response->connection);
    }
    return DECLINED;
}

void sse_backend_register(void)
{
    filter = ap_register_input_filter("SSE_BACKEND_IN", sse_backend_in, NULL,
                                      AP_FTYPE_RESOURCE);
    APR_OPTIONAL_HOOK(proxy, create_req, sse_backend_create_req, NULL, NULL,
                      APR_HOOK_MIDDLE);
}
