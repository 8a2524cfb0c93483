/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <httpd.h>
#include <http_core.h>
#include <http_protocol.h>

#include "config/sse_config.h"
#include "http/sse_cors.h"

typedef enum {
    ALLOWED_NONE,  /**< not allowed */
    ALLOWED_ANY,   /**< by "*": may read, without credentials */
    ALLOWED_LISTED /**< by name: may also publish */
} allowed_e;

static allowed_e allows(const request_rec *r, const char *origin)
{
    const apr_array_header_t *origins = sse_conf_origins(r);
    allowed_e found = ALLOWED_NONE;
    int i;

    for (i = 0; origins && i < origins->nelts; ++i) {
        const char *allowed = APR_ARRAY_IDX(origins, i, const char *);

        if (!strcmp(allowed, "*")) {
            found = ALLOWED_ANY;
        }
        else if (!ap_cstr_casecmp(allowed, origin)) {
            return ALLOWED_LISTED;
        }
    }
    return found;
}

int sse_cors_lists(const request_rec *r, const char *origin)
{
    return allows(r, origin) == ALLOWED_LISTED;
}

/* In err_headers_out, so that they are kept if httpd answers with an error. */
void sse_cors_answer(request_rec *r)
{
    const char *origin = apr_table_get(r->headers_in, "Origin");
    apr_table_t *headers = r->err_headers_out;
    allowed_e allowed;

    if (!sse_conf_origins(r)) {
        return;
    }
    if (!ap_find_token(r->pool, apr_table_get(headers, "Vary"), "Origin")) {
        apr_table_mergen(headers, "Vary", "Origin");
    }
    allowed = origin ? allows(r, origin) : ALLOWED_NONE;
    if (allowed == ALLOWED_NONE) {
        return;
    }
    apr_table_setn(headers, "Access-Control-Allow-Origin",
                   allowed == ALLOWED_LISTED ? origin : "*");
    if (allowed == ALLOWED_LISTED) {
        apr_table_setn(headers, "Access-Control-Allow-Credentials", "true");
    }
    apr_table_setn(headers, "Access-Control-Expose-Headers",
                   "Retry-After, Preference-Applied");
}

void sse_cors_preflight(request_rec *r, const char *reading, const char *all)
{
    const char *origin = apr_table_get(r->headers_in, "Origin");
    apr_table_t *headers = r->err_headers_out;
    allowed_e allowed;

    if (!origin ||
        !apr_table_get(r->headers_in, "Access-Control-Request-Method")) {
        return;
    }
    allowed = allows(r, origin);
    if (allowed != ALLOWED_NONE) {
        apr_table_setn(headers, "Access-Control-Allow-Methods",
                       allowed == ALLOWED_LISTED ? all : reading);
        apr_table_setn(headers, "Access-Control-Allow-Headers",
                       "Last-Event-ID, Content-Type, Idempotency-Key, "
                       "Cache-Control, Prefer");
        apr_table_setn(headers, "Access-Control-Max-Age", "86400");
    }
}
