/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "hub/sse_hub.h"

#include <http_log.h>
#include <string.h>
#include <unistd.h>

#include "config/sse_config.h"
#include "hub/sse_hub_private.h"
#include "hub/sse_subscription.h"
#include "loop/sse_log.h"
#include "sse_atomic.h"

APLOG_USE_MODULE(sse);

/* Records of the log that one turn reads; then the loop sees to other work. */
#define TURN_RECORDS 1000
/* And about so many bytes for subscriptions; then the streams write.  With less
 * than a burst, other channels' events would wait until all of it is written to
 * all of its streams. */
#define TURN_BYTES (4 * 1024 * 1024)
/* How often the store is asked for its time, while something is read. */
#define TIME_MSEC 1000
/* Between two rounds of the store's housekeeping by a child. */
#define TIDY_MSEC 5000

static sse_hub_t *this_child; /* const after child_init */

sse_hub_t *sse_hub(void) { return this_child; }

void sse_hub_use(sse_hub_t *hub) { this_child = hub; }

/* -- Keys ------------------------------------------------------------------ */

/* C0, DEL and C1 (U+0080 to U+009F); the name is valid UTF-8. */
static int has_control(const char *name)
{
    const unsigned char *s = (const unsigned char *)name;

    for (; *s; ++s) {
        if (*s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0)) {
            return 1;
        }
    }
    return 0;
}

int sse_hub_key(const server_rec *s, const char *name, apr_pool_t *pool,
                sse_slice_t *key)
{
    const char *ns = sse_conf_namespace(s, pool);
    apr_size_t ns_size = strlen(ns) + 1, name_len = strlen(name);
    char *bytes;

    if (!name_len || name_len > SSE_CHANNEL_MAX ||
        !sse_utf8_valid(name, name_len) || has_control(name)) {
        return 0;
    }
    bytes = apr_palloc(pool, ns_size + name_len);
    memcpy(bytes, ns, ns_size);
    memcpy(bytes + ns_size, name, name_len);
    key->ptr = bytes;
    key->len = ns_size + name_len;
    return 1;
}

/* -- A turn ---------------------------------------------------------------- */

sse_id_t sse_hub_known(sse_hub_t *hub, sse_id_t id)
{
    sse_id_t last;

    if (id > hub->position &&
        sse_store_last(hub->store, &last) == APR_SUCCESS && last < id) {
        return last;
    }
    return id; /* or the hub's next turn finds out */
}

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
        /* Evicted before this child read them, or lost by the store. */
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
        sse_log_later(APLOG_MARK, APLOG_ERR, SSE_HUB_LOGGED(rv), hub->server,
                      "%s: subscribers get no events until the store can be "
                      "read again: %s",
                      what, sse_store_advice(hub->store, rv));
    }
}

/* Both clocks run at the same speed, but for one that is set. */
void sse_hub_know_time(sse_hub_t *hub)
{
    apr_uint64_t now = sse_loop_now(hub->loop);
    apr_time_t time;

    if ((!hub->formats.knows_time || now - hub->timed_at >= TIME_MSEC) &&
        sse_store_now(hub->store, &time) == APR_SUCCESS) {
        sse_formats_set_time(&hub->formats, time);
        hub->timed_at = now;
    }
}

static void turn(sse_hub_t *hub)
{
    sse_id_t next, last;
    int missing;
    apr_status_t rv;

    sse_hub_know_time(hub);
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

/* What was published while this child had no subscription need not be read. */
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

/* Also repeats a turn that has failed. */
static void on_tidy(uv_timer_t *timer)
{
    sse_hub_t *hub = sse_owner_of(timer, sse_hub_t, tidy);

    sse_formats_clear(&hub->formats);
    if (!sse_channels_is_empty(hub->channels)) {
        turn(hub);
    }
    /* On a disk that hangs, the job never returns: one is enough. */
    if (sse_atomic_cas(&hub->is_tidying, 0, 1)) {
        if (sse_workers_try(SSE_WORKERS_OWN, &hub->tidy_job) != APR_SUCCESS) {
            sse_atomic_store(&hub->is_tidying, 0);
        }
    }
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
        uv_timer_init(sse_loop_uv(loop), &hub->tidy);
        /* Children that were created together take turns. */
        uv_timer_start(&hub->tidy, on_tidy, TIDY_MSEC + getpid() % TIDY_MSEC,
                       TIDY_MSEC);
        *out = hub;
    }
    return rv;
}
