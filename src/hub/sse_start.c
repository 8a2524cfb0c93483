/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_start.h"

#include <apr_strings.h>
#include <http_log.h>
#include <string.h>

#include "config/sse_config.h"
#include "hub/sse_subscription_private.h"

APLOG_USE_MODULE(sse);

/* Another process opens the store in a moment, and a browser that was refused
 * does not try again. */
#define BUSY_WAIT apr_time_from_sec(1)
#define BUSY_STEP apr_time_from_msec(20)

/* @return 0: not as the store writes ids: digits, no zero in front */
static sse_id_t parse_id(const char *text)
{
    sse_id_t id;
    char *end;

    if (*text < '1' || *text > '9' || strlen(text) > 19) {
        return 0;
    }
    id = (sse_id_t)apr_strtoi64(text, &end, 10);
    return *end ? 0 : id;
}

static apr_status_t find_anew(sse_hub_t *hub, int replay, sse_start_t *start)
{
    apr_status_t rv = sse_store_last(hub->store, &start->upto);

    start->after = start->known = start->upto;
    if (rv == APR_SUCCESS && replay != SSE_REPLAY_NONE) {
        rv = sse_store_tail(hub->store, start->keys, start->n,
                            replay == SSE_REPLAY_ALL ? -1 : replay,
                            &start->after);
    }
    return rv;
}

static apr_status_t find_after(sse_hub_t *hub, const char *text,
                               sse_start_t *start)
{
    sse_position_t position;
    sse_id_t id = parse_id(text);
    apr_status_t rv =
        sse_store_look(hub->store, start->keys, start->n, id, &position);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    start->upto = position.last;
    start->after = id;
    if (position.gap) {
        start->lost = text;
    }
    if (id > position.last) {
        start->after = position.oldest ? position.oldest - 1 : position.last;
    }
    return rv;
}

apr_status_t sse_start_find(sse_hub_t *hub, const char *last_id, int replay,
                            sse_start_t *start)
{
    apr_interval_time_t waited;
    apr_status_t rv;

    for (waited = 0;; waited += BUSY_STEP) {
        rv = last_id ? find_after(hub, last_id, start)
                     : find_anew(hub, replay, start);
        if (rv != SSE_STORE_EBUSY || waited >= BUSY_WAIT) {
            return rv;
        }
        apr_sleep(BUSY_STEP);
    }
}

apr_status_t sse_start_complain(sse_hub_t *hub, apr_status_t rv)
{
    static sse_complaint_t complaint;

    if (rv != APR_SUCCESS && sse_complain_is_due(&complaint)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, SSE_HUB_LOGGED(rv), hub->server,
                     "cannot read the store, and subscribers are refused: %s.  "
                     "Not logged again for a minute",
                     sse_store_advice(hub->store, rv));
    }
    return rv;
}

apr_status_t sse_start_plan(sse_stream_plan_t *plan, const sse_slice_t *keys,
                            int n, const char *last_id, int replay)
{
    sse_hub_t *hub = sse_hub();
    sse_start_t start = {.keys = keys, .n = n};
    apr_status_t rv = sse_start_find(hub, last_id, replay, &start);

    if (rv == APR_SUCCESS) {
        plan->now = n && !last_id && replay == SSE_REPLAY_NONE ? start.upto : 0;
        plan->keys = keys;
        plan->n_keys = n;
        plan->source = &sse_subscription_source;
        plan->baton = sse_subscription_create(hub, &start);
    }
    return sse_start_complain(hub, rv);
}
