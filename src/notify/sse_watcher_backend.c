/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_watcher_backend.c
 * When the client of a proxied request leaves, the request at the back end ends
 * as well.
 *
 * While mod_proxy reads a response from its back end, it does not notice that
 * the client has left until it has something to write.  So where SSEWatch is
 * Abort, an input filter tells the watcher which socket the thread reads from,
 * and the watcher shuts that socket down together with the client's: only
 * during the read, as between two reads mod_proxy may return the connection to
 * its pool.
 *
 * This works only for protocols that read through filters: mod_proxy_http and
 * mod_proxy_uwsgi do; FastCGI, AJP, SCGI and HTTP/2 back ends do not.  And only
 * for the body: an error in the head of a response would count against the back
 * end, which its balancer might then disable.
 *
 * Threads: the request's.
 */

#include "notify/sse_watcher_private.h"

#include <apr_optional_hooks.h>
#include <mod_proxy.h>
#include <util_filter.h>

#include "conn/sse_conn.h"
#include "process/sse_signals.h"

static ap_filter_rec_t *filter; /* const after register_hooks */

/* The filter's; in the request's pool. */
typedef struct {
    sse_watcher_t *watcher;
    request_rec *r;
} backend_t;

/* For mod_proxy APR_EOF is an end of the response after which the connection is
 * closed, and nothing is logged.  mod_cache would take the part that was read
 * for the whole, and keep it. */
static apr_status_t end(const backend_t *backend)
{
    backend->r->no_cache = 1;
    return APR_EOF;
}

/* The thread reads from fd from now on, or no longer (-1).
 * @return 0: the client has left */
static int read_from(sse_watcher_t *watcher, int fd)
{
    int is_cut;

    sse_signals_hold();
    pthread_mutex_lock(&watcher->lock);
    is_cut = watcher->is_cut;
    watcher->read_fd = is_cut ? -1 : fd;
    pthread_mutex_unlock(&watcher->lock);
    sse_signals_let_go();
    return !is_cut;
}

static apr_status_t backend_in(ap_filter_t *f, apr_bucket_brigade *bb,
                               ap_input_mode_t mode, apr_read_type_e block,
                               apr_off_t readbytes)
{
    const backend_t *backend = f->ctx;
    apr_status_t rv;

    if (block == APR_BLOCK_READ &&
        !read_from(backend->watcher, sse_conn_fd(f->c))) {
        return end(backend);
    }
    rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    if (block == APR_BLOCK_READ && !read_from(backend->watcher, -1) &&
        rv != APR_SUCCESS) {
        apr_brigade_cleanup(bb);
        rv = end(backend);
    }
    return rv;
}

/* mod_proxy's hook: response stands for what the back end will answer. */
static int create_req(request_rec *r, request_rec *response)
{
    sse_watcher_t *watcher = sse_callbacks_watcher(sse_callbacks_find(r));
    backend_t *backend;

    if (watcher && watcher->mode == SSE_WATCH_ABORT) {
        backend = apr_palloc(r->pool, sizeof(*backend));
        backend->watcher = watcher;
        backend->r = r;
        ap_add_input_filter_handle(filter, backend, response,
                                   response->connection);
    }
    return DECLINED;
}

void sse_watcher_backend_register(void)
{
    filter = ap_register_input_filter("SSE_BACKEND_IN", backend_in, NULL,
                                      AP_FTYPE_RESOURCE);
    APR_OPTIONAL_HOOK(proxy, create_req, create_req, NULL, NULL,
                      APR_HOOK_MIDDLE);
}
