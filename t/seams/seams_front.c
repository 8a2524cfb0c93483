/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "seams.h"

#include "config/sse_config.h"
#include "http/sse_front.h"
#include "http/sse_reply.h"
#include "hub/sse_hub.h"
#include "hub/sse_publish.h"
#include "hub/sse_start.h"
#include "stream/open/sse_open.h"

/* The query string is an event. */
static int publish(request_rec *r, sse_slice_t key)
{
    sse_fields_t event = SSE_FIELDS_NONE;
    const sse_publisher_t by = {r, r->server};
    sse_append_t item;
    const char *wrong;

    event.data = sse_slice(r->args);
    wrong = sse_publish_check(&event);
    if (wrong) {
        return sse_reply_error(r, HTTP_BAD_REQUEST, "%s", wrong);
    }
    sse_publish_item(&item, key, &event, sse_conf_history(r));
    if (sse_publish_append(&by, &item, 1) != APR_SUCCESS) {
        return sse_reply_error(r, HTTP_INSUFFICIENT_STORAGE, "refused");
    }
    return sse_reply_empty(r, HTTP_NO_CONTENT);
}

static int subscribe(request_rec *r, const sse_slice_t *key)
{
    sse_stream_plan_t plan = {.format = &seams_format, .channels = r->uri};

    if (sse_start_plan(&plan, key, 1, NULL, sse_conf_replay(r)) !=
        APR_SUCCESS) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    sse_start_join(&plan, r);
    sse_open_opts(r, &plan.opts);
    return sse_open_run(r, &plan);
}

/* The channel is the path's. */
static int answer(request_rec *r)
{
    sse_slice_t key;

    if (!sse_hub() || !sse_hub_key(r->server, r->uri, r->pool, &key)) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    return r->method_number == M_POST ? publish(r, key) : subscribe(r, &key);
}

static sse_front_t front = {"seams", 1, answer, NULL};

__attribute__((constructor)) static void add(void)
{
    sse_front_register(&front);
}
