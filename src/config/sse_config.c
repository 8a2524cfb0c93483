/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <apr_hooks.h>

#include "config/sse_config.h"

APLOG_USE_MODULE(sse);

const sse_history_t sse_default_history = {1000, apr_time_from_sec(60 * 60),
                                           APR_UINT64_C(16) * 1024 * 1024};

void *sse_conf_create_dir(apr_pool_t *pool, char *dir)
{
    sse_dir_conf_t *conf = apr_palloc(pool, sizeof(*conf));

#define SSE_MEMBER(type, name, unset, fallback) conf->name = unset;
    SSE_DIR_MEMBERS(SSE_MEMBER)
#undef SSE_MEMBER
    return conf;
}

void *sse_conf_merge_dir(apr_pool_t *pool, void *base, void *add)
{
    const sse_dir_conf_t *outer = base, *inner = add;
    sse_dir_conf_t *conf = apr_palloc(pool, sizeof(*conf));

#define SSE_MEMBER(type, name, unset, fallback)                                \
    conf->name = inner->name != unset ? inner->name : outer->name;
    SSE_DIR_MEMBERS(SSE_MEMBER)
#undef SSE_MEMBER
    return conf;
}

const sse_dir_conf_t *sse_conf_dir(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &sse_module);
}

#define SSE_MEMBER(type, name, unset, fallback)                                \
    type sse_dir_conf_##name(const sse_dir_conf_t *conf)                       \
    {                                                                          \
        return conf->name != unset ? conf->name : fallback;                    \
    }                                                                          \
                                                                               \
    type sse_conf_##name(const request_rec *r)                                 \
    {                                                                          \
        return sse_dir_conf_##name(sse_conf_dir(r));                           \
    }
SSE_DIR_MEMBERS(SSE_MEMBER)
#undef SSE_MEMBER

void *sse_conf_create_server(apr_pool_t *pool, server_rec *s)
{
    sse_server_conf_t *conf = apr_pcalloc(pool, sizeof(*conf));

    conf->max_streams = SSE_MAX_STREAMS;
    conf->callback_threads = SSE_CALLBACK_THREADS;
    conf->http2 = SSE_UNSET;
    conf->hook_connections = SSE_HOOK_CONNECTIONS;
    conf->hook_queue_count = SSE_HOOK_QUEUE_COUNT;
    conf->hook_queue_bytes = SSE_HOOK_QUEUE_BYTES;
    return conf;
}

void *sse_conf_merge_server(apr_pool_t *pool, void *base, void *add)
{
    const sse_server_conf_t *vhost = add;
    sse_server_conf_t *conf = apr_pmemdup(pool, base, sizeof(*conf));

    if (vhost->ns) {
        conf->ns = vhost->ns;
    }
    conf->max_streams = vhost->max_streams;
    if (vhost->max_threads) {
        conf->max_threads = vhost->max_threads;
    }
    if (vhost->http2 != SSE_UNSET) {
        conf->http2 = vhost->http2;
    }
    conf->hook_urls = vhost->hook_urls;
    conf->hook_secrets = vhost->hook_secrets;
    conf->hook_cas = vhost->hook_cas;
    conf->hook_events = vhost->hook_events;
    conf->command_max = vhost->command_max;
    conf->commands = vhost->commands;
    return conf;
}

static const sse_server_conf_t *sse_conf_server(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &sse_module);
}

const char *sse_conf_namespace(const server_rec *s, apr_pool_t *pool)
{
    const sse_server_conf_t *conf = sse_conf_server(s);
    char *ns;

    if (conf->ns) {
        return conf->ns;
    }
    ns = apr_pstrdup(pool, s->server_hostname ? s->server_hostname : "");
    ap_str_tolower(ns);
    return ns;
}

int sse_conf_namespace_is_set(const server_rec *s)
{
    return sse_conf_server(s)->ns != NULL;
}

int sse_conf_callback_threads(const server_rec *main_server)
{
    return sse_conf_server(main_server)->callback_threads;
}

int sse_conf_max_streams(const server_rec *s)
{
    return sse_conf_server(s)->max_streams;
}

static int max_threads(const server_rec *s)
{
    int n = sse_conf_server(s)->max_threads;

    return n ? n : -SSE_MAX_THREADS_PERCENT;
}

static int share_of(int threads, int percent)
{
    int n = (int)((apr_int64_t)threads * percent / 100);

    return n > 1 ? n : 1;
}

static int threads_of(const server_rec *s, int threads, int most)
{
    int n = max_threads(s);

    if (n < 0) {
        return share_of(threads, -n);
    }
    return n < most ? n : most;
}

int sse_conf_max_threads(const server_rec *s, int threads)
{
    return threads_of(s, threads, threads);
}

int sse_conf_max_threads_http2(const server_rec *s, int threads)
{
    return threads_of(s, threads, share_of(threads, SSE_MAX_THREADS_PERCENT));
}

const char *sse_conf_max_threads_text(const server_rec *s, apr_pool_t *pool)
{
    int n = max_threads(s);

    return n < 0 ? apr_psprintf(pool, "%d%%", -n) : apr_itoa(pool, n);
}

