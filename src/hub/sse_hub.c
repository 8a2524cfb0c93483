/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_hub.h"

#include <apr_strings.h>
#include <unistd.h>
#include <httpd.h>
#include <http_log.h>

#include "hub/sse_hub_private.h"
#include "hub/sse_subscription.h"
#include "loop/sse_log.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* Records of the log that one turn reads; then the loop sees to other work. */
#define TURN_RECORDS 1000
/* And about so many bytes for subscriptions; then the streams write.  That may
 * be more than a queue has room for: such a subscription reads the rest from
 * the store, and the hub goes on to other channels' events.  With less, these
 * would wait until all of a burst is written to all of its streams. */
#define TURN_BYTES (4 * 1024 * 1024)
/* How often a child does the store's housekeeping. */
#define TIDY_MSEC 5000

static sse_hub_t *this_child; /* const after child_init */

sse_hub_t *sse_hub(void) { return this_child; }

void sse_hub_use(sse_hub_t *hub) { this_child = hub; }

sse_id_t sse_hub_known(sse_hub_t *hub, sse_id_t id)
{
    sse_id_t last;

    if (id > hub->position &&
        sse_store_last(hub->store, &last) == APR_SUCCESS && last < id) {
        return last;
    }
    return id; /* or the hub's next turn finds out */
}

/* -- A turn ---------------------------------------------------------------- */

static void skip_one(void *subscription, void *baton)
{
    const sse_id_t *upto = baton;

    sse_subscription_skip(subscription, *upto);
}

static void end_turn(void *subscription, void *baton)
{
    sse_subscription_end_turn(subscription);
}

/* Records up to that one are gone from the log. */
static void skip(sse_hub_t *hub, sse_id_t upto)
{
    sse_channels_each(hub->channels, skip_one, &upto);
    hub->position = upto;
    hub->has_skipped = 1;
}

static void forget(sse_hub_t *hub, const sse_record_t *record)
{
    sse_link_t *link, *next;

    for (link = sse_channels_find(hub->channels, record->channel); link;
         link = next) {
        next = LIST_NEXT(link, next);
        sse_subscription_forget(link, record->id);
    }
}

static void fan_out(sse_hub_t *hub, const sse_record_t *record)
{
    sse_link_t *link;
    const sse_format_t *format, *had = NULL;
    sse_buf_t *buf = NULL;

    for (link = sse_channels_find(hub->channels, record->channel); link;
         link = LIST_NEXT(link, next)) {
        format = sse_subscription_wants(link, record->id);
        if (!format) {
            continue;
        }
        if (format != had) {
            if (buf) {
                sse_buf_release(buf);
            }
            buf = sse_formats_get(&hub->formats, format, record);
            had = format;
        }
        sse_subscription_push(link->subscription, buf, record->id);
    }
    if (buf) {
        hub->turn_bytes += buf->len;
        sse_buf_release(buf);
    }
}

static apr_status_t on_record(void *baton, const sse_record_t *record)
{
    sse_hub_t *hub = baton;

    if (hub->turn_bytes >= TURN_BYTES) {
        return APR_EOF;
    }
    if (record->id != hub->position + 1) {
        /* This child slept for longer than the log remembers, or the store has
         * lost its newest events. */
        skip(hub, record->id - 1);
    }
    if (record->kind == SSE_RECORD_FORGET) {
        forget(hub, record);
    }
    else {
        fan_out(hub, record);
    }
    hub->position = record->id;
    return APR_SUCCESS;
}

void sse_hub_complain(sse_hub_t *hub, apr_status_t rv, const char *what)
{
    if (sse_complain_is_due(&hub->complaint)) {
        sse_log_later(APLOG_MARK, APLOG_ERR, rv, hub->server,
                      "%s: subscribers get no events until the store can be "
                      "read again: %s",
                      what, sse_store_advice(hub->store, rv));
    }
}

