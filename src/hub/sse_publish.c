/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_publish.h"

#include <httpd.h>
#include <http_log.h>
#include <string.h>

#include "hub/sse_hub_private.h"
#include "process/sse_signals.h"
#include "shared/sse_counters.h"

APLOG_USE_MODULE(sse);

/* -- Checks ---------------------------------------------------------------- */

const char *sse_publish_check(sse_fields_t *event)
{
    if (!event->data.ptr) {
        return "an event must have data; it may be empty";
    }
    if (event->id.ptr &&
        (!event->id.len || event->id.len > SSE_STORE_IDEMPOTENCY_MAX)) {
        return "an id or Idempotency-Key must have 1 to " APR_STRINGIFY(
            SSE_STORE_IDEMPOTENCY_MAX) " bytes";
    }
    if (event->event.len >= 4 && !memcmp(event->event.ptr, "sse-", 4)) {
        return "event names that begin with sse- are the server's own: choose "
               "another";
    }
    if (!event->event.len) {
        event->event = sse_slice(NULL);
    }
    return sse_event_check(event);
}

void sse_publish_item(sse_append_t *item, sse_slice_t channel,
                      const sse_fields_t *event, const sse_history_t *history)
{
    memset(item, 0, sizeof(*item));
    item->channel = channel;
    item->fields = *event;
    item->fields.id = sse_slice(NULL);
    item->idempotency = event->id;
    item->history = history;
}

/* -- A store that fails ---------------------------------------------------- */

static sse_complaint_t complaint;

/* The system has no text for an error of the store's own. */
static void note_outcome(sse_hub_t *hub, apr_status_t rv)
{
    if (rv == APR_EINVAL) {
        return; /* the caller's fault */
    }
    if (rv == APR_SUCCESS && sse_complain_is_over(&complaint)) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, hub->server,
                     "the event store takes events again");
    }
    if (rv != APR_SUCCESS && sse_complain_is_due(&complaint)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, SSE_HUB_LOGGED(rv), hub->server,
                     "the event store takes nothing, publishers are refused: "
                     "%s.  Not logged again for a minute",
                     sse_store_advice(hub->store, rv));
    }
}

/* -- The store ------------------------------------------------------------- */

apr_status_t sse_publish_append(const sse_publisher_t *by, sse_append_t *items,
                                int n)
{
    sse_hub_t *hub = sse_hub();
    apr_status_t rv;
    apr_size_t bytes = 0;
    int i, added = 0;

    /* On prefork a signal handler would end the process at once, with the store
     * in use. */
    sse_signals_hold();
    rv = sse_store_append(hub->store, items, n);
    sse_signals_let_go();

    note_outcome(hub, rv);
    for (i = 0; rv == APR_SUCCESS && i < n; ++i) {
        if (!items[i].duplicate) {
            ++added;
            bytes += items[i].fields.data.len;
        }
    }
    if (added) {
        sse_counters_add(SSE_COUNTER_EVENTS, added);
        sse_counters_add(SSE_COUNTER_PUBLISHED_BYTES, (apr_int64_t)bytes);
        sse_listeners_published(by, items, n);
    }
    return rv;
}

apr_status_t sse_publish_forget(sse_slice_t channel, sse_id_t *id)
{
    sse_hub_t *hub = sse_hub();
    apr_status_t rv;

    sse_signals_hold();
    rv = sse_store_forget(hub->store, channel, id);
    sse_signals_let_go();

    note_outcome(hub, rv);
    return rv;
}

const char *sse_publish_reason(apr_status_t rv)
{
    return sse_store_answer(sse_hub()->store, rv);
}
