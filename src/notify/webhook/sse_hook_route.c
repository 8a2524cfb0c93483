/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_route.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#define CHANNEL_EVENTS (SSE_HOOK_FIRST | SSE_HOOK_LAST)

/* A host's name has no line end: httpd takes none. */
const char *sse_hook_route_text(request_rec *r, const sse_dir_conf_t *conf)
{
    const sse_hook_request_t *request;
    const char *text;
    int i;

    if (!sse_hook_request_wants(conf, CHANNEL_EVENTS)) {
        return NULL;
    }
    request =
        sse_hook_request_of_server(r->server, conf, CHANNEL_EVENTS, r->pool);
    text = request->about.host.ptr;
    for (i = 0; i < request->n_to; ++i) {
        text =
            apr_psprintf(r->pool, "%s\n%u %.*s", text, request->to[i].events,
                         (int)request->to[i].line.len, request->to[i].line.ptr);
    }
    return text;
}

static int count_lines(const char *text)
{
    int n = 1;

    for (; *text; ++text) {
        n += *text == '\n';
    }
    return n;
}

int sse_hook_route_read(sse_hook_request_t *request, sse_slice_t text,
                        apr_pool_t *pool)
{
    char *copy = apr_pstrmemdup(pool, text.ptr, text.len), *line, *rest;
    sse_hook_to_t *to =
        apr_pcalloc(pool, (apr_size_t)count_lines(copy) * sizeof(*to));
    char *state;

    memset(request, 0, sizeof(*request));
    request->to = to;
    line = apr_strtok(copy, "\n", &state);
    if (!line) {
        return 0;
    }
    request->about.host = sse_slice(line);
    while ((line = apr_strtok(NULL, "\n", &state)) != NULL) {
        to->events = (apr_uint32_t)strtoul(line, &rest, 10);
        if (*rest == ' ') {
            to->line = sse_slice(rest + 1);
            ++to;
        }
    }
    request->n_to = (int)(to - request->to);
    return request->n_to > 0;
}
