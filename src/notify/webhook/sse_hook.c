/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/webhook/sse_hook.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

#include "config/sse_config.h"
#include "loop/sse_workers.h"
#include "notify/sse_callbacks.h"
#include "notify/sse_ended.h"
#include "notify/sse_listeners.h"
#include "notify/webhook/sse_hook_calls.h"
#include "notify/webhook/sse_hook_request.h"
#include "notify/webhook/sse_hook_route.h"
#include "notify/webhook/sse_hook_target.h"

APLOG_USE_MODULE(sse);

/* What a stream's opening concerns. */
#define STREAM_EVENTS (SSE_HOOK_OPEN | SSE_HOOK_CLOSE)

/* Of any SSEHook.  const after check_config */
static apr_uint32_t configured;

/* -- Streams and watched requests ------------------------------------------ */

static sse_slice_t id_of(apr_pool_t *pool, sse_slice_t what,
                         sse_call_type_e type)
{
    return sse_slice(apr_psprintf(pool, "%.*s.%s", (int)what.len, what.ptr,
                                  sse_hook_json_name(type)));
}

/* To all targets that are told of that event. */
static void add_all(const sse_hook_request_t *request, sse_call_t *call,
                    apr_uint32_t event)
{
    int i;

    for (i = 0; i < request->n_to; ++i) {
        if (request->to[i].events & event) {
            call->target = request->to[i].line;
            sse_hook_calls_add(call);
        }
    }
}

static void tell_open(const sse_hook_request_t *request, apr_pool_t *pool)
{
    sse_hook_text_t text = {{NULL, 0}, 0};
    sse_call_t call = {.type = SSE_CALL_OPEN, .time = apr_time_now()};
    apr_uint32_t events;
    int i;

    call.id = id_of(pool, request->about.stream, call.type);
    sse_hook_json_plain(&text, &call, &request->about);
    for (i = 0; i < request->n_to; ++i) {
        events = request->to[i].events;
        call.target = request->to[i].line;
        call.is_silent = !(events & SSE_HOOK_OPEN);
        call.stream =
            events & SSE_HOOK_CLOSE ? request->about.stream : sse_slice(NULL);
        sse_hook_calls_add(&call);
    }
    sse_hook_json_free(&text);
}

/* A request without callbacks is none of ours. */
static void opened(sse_stream_t *stream, request_rec *r)
{
    const sse_dir_conf_t *conf = sse_conf_dir(r);
    request_rec *first = sse_callbacks_first(r);
    sse_callbacks_t *callbacks;
    sse_hook_request_t *request;
    const sse_slice_t *keys;
    int n;

    if (!sse_hook_request_wants(conf, STREAM_EVENTS)) {
        return;
    }
    callbacks = sse_callbacks_find(r);
    request = sse_hook_request_make(r, conf, STREAM_EVENTS, first->pool);
    request->about.stream = sse_slice(
        apr_pstrdup(first->pool, apr_table_get(r->notes, "sse-stream")));
    n = sse_callbacks_channels(callbacks, &keys);
    sse_hook_request_set_channels(request, keys, n, first->pool);
    sse_callbacks_keep(callbacks, request);
    tell_open(request, first->pool);
}

static const sse_hook_request_t *kept(const sse_ended_t *ended)
{
    sse_callbacks_t *callbacks =
        ended->was_opened ? sse_callbacks_find(ended->r) : NULL;

    return callbacks ? sse_callbacks_kept(callbacks) : NULL;
}

static int wants_end(const sse_ended_t *ended)
{
    return configured & SSE_HOOK_CLOSE && kept(ended);
}

static void tell_close(const sse_hook_request_t *request,
                       const sse_close_t *close)
{
    sse_hook_text_t text = {{NULL, 0}, 0};
    sse_call_t call = {.type = SSE_CALL_CLOSE, .time = close->closed};
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    apr_pool_tag(pool, "sse_hook");
    call.stream = request->about.stream;
    call.id = id_of(pool, call.stream, call.type);
    sse_hook_json_close(&text, &call, &request->about, close);
    add_all(request, &call, SSE_HOOK_CLOSE);
    sse_hook_json_free(&text);
    apr_pool_destroy(pool);
}

