/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "api/sse_api.h"

#include <apr_strings.h>
#include <errno.h>
#include <httpd.h>
#include <http_config.h>
#include <string.h>

#include "config/sse_config.h"
#include "hub/sse_hub.h"
#include "hub/sse_publish.h"
#include "http/sse_ask.h"
#include "hub/sse_start.h"
#include "hub/sse_subscription.h"
#include "mod_sse.h"
#include "notify/sse_callbacks.h"
#include "notify/sse_notes.h"
#include "notify/sse_watcher.h"
#include "stream/open/sse_open.h"

/* -- Streams --------------------------------------------------------------- */

static int sse_start(request_rec *r, sse_ready_fn *ready, void *baton)
{
    sse_stream_plan_t plan = {0};

    if (sse_ask_refuses_stream(r)) {
        return HTTP_LOOP_DETECTED;
    }
    if (r->status == HTTP_NO_CONTENT || r->status == HTTP_NOT_MODIFIED) {
        return OK;
    }
    if (!sse_hub()) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    if (r->header_only) {
        sse_open_head(r, &sse_format_sse);
        return OK;
    }
    if (sse_start_plan(&plan, NULL, 0, NULL, SSE_REPLAY_NONE) != APR_SUCCESS) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    sse_start_join(&plan, r);
    sse_open_opts(r, &plan.opts);
    plan.format = &sse_format_sse;
    plan.channels = "-";
    plan.ready = ready;
    plan.ready_baton = baton;
    return sse_open_run(r, &plan);
}

/* Milliseconds, as the wire has them; -1 for none. */
static void to_fields(const sse_event_t *event, sse_fields_t *fields)
{
    fields->id = sse_slice(event->id);
    fields->event = sse_slice(event->event);
    fields->comment = sse_slice(event->comment);
    fields->data.ptr = event->data;
    fields->data.len = event->data ? event->data_len : 0;
    fields->retry = event->retry < 0 ? -1 : apr_time_as_msec(event->retry);
}

static apr_status_t sse_send(sse_stream_t *stream, const sse_event_t *event)
{
    sse_record_t record = {0};
    sse_buf_t *buf;
    apr_status_t rv;

    to_fields(event, &record.fields);
    if (sse_event_check(&record.fields) || !sse_event_size(&record.fields)) {
        return APR_EINVAL;
    }
    buf = sse_stream_format(stream)->event(&record);
    rv = sse_stream_push(stream, buf, SSE_PUSH_BOUNDED);
    sse_buf_release(buf);
    return rv;
}

static apr_status_t change(sse_stream_t *stream, const char *name, int add)
{
    apr_pool_t *pool;
    sse_slice_t key;
    apr_status_t rv = APR_EINVAL;

    if (sse_stream_reason(stream) != SSE_CLOSE_NONE) {
        return sse_stream_ended_status(stream);
    }
    apr_pool_create(&pool, NULL);
    if (sse_hub_key(sse_stream_server(stream), name, pool, &key)) {
        rv = sse_subscription_change(stream, key, add);
    }
    apr_pool_destroy(pool);
    return rv;
}

static apr_status_t sse_subscribe(sse_stream_t *stream, const char *channel)
{
    return change(stream, channel, 1);
}

static apr_status_t sse_unsubscribe(sse_stream_t *stream, const char *channel)
{
    return change(stream, channel, 0);
}

static apr_status_t sse_end(sse_stream_t *stream)
{
    return sse_stream_end(stream, SSE_CLOSE_SERVER, APR_SUCCESS);
}

static int sse_is_open(sse_stream_t *stream)
{
    return sse_stream_reason(stream) == SSE_CLOSE_NONE;
}

static sse_stream_t *sse_retain(sse_stream_t *stream)
{
    return sse_stream_acquire(stream);
}

static void sse_release(sse_stream_t *stream) { sse_stream_release(stream); }

/* -- Ends ------------------------------------------------------------------ */

static apr_status_t sse_on_close(request_rec *r, apr_uint32_t reasons,
                                 sse_close_fn *fn, void *baton,
                                 sse_watch_t **watch)
{
    if (!sse_watcher_is_ready()) {
        return APR_ENOTIMPL;
    }
    if (!sse_callbacks_find(r)) {
        sse_watcher_arm(r, SSE_WATCH_OFF);
    }
    return sse_callbacks_add(sse_callbacks_find(r), r, reasons, fn, baton,
                             watch);
}

static apr_status_t sse_cancel(sse_watch_t *watch)
{
    return sse_callbacks_cancel(watch);
}

/* -- Publishing ------------------------------------------------------------ */

static apr_status_t sse_publish(server_rec *s, const char *channel,
                                const sse_event_t *event, const char **id,
                                apr_pool_t *p)
{
    const sse_publisher_t by = {NULL, s};
    sse_fields_t fields;
    sse_append_t item;
    sse_slice_t key;
    apr_status_t rv;

    if (!sse_hub()) {
        return APR_ENOTIMPL;
    }
    to_fields(event, &fields);
    if (!fields.id.len) {
        fields.id = sse_slice(NULL);
    }
    if (sse_publish_check(&fields) || !sse_hub_key(s, channel, p, &key)) {
        return APR_EINVAL;
    }
    sse_publish_item(&item, key, &fields, sse_conf_server_history(s));
    rv = sse_publish_append(&by, &item, 1);
    if (rv == SSE_STORE_ESIZE || rv == SSE_STORE_EGONE || rv == EROFS) {
        rv = APR_ENOSPC;
    }
    else if (rv == SSE_STORE_EBUSY) {
        rv = APR_EAGAIN;
    }
    if (rv == APR_SUCCESS && id) {
        *id = apr_psprintf(p, "%" APR_UINT64_T_FMT, item.id);
    }
    return rv;
}

void sse_api_register(void)
{
    APR_REGISTER_OPTIONAL_FN(sse_start);
    APR_REGISTER_OPTIONAL_FN(sse_send);
    APR_REGISTER_OPTIONAL_FN(sse_subscribe);
    APR_REGISTER_OPTIONAL_FN(sse_unsubscribe);
    APR_REGISTER_OPTIONAL_FN(sse_end);
    APR_REGISTER_OPTIONAL_FN(sse_is_open);
    APR_REGISTER_OPTIONAL_FN(sse_retain);
    APR_REGISTER_OPTIONAL_FN(sse_release);
    APR_REGISTER_OPTIONAL_FN(sse_on_close);
    APR_REGISTER_OPTIONAL_FN(sse_cancel);
    APR_REGISTER_OPTIONAL_FN(sse_publish);
    APR_REGISTER_OPTIONAL_FN(sse_close_name);
}
