/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_splice_conn.c
 * Connections that can be spliced: none yet.
 */

#include "stream/splice/sse_splice_private.h"

#include <stdlib.h>

void sse_splice_register(void)
{
    sse_shadow_register();
    sse_splice_request_register();
}

sse_splice_conn_t *sse_splice_conn_of(conn_rec *c1) { return NULL; }

int sse_splice_conn_may_add(sse_splice_conn_t *conn, apr_uint32_t id)
{
    return 0;
}

void sse_splice_conn_leave(sse_shadow_t *shadow) { free(shadow); }

int sse_splice_conn_add(sse_shadow_t *shadow) { return 0; }

void sse_splice_put(sse_shadow_t *shadow, const char *bytes, apr_size_t len) {}

void sse_splice_put_end(sse_shadow_t *shadow) {}