static void closed(const sse_ended_t *ended)
{
    const sse_hook_request_t *request = kept(ended);

    if (request) {
        tell_close(request, &ended->close);
    }
}

/* A CLOSE of a stream whose child died. */
static void on_orphan(void *baton, const sse_call_t *open)
{
    sse_hook_text_t text = {{NULL, 0}, 0};
    sse_call_t call = {.type = SSE_CALL_CLOSE, .time = apr_time_now()};
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    apr_pool_tag(pool, "sse_hook");
    call.target = open->target;
    call.stream = open->stream;
    call.id = id_of(pool, call.stream, call.type);
    sse_hook_json_crash(&text, &call, open);
    sse_hook_calls_add(&call);
    sse_hook_json_free(&text);
    apr_pool_destroy(pool);
}

/* -- Events ---------------------------------------------------------------- */

static void tell_published(const sse_hook_request_t *by,
                           const sse_append_t *item, apr_pool_t *pool)
{
    sse_hook_text_t text = {{NULL, 0}, 0};
    sse_call_t call = {.type = SSE_CALL_PUBLISH, .time = apr_time_now()};
    sse_hook_request_t request = *by;

    call.id = sse_slice(
        apr_psprintf(pool, "%" APR_UINT64_T_FMT ".publish", item->id));
    sse_hook_request_set_channels(&request, &item->channel, 1, pool);
    sse_hook_json_publish(&text, &call, &request.about, item);
    add_all(&request, &call, SSE_HOOK_PUBLISH);
    sse_hook_json_free(&text);
}

/* Once for a request: a body of many events that arrives in many pieces must
 * not take memory for each. */
static const sse_hook_request_t *publisher(request_rec *r,
                                           const sse_dir_conf_t *conf)
{
    static const char key[] = "sse_hook_publisher";
    void *request = NULL;

    apr_pool_userdata_get(&request, key, r->pool);
    if (!request) {
        request = sse_hook_request_make(r, conf, SSE_HOOK_PUBLISH, r->pool);
        apr_pool_userdata_setn(request, key, NULL, r->pool);
    }
    return request;
}

static void published(const sse_publisher_t *by, const sse_append_t *items,
                      int n)
{
    const sse_dir_conf_t *conf =
        by->r ? sse_conf_dir(by->r) : sse_conf_server_dir(by->server);
    const sse_hook_request_t *request;
    apr_pool_t *pool, *each;
    int i;

    if (!sse_hook_request_wants(conf, SSE_HOOK_PUBLISH)) {
        return;
    }
    apr_pool_create(&pool, NULL);
    apr_pool_tag(pool, "sse_hook");
    apr_pool_create(&each, pool);
    request = by->r ? publisher(by->r, conf)
                    : sse_hook_request_of_server(by->server, conf,
                                                 SSE_HOOK_PUBLISH, pool);
    for (i = 0; i < n; ++i) {
        if (!items[i].duplicate) {
            tell_published(request, &items[i], each);
            apr_pool_clear(each);
        }
    }
    apr_pool_destroy(pool);
}

/* -- Channels -------------------------------------------------------------- */

static const char *route(request_rec *r)
{
    return sse_hook_route_text(r, sse_conf_dir(r));
}

/* The same over repetitions. */
static const char *channel_id(const sse_subscriber_t *subscriber,
                              sse_call_type_e type, apr_pool_t *pool)
{
    apr_ssize_t len = (apr_ssize_t)subscriber->channel.len;

    return apr_psprintf(pool, "%.*s.%x.%" APR_UINT64_T_HEX_FMT ".%s",
                        (int)subscriber->stream.len, subscriber->stream.ptr,
                        apr_hashfunc_default(subscriber->channel.ptr, &len),
                        (apr_uint64_t)subscriber->time,
                        sse_hook_json_name(type));
}

