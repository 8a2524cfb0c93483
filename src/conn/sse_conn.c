/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "conn/sse_conn.h"

#include <http_connection.h>
#include <apr_portable.h>
#include <http_config.h>
#include <http_core.h>
#include <http_ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <util_filter.h>

#include "sse_atomic.h"

extern module AP_MODULE_DECLARE_DATA sse_module;

sse_conn_inner_t *sse_conn_inner(conn_rec *c)
{
    return c->master ? ap_get_module_config(c->conn_config, &sse_module) : NULL;
}

int sse_conn_is_draft(conn_rec *c)
{
    const sse_conn_inner_t *inner = sse_conn_inner(c);

    return inner && inner->is_draft;
}

int sse_conn_is_aborted(conn_rec *c)
{
    const sse_conn_inner_t *inner = sse_conn_inner(c);

    return c->aborted || (inner && inner->outer && inner->outer->aborted &&
                          !sse_atomic_load(&inner->is_taken));
}

int sse_conn_fd(conn_rec *c)
{
    apr_socket_t *sock = c->master ? NULL : ap_get_conn_socket(c);
    apr_os_sock_t fd = -1;

    if (sock) {
        apr_os_sock_get(&fd, sock);
    }
    return fd;
}

int sse_conn_is_tls(conn_rec *c) { return ap_ssl_conn_is_ssl(c); }

int sse_conn_may_half_close(request_rec *r)
{
    conn_rec *c = r->connection;
    const char *version;

    if (c->master || !ap_ssl_conn_is_ssl(c)) {
        return 1;
    }
    version = ap_ssl_var_lookup(r->pool, r->server, c, r, "SSL_PROTOCOL");
    return !version ||
           (strcmp(version, "TLSv1.2") && strcmp(version, "TLSv1.1") &&
            strcmp(version, "TLSv1") && strcmp(version, "SSLv3"));
}

/* The filters report close_notify and FIN alike.  They read all there is at
 * once, so if the socket has anything left, it is a FIN on its own. */
static int is_at_fin(conn_rec *c)
{
    int fd = sse_conn_fd(c);
    char byte;

    return fd >= 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

sse_input_e sse_conn_look(conn_rec *c, apr_bucket_brigade *bb, int half_keep)
{
    int at_fin = is_at_fin(c);
    apr_status_t rv = ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE,
                                     APR_NONBLOCK_READ, 1);
    sse_input_e found = SSE_INPUT_NONE;

    if (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)) {
        found = APR_BUCKET_IS_EOS(APR_BRIGADE_FIRST(bb)) ? SSE_INPUT_END
                                                         : SSE_INPUT_DATA;
    }
    else if (APR_STATUS_IS_EOF(rv)) {
        found = at_fin || !half_keep ? SSE_INPUT_END : SSE_INPUT_DATA;
    }
    else if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) {
        /* mod_reqtimeout's time-out, or no TLS: the client may still be there;
         * a broken connection shows when its socket is polled. */
        found = SSE_INPUT_DATA;
    }
    apr_brigade_cleanup(bb);
    return found;
}
