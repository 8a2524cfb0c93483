/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "shared/sse_shared.h"

#include <apr_shm.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>

/* The parent's record, which other versions of this module read: if it changes,
 * PREFIX must change. */
typedef struct {
    apr_shm_t *shm; /* NULL: there is none */
    apr_size_t size;
    apr_uint32_t layout;
} mark_t;

#define PREFIX "sse_shared_1 "

static mark_t *mark_of(const char *name)
{
    char key[80];
    mark_t *mark;

    apr_snprintf(key, sizeof(key), PREFIX "%s", name);
    mark = ap_retained_data_get(key);
    return mark ? mark : ap_retained_data_create(key, sizeof(*mark));
}

apr_status_t sse_shared_get(const char *name, apr_uint32_t layout,
                            apr_size_t size, apr_pool_t *pool, void **memory,
                            sse_shared_e *how)
{
    mark_t *mark = mark_of(name);
    apr_status_t rv = APR_SUCCESS;

    *how = SSE_SHARED_FOUND;
    if (mark->shm && (mark->layout != layout || mark->size != size)) {
        apr_shm_destroy(mark->shm); /* the children have it mapped */
        mark->shm = NULL;
        *how = SSE_SHARED_REPLACED;
    }
    if (!mark->shm) {
        rv = apr_shm_create(&mark->shm, size, NULL, pool);
        if (rv != APR_SUCCESS) {
            mark->shm = NULL;
            return rv;
        }
        mark->layout = layout;
        mark->size = size;
        if (*how == SSE_SHARED_FOUND) {
            *how = SSE_SHARED_NEW;
        }
    }
    *memory = apr_shm_baseaddr_get(mark->shm);
    return rv;
}