static void tell_channel(const sse_subscriber_t *subscriber,
                         sse_call_type_e type, apr_uint32_t event)
{
    sse_hook_text_t text = {{NULL, 0}, 0};
    sse_call_t call = {.type = type, .time = subscriber->time};
    sse_hook_request_t request;
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    apr_pool_tag(pool, "sse_hook");
    if (sse_hook_route_read(&request, subscriber->route, pool)) {
        call.id = sse_slice(channel_id(subscriber, type, pool));
        sse_hook_request_set_channels(&request, &subscriber->channel, 1, pool);
        sse_hook_json_plain(&text, &call, &request.about);
        add_all(&request, &call, event);
        sse_hook_json_free(&text);
    }
    apr_pool_destroy(pool);
}

static void first(const sse_subscriber_t *subscriber)
{
    tell_channel(subscriber, SSE_CALL_FIRST, SSE_HOOK_FIRST);
}

static void last(const sse_subscriber_t *subscriber)
{
    tell_channel(subscriber, SSE_CALL_LAST, SSE_HOOK_LAST);
}

/* -- The listener ---------------------------------------------------------- */

static int wants(sse_tell_e event)
{
    switch (event) {
    case SSE_TELL_OPENED:
        return (configured & STREAM_EVENTS) != 0;
    case SSE_TELL_PUBLISHED:
        return (configured & SSE_HOOK_PUBLISH) != 0;
    case SSE_TELL_FIRST:
        return (configured & SSE_HOOK_FIRST) != 0;
    case SSE_TELL_LAST:
        return (configured & SSE_HOOK_LAST) != 0;
    case SSE_TELL_CLOSED:
    case SSE_TELL_CRASHED:
    default:
        return 0;
    }
}

static const sse_listener_t listener = {
    .mask =
        SSE_TELL_OPENED | SSE_TELL_PUBLISHED | SSE_TELL_FIRST | SSE_TELL_LAST,
    .wants = wants,
    .wants_end = wants_end,
    .opened = opened,
    .closed = closed,
    .published = published,
    .first = first,
    .last = last,
    .route = route,
};

/* Behind the C hooks: a module's stream_open may still say who the user is. */
void sse_hook_register(void) { sse_listeners_add(&listener); }

/* -- The configuration, the child ------------------------------------------ */

static const char *add_url(void *pconf, const char *url)
{
    const char *wrong = sse_hook_target_url(url, pconf);

    return wrong ? apr_psprintf(pconf, "SSEHook: '%s': %s", url, wrong) : NULL;
}

static const char *add_secret(void *pconf, const char *file)
{
    const char *wrong = sse_hook_target_secret(file, pconf);

    return wrong ? apr_psprintf(pconf, "SSEHookSecret: '%s': %s", file, wrong)
                 : NULL;
}

static const char *add_ca(void *pconf, const char *file)
{
    const char *wrong = sse_hook_target_ca(file, pconf);

    return wrong ? apr_psprintf(pconf, "SSEHookCA: '%s': %s", file, wrong)
                 : NULL;
}

int sse_hook_check(apr_pool_t *pconf, const server_rec *main_server)
{
    const char *wrong =
        sse_conf_hook_names(main_server, add_url, add_secret, add_ca, pconf);

    configured = sse_conf_hook_events(main_server);
    if (wrong) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, main_server, "%s", wrong);
    }
    return wrong ? HTTP_INTERNAL_SERVER_ERROR : OK;
}

void sse_hook_init(server_rec *s, const char *dir, apr_pool_t *pool)
{
    sse_hook_calls_init(s, dir, configured != 0, on_orphan, pool);
}

apr_status_t sse_hook_reserve(void)
{
    return configured & SSE_HOOK_CLOSE ? sse_workers_reserve(SSE_WORKERS_CLOSE)
                                       : APR_SUCCESS;
}
