/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "stream/sse_filters.h"

#include <string.h>
#include <util_filter.h>

#include "config/sse_config.h"

/* What mod_filter calls a filter that AddOutputFilterByType adds. */
#define BY_TYPE "BYTYPE:"

/* They pass data on, or keep it until there is a FLUSH, and allocate nothing
 * per event.  Not so: "sed", a likely name for ExtFilterDefine, which takes
 * any; INCLUDES, whose subrequests may run a CGI; DUMPIO_OUT, which writes each
 * event to the log; xml2enc, which allocates from the request's pool. */
static const char *const trusted[] = {
    /* httpd's own, mod_ssl, mod_tls */
    "byterange", "chunk", "content_length", "core", "http_header",
    "http_outerror", "old_write", "ssl/tls filter", "ssl/tls coalescing filter",
    "tls raw",
    /* mod_sse's */
    "sse_async", "sse_seal", "sse_backlog", "sse_shadow_head", "sse_shadow_out",
    "sse_splice", "sse_watched_out",
    /* other modules of httpd */
    "brotli_compress", "buffer", "deflate", "fixup_headers_err",
    "fixup_headers_out", "inflate", "log_input_output", "logio_ttfb_out",
    "mod_expires", "reqtimeout", "substitute", "xlateout"};

static int is_known(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(trusted) / sizeof(trusted[0]); ++i) {
        if (!strcasecmp(name, trusted[i])) {
            return 1;
        }
    }
    return 0;
}

static int is_named(const apr_array_header_t *names, const char *name)
{
    int i;

    for (i = 0; names && i < names->nelts; ++i) {
        if (!strcasecmp(name, APR_ARRAY_IDX(names, i, const char *))) {
            return 1;
        }
    }
    return 0;
}

/* A filter of FilterDeclare has a name of the administrator's choice, and its
 * providers are private to mod_filter. */
static int may_wait(const ap_filter_rec_t *frec,
                    const apr_array_header_t *names)
{
    const char *name = frec->name;

    if (is_named(names, name)) {
        return 0;
    }
    if (frec->providers) {
        if (strncmp(name, BY_TYPE, strlen(BY_TYPE)) != 0) {
            return 1;
        }
        name += strlen(BY_TYPE);
    }
    return !is_known(name) && !is_named(names, name);
}

const char *sse_filters_waiting(request_rec *r)
{
    const apr_array_header_t *names = sse_conf_filters(r);
    const ap_filter_t *f;

    for (f = r->output_filters; f; f = f->next) {
        if (may_wait(f->frec, names)) {
            return f->frec->name;
        }
    }
    return NULL;
}
