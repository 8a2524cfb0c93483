/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "process/sse_requests.h"

#include "sse_atomic.h"

static apr_uint32_t count; /* atomic */

static apr_status_t on_gone(void *baton)
{
    sse_atomic_sub(&count, 1);
    return APR_SUCCESS;
}

int sse_requests_begin(request_rec *r)
{
    if (!r->main && !r->prev) {
        sse_atomic_add(&count, 1);
        apr_pool_cleanup_register(r->pool, NULL, on_gone,
                                  apr_pool_cleanup_null);
    }
    return OK;
}

apr_uint32_t sse_requests_count(void) { return sse_atomic_load(&count); }