sse_http2_mode_e sse_conf_http2(const server_rec *s)
{
    int mode = sse_conf_server(s)->http2;

    return mode != SSE_UNSET ? (sse_http2_mode_e)mode : SSE_HTTP2_DEFAULT;
}

int sse_conf_any_http2_splice(const server_rec *main_server)
{
    const server_rec *s;

    for (s = main_server; s; s = s->next) {
        if (sse_conf_http2(s) == SSE_HTTP2_SPLICE) {
            return 1;
        }
    }
    return 0;
}

int sse_conf_hook_connections(const server_rec *main_server)
{
    return sse_conf_server(main_server)->hook_connections;
}

void sse_conf_hook_queue(const server_rec *main_server, apr_uint64_t *count,
                         apr_uint64_t *bytes)
{
    const sse_server_conf_t *conf = sse_conf_server(main_server);

    *count = conf->hook_queue_count;
    *bytes = conf->hook_queue_bytes;
}

apr_uint32_t sse_conf_hook_events(const server_rec *main_server)
{
    const server_rec *s;
    apr_uint32_t events = 0;

    for (s = main_server; s; s = s->next) {
        events |= sse_conf_server(s)->hook_events;
    }
    return events;
}

static const char *each_name(const apr_array_header_t *names,
                             sse_conf_hook_fn *fn, void *baton)
{
    const char *wrong = NULL;
    int i;

    for (i = 0; fn && names && i < names->nelts && !wrong; ++i) {
        wrong = fn(baton, APR_ARRAY_IDX(names, i, const char *));
    }
    return wrong;
}

const char *sse_conf_hook_names(const server_rec *main_server,
                                sse_conf_hook_fn *url, sse_conf_hook_fn *secret,
                                sse_conf_hook_fn *ca, void *baton)
{
    const sse_server_conf_t *conf;
    const server_rec *s;
    const char *wrong = NULL;

    for (s = main_server; s && !wrong; s = s->next) {
        conf = sse_conf_server(s);
        wrong = each_name(conf->hook_secrets, secret, baton);
        wrong = wrong ? wrong : each_name(conf->hook_cas, ca, baton);
        wrong = wrong ? wrong : each_name(conf->hook_urls, url, baton);
    }
    return wrong;
}

int sse_conf_command_max(const server_rec *s)
{
    int max = sse_conf_server(s)->command_max;

    return max || s->is_virtual ? max : SSE_COMMAND_MAX;
}

const apr_array_header_t *sse_conf_commands(const server_rec *s)
{
    return sse_conf_server(s)->commands;
}

int sse_conf_has_commands(const server_rec *main_server)
{
    const server_rec *s;

    for (s = main_server; s; s = s->next) {
        if (sse_conf_commands(s)) {
            return 1;
        }
    }
    return 0;
}

const sse_dir_conf_t *sse_conf_server_dir(const server_rec *s)
{
    return ap_get_module_config(s->lookup_defaults, &sse_module);
}

const sse_history_t *sse_conf_server_history(const server_rec *s)
{
    return sse_dir_conf_history(sse_conf_server_dir(s));
}

/* httpd 2.4 has no directory of its own for what is kept; later ones do. */
const char *sse_conf_store_base(apr_pool_t *pool)
{
#if AP_MODULE_MAGIC_AT_LEAST(20180906, 2)
    return ap_state_dir_relative(pool, "");
#else
    return ap_runtime_dir_relative(pool, "");
#endif
}

const char *sse_conf_store(const server_rec *main_server, apr_pool_t *pool,
                           sse_store_conf_t **store)
{
    const sse_server_conf_t *conf = sse_conf_server(main_server);
    const char *dir = sse_conf_store_base(pool);

    if (!dir) {
        return "DefaultRuntimeDir (DefaultStateDir in httpd 2.5) is no path "
               "that can be used";
    }
    return sse_store_configure(store, pool, dir, conf->store_argc,
                               conf->store_argv);
}

/* A namespace and a channel must fit a store's key, and hosts without a name
 * must not share their channels. */
static int sse_conf_check_namespace(apr_pool_t *ptemp, const server_rec *s)
{
    apr_size_t len = strlen(sse_conf_namespace(s, ptemp));

    if (len >= 1 && len <= SSE_NAMESPACE_MAX) {
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                 "ServerName '%s' (%s:%u) cannot be the namespace of this "
                 "host's channels: it has %" APR_SIZE_T_FMT " bytes, allowed "
                 "are 1 to %d; set SSENamespace for this host",
                 s->server_hostname ? s->server_hostname : "",
                 s->defn_name ? s->defn_name : "the main server",
                 s->defn_line_number, len, SSE_NAMESPACE_MAX);
    return HTTP_INTERNAL_SERVER_ERROR;
}

int sse_conf_check(apr_pool_t *pool, apr_pool_t *ptemp, server_rec *main_server)
{
    const server_rec *s;
    sse_store_conf_t *store;
    const char *wrong;
    int status = OK;

    wrong = sse_conf_store(main_server, ptemp, &store);
    if (wrong) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, main_server, "SSEStore: %s",
                     wrong);
        status = HTTP_INTERNAL_SERVER_ERROR;
    }
    for (s = main_server; s; s = s->next) {
        if (sse_conf_check_namespace(ptemp, s) != OK) {
            status = HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return status;
}