static void turn(sse_hub_t *hub)
{
    sse_id_t next, last;
    int missing;
    apr_status_t rv;

    hub->turn_bytes = 0;
    rv = sse_store_follow(hub->store, hub->position, TURN_RECORDS, on_record,
                          hub, &next, &missing);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        sse_hub_complain(hub, rv, "reading the store failed");
        return;
    }
    if (next != hub->position) {
        skip(hub, next);
    }
    if (hub->has_skipped) {
        hub->has_skipped = 0;
        sse_channels_each(hub->channels, end_turn, NULL);
    }
    if (sse_store_last(hub->store, &last) == APR_SUCCESS &&
        hub->position < last) {
        sse_loop_post(hub->loop, &hub->turn_task);
    }
}

static void on_turn(sse_task_t *task)
{
    turn(sse_owner_of(task, sse_hub_t, turn_task));
}

static void on_broadcast(sse_broadcast_t *broadcast)
{
    turn(sse_owner_of(broadcast, sse_hub_t, broadcast));
}

/* -- Links ----------------------------------------------------------------- */

/* Events published while nobody in this child was subscribed need not be read.
 */
static void begin(sse_hub_t *hub)
{
    apr_status_t rv = sse_broadcast_listen(&hub->broadcast, 1);

    if (rv == APR_SUCCESS) {
        rv = sse_store_last(hub->store, &hub->position);
    }
    if (rv != APR_SUCCESS) {
        sse_hub_complain(hub, rv, "beginning to follow the store failed");
    }
}

void sse_hub_join(sse_hub_t *hub, sse_slice_t key, sse_link_t *link)
{
    if (sse_channels_is_empty(hub->channels)) {
        begin(hub);
    }
    sse_channels_add(hub->channels, key, link);
}

void sse_hub_leave(sse_hub_t *hub, sse_link_t *link)
{
    if (!link->node) {
        return;
    }
    sse_channels_remove(hub->channels, link);
    if (sse_channels_is_empty(hub->channels)) {
        sse_broadcast_listen(&hub->broadcast, 0);
    }
}

/* -- Housekeeping ---------------------------------------------------------- */

static void tidy(sse_job_t *job)
{
    sse_hub_t *hub = sse_owner_of(job, sse_hub_t, tidy_job);
    const char *report;
    int more = 1, rounds;

    for (rounds = 0; more && rounds < 100; ++rounds) {
        more = 0;
        if (sse_store_tidy(hub->store, apr_time_now(), &more) != APR_SUCCESS) {
            break; /* what is wrong shows where somebody needs the store */
        }
    }
    report = sse_store_report(hub->store);
    if (report) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, hub->server, "%s", report);
    }
    sse_atomic_store(&hub->is_tidying, 0);
}

/* Also looks for what a turn that failed has left. */
static void on_tidy(uv_timer_t *timer)
{
    sse_hub_t *hub = sse_owner_of(timer, sse_hub_t, tidy);

    sse_formats_clear(&hub->formats);
    if (!sse_channels_is_empty(hub->channels)) {
        turn(hub);
    }
    /* With a disk that hangs one does not come back. */
    if (sse_atomic_cas(&hub->is_tidying, 0, 1)) {
        if (sse_workers_try(SSE_WORKERS_OWN, &hub->tidy_job) != APR_SUCCESS) {
            sse_atomic_store(&hub->is_tidying, 0);
        }
    }
}

/* -- Making it ------------------------------------------------------------- */

/* Children that were made together do not all come at once. */
static void start_tidying(sse_hub_t *hub)
{
    uv_timer_init(sse_loop_uv(hub->loop), &hub->tidy);
    uv_timer_start(&hub->tidy, on_tidy, TIDY_MSEC + getpid() % TIDY_MSEC,
                   TIDY_MSEC);
}

apr_status_t sse_hub_create(sse_hub_t **out, sse_loop_t *loop,
                            sse_store_t *store, int fd, server_rec *s,
                            apr_pool_t *pool)
{
    sse_hub_t *hub = apr_pcalloc(pool, sizeof(*hub));
    apr_status_t rv;

    hub->loop = loop;
    hub->store = store;
    hub->server = s;
    hub->channels = sse_channels_create(pool);
    hub->tidy_job.run = tidy;
    hub->turn_task.run = on_turn;
    rv = sse_broadcast_open(&hub->broadcast, loop, fd, on_broadcast);
    if (rv == APR_SUCCESS) {
        start_tidying(hub);
        *out = hub;
    }
    return rv;
}
