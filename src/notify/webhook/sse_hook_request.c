/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook_request.h"

#include <apr_strings.h>
#include <http_main.h>
#include <string.h>

#include "notify/sse_callbacks.h"
#include "notify/webhook/sse_hook_target.h"

/* The field that is the body's "remote", too. */
#define REMOTE "remote"

int sse_hook_request_wants(const sse_dir_conf_t *conf, apr_uint32_t events)
{
    int i;

    for (i = 0; conf->hooks && i < conf->hooks->nelts; ++i) {
        if (APR_ARRAY_IDX(conf->hooks, i, sse_hook_conf_t).events & events) {
            return 1;
        }
    }
    return 0;
}

/* -- Targets --------------------------------------------------------------- */

/* No file is an empty name. */
static const char *file_of(const char *name)
{
    return name && *name ? name : NULL;
}

static sse_slice_t line_of(const sse_dir_conf_t *conf,
                           const sse_hook_conf_t *hook, apr_pool_t *pool)
{
    sse_hook_target_t target = {0};

    target.url = hook->url;
    target.secret = file_of(conf->hook_secret);
    target.ca = file_of(conf->hook_ca);
    target.count = sse_dir_conf_hook_batch(conf);
    target.wait = sse_dir_conf_hook_batch_time(conf);
    target.connections = sse_conf_hook_connections(ap_server_conf);
    return sse_slice(sse_hook_target_text(&target, pool));
}

static void set_targets(sse_hook_request_t *request, const sse_dir_conf_t *conf,
                        apr_uint32_t events, apr_pool_t *pool)
{
    int i, n = conf->hooks ? conf->hooks->nelts : 0;
    sse_hook_to_t *to = apr_pcalloc(pool, ((apr_size_t)n + 1) * sizeof(*to));
    const sse_hook_conf_t *hook;

    request->to = to;
    for (i = 0; i < n; ++i) {
        hook = &APR_ARRAY_IDX(conf->hooks, i, sse_hook_conf_t);
        if (hook->events & events) {
            to->line = line_of(conf, hook, pool);
            to->events = hook->events;
            ++to;
        }
    }
    request->n_to = (int)(to - request->to);
}

/* -- What it is about ------------------------------------------------------ */

/* httpd logs why an expression fails; such a field is left out. */
static void set_values(sse_hook_about_t *about, request_rec *r,
                       const apr_array_header_t *fields, apr_pool_t *pool)
{
    int i, n = fields ? fields->nelts : 0;
    sse_hook_value_t *value =
        apr_pcalloc(pool, ((apr_size_t)n + 1) * sizeof(*value));
    const sse_hook_field_t *field;
    const char *text, *err;

    about->values = value;
    for (i = 0; i < n; ++i) {
        field = &APR_ARRAY_IDX(fields, i, sse_hook_field_t);
        err = NULL;
        text = ap_expr_str_exec(r, field->expr, &err);
        if (!text || err) {
            continue;
        }
        value->name = field->name;
        value->value = sse_slice(text);
        if (!strcmp(field->name, REMOTE)) {
            about->remote = value->value;
        }
        ++value;
    }
    about->n_values = (int)(value - about->values);
}

static sse_slice_t note(const request_rec *r, const char *name)
{
    return sse_slice(apr_table_get(r->notes, name));
}

static void set_about(sse_hook_about_t *about, request_rec *r)
{
    about->uri = sse_slice(sse_callbacks_first(r)->unparsed_uri);
    about->user = note(r, "sse-user");
    if (!about->user.ptr) {
        about->user = sse_slice(r->user);
    }
    about->session = note(r, "sse-session");
}

/* -- Making it ------------------------------------------------------------- */

sse_hook_request_t *sse_hook_request_of_server(const server_rec *s,
                                               const sse_dir_conf_t *conf,
                                               apr_uint32_t events,
                                               apr_pool_t *pool)
{
    sse_hook_request_t *request = apr_pcalloc(pool, sizeof(*request));

    set_targets(request, conf, events, pool);
    request->about.host = sse_slice(s->server_hostname);
    return request;
}

sse_hook_request_t *sse_hook_request_make(request_rec *r,
                                          const sse_dir_conf_t *conf,
                                          apr_uint32_t events, apr_pool_t *pool)
{
    sse_hook_request_t *request =
        sse_hook_request_of_server(r->server, conf, events, pool);

    set_about(&request->about, r);
    set_values(&request->about, r, conf->hook_fields, pool);
    return request;
}

/* The keys may go before the request does. */
void sse_hook_request_set_channels(sse_hook_request_t *request,
                                   const sse_slice_t *keys, int n,
                                   apr_pool_t *pool)
{
    sse_slice_t *names = apr_palloc(pool, ((apr_size_t)n + 1) * sizeof(*names));
    int i;

    for (i = 0; i < n; ++i) {
        names[i] = sse_store_name(keys[i]);
        names[i].ptr = apr_pmemdup(pool, names[i].ptr, names[i].len);
    }
    request->about.channels = names;
    request->about.n_channels = n;
}
