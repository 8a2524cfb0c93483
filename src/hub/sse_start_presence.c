/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Subscriptions and presence: who becomes a member, and who looks on. */

#include "hub/sse_start.h"

#include <stdlib.h>
#include <string.h>

#include "config/sse_config.h"
#include "hub/sse_presence.h"
#include "hub/sse_subscription_private.h"
#include "shared/sse_counters.h"

void sse_start_join(const sse_stream_plan_t *plan, request_rec *r)
{
    sse_presence_who_t *who = sse_presence_who(r, plan->poll.limit != 0);

    if (who) {
        sse_subscription_set_who(plan->baton, who);
    }
}

/* -- Looking on ------------------------------------------------------------ */

/* What a client is sent first. */
typedef struct {
    const sse_format_t *format;
    int n;             /* channels */
    sse_buf_t **parts; /* one for each */
    sse_id_t *lasts;   /* of each, what it tells is as of that id */
    sse_id_t from;     /* the least of these: what follows it is sent */
} snapshot_t;

static sse_buf_t *event_of(const sse_format_t *format, sse_slice_t channel,
                           sse_slice_t json, sse_id_t id)
{
    sse_record_t record = {id, 0, SSE_RECORD_EVENT, channel, SSE_FIELDS_NONE};

    record.fields.event = sse_slice("presence");
    record.fields.data = json;
    return format->event(&record);
}

/* The last one has the id, as only then its client has all: that of the oldest,
 * since what changed meanwhile on the others is not missed by anybody who comes
 * back with it. */
static apr_status_t read_channel(snapshot_t *snapshot, sse_slice_t channel,
                                 int i)
{
    sse_room_t room = {0};
    sse_slice_t json;
    apr_status_t rv =
        sse_presence_document(channel, 0, &room, &json, &snapshot->lasts[i]);

    if (rv == APR_SUCCESS) {
        if (!i || snapshot->lasts[i] < snapshot->from) {
            snapshot->from = snapshot->lasts[i];
        }
        snapshot->parts[i] =
            event_of(snapshot->format, channel, json,
                     i == snapshot->n - 1 ? snapshot->from : 0);
    }
    sse_room_free(&room);
    return rv;
}

static apr_status_t read_all(snapshot_t *snapshot, const sse_slice_t *channels)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < snapshot->n && rv == APR_SUCCESS; ++i) {
        rv = read_channel(snapshot, channels[i], i);
    }
    return rv;
}

/* The gap has no id of its own: who has seen no more than it is told again. */
static sse_buf_t *gap_of(const snapshot_t *snapshot, const char *lost)
{
    sse_gap_t gap = {lost, 0, 0};

    return lost ? snapshot->format->gap(&gap) : NULL;
}

static sse_buf_t *join_parts(const snapshot_t *snapshot, const char *lost)
{
    sse_buf_t *gap = gap_of(snapshot, lost), *all;
    apr_size_t len = gap ? gap->len : 0;
    char *to;
    int i;

    for (i = 0; i < snapshot->n; ++i) {
        len += snapshot->parts[i]->len;
    }
    all = sse_buf_create(len);
    to = all->data;
    if (gap) {
        memcpy(to, gap->data, gap->len);
        to += gap->len;
        sse_buf_release(gap);
    }
    for (i = 0; i < snapshot->n; ++i) {
        memcpy(to, snapshot->parts[i]->data, snapshot->parts[i]->len);
        to += snapshot->parts[i]->len;
    }
    all->id = snapshot->from;
    all->events = snapshot->n + (lost != NULL);
    return all;
}

/* A snapshot, and what follows it. */
static apr_status_t begin(snapshot_t *snapshot, const sse_slice_t *channels,
                          sse_start_t *start)
{
    apr_status_t rv = read_all(snapshot, channels);

    if (rv == APR_SUCCESS) {
        sse_counters_add(SSE_COUNTER_GAPS, start->lost != NULL);
        start->first = join_parts(snapshot, start->lost);
        start->since = snapshot->lasts;
        start->after = start->upto = snapshot->from;
        start->lost = NULL;
    }
    return rv;
}

static void free_snapshot(snapshot_t *snapshot)
{
    int i;

    for (i = 0; i < snapshot->n; ++i) {
        if (snapshot->parts[i]) {
            sse_buf_release(snapshot->parts[i]);
        }
    }
    free(snapshot->parts);
    free(snapshot->lasts);
}

static apr_status_t start(sse_stream_plan_t *plan, const sse_slice_t *channels,
                          sse_start_t *start, const char *last_id)
{
    snapshot_t snapshot = {plan->format, start->n,
                           calloc((apr_size_t)start->n, sizeof(sse_buf_t *)),
                           calloc((apr_size_t)start->n, sizeof(sse_id_t)), 0};
    sse_hub_t *hub = sse_hub();
    apr_status_t rv;

    if (!snapshot.parts || !snapshot.lasts) {
        abort();
    }
    rv = sse_start_find(hub, last_id, SSE_REPLAY_NONE, start);
    if (rv == APR_SUCCESS && (!last_id || start->lost)) {
        rv = begin(&snapshot, channels, start);
    }
    if (rv == APR_SUCCESS) {
        plan->source = &sse_subscription_source;
        plan->baton = sse_subscription_create(hub, start);
    }
    free_snapshot(&snapshot);
    return rv;
}

apr_status_t sse_start_presence(sse_stream_plan_t *plan,
                                const sse_slice_t *channels, int n,
                                const char *last_id)
{
    sse_start_t from = {.n = n, .is_whole = 1};
    sse_slice_t *keys;
    apr_pool_t *pool;
    apr_status_t rv;
    int i;

    if (!sse_presence_is_known()) {
        return APR_ENOTIMPL;
    }
    apr_pool_create(&pool, NULL);
    apr_pool_tag(pool, "sse_start_presence");
    keys = apr_palloc(pool, (apr_size_t)n * sizeof(*keys));
    for (i = 0; i < n; ++i) {
        keys[i] = sse_presence_key(channels[i], pool);
    }
    from.keys = keys;
    rv = start(plan, channels, &from, last_id);
    apr_pool_destroy(pool);
    return sse_start_complain(sse_hub(), rv);
}
