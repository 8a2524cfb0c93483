/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status_numbers.h"

#include <httpd.h>
#include <http_config.h>
#include <http_main.h>
#include <string.h>

#include "config/sse_config.h"
#include "http/status/sse_status.h"
#include "notify/sse_notes.h"

static struct {
    sse_store_t *store;  /* const after child_init; NULL: it is not open */
    apr_time_t *started; /* const after post_config */
} self;

void sse_status_use_store(sse_store_t *store) { self.store = store; }

sse_store_t *sse_status_store(void) { return self.store; }

void sse_status_started(void)
{
    static const char key[] = "sse_status_started";

    self.started = ap_retained_data_get(key);
    if (!self.started) {
        self.started = ap_retained_data_create(key, sizeof(*self.started));
        *self.started = apr_time_now();
    }
}

/* -- Reading --------------------------------------------------------------- */

static void add_child(void *baton, pid_t pid, apr_uint64_t streams)
{
    sse_status_child_t *child = apr_array_push(baton);

    child->pid = pid;
    child->streams = streams;
}

void sse_status_read(sse_status_t *status, apr_pool_t *pool)
{
    memset(status, 0, sizeof(*status));
    sse_counters_read(&status->board);
    status->children = apr_array_make(pool, 16, sizeof(sse_status_child_t));
    sse_counters_each(add_child, status->children);
    status->has_store =
        self.store &&
        sse_store_sizes(self.store, &status->store) == APR_SUCCESS;
    status->limit = (apr_uint64_t)sse_conf_max_streams(ap_server_conf);
    status->now = apr_time_now();
    status->started = self.started ? *self.started : status->now;
}

/* -- The rows -------------------------------------------------------------- */

#define CLOSED(reason, key, words)                                             \
    {                                                                          \
        "closed", key, (int)SSE_COUNTER_CLOSED + (int)(reason), words          \
    }

const sse_status_row_t sse_status_rows[] = {
    {NULL, "streams", SSE_COUNTER_STREAMS, "Streams open"},
    {NULL, "opened", SSE_COUNTER_OPENED, "Streams opened"},
    {NULL, "published", SSE_COUNTER_EVENTS, "Events published"},
    {NULL, "refused", SSE_COUNTER_REFUSED, "Streams refused"},
    {NULL, "limit", SSE_VALUE_LIMIT, "Limit on streams (0: none)"},
    {NULL, "threads", SSE_COUNTER_THREADS, "Threads held by streams"},
    {NULL, "polled", SSE_COUNTER_POLLED, "Streams ended for want of threads"},
    {NULL, "polls", SSE_COUNTER_POLLS, "Long polls answered"},
    {NULL, "published_bytes", SSE_COUNTER_PUBLISHED_BYTES, "Bytes published"},
    {NULL, "delivered", SSE_COUNTER_DELIVERED, "Events delivered"},
    {NULL, "delivered_bytes", SSE_COUNTER_DELIVERED_BYTES, "Bytes delivered"},
    {NULL, "dropped", SSE_COUNTER_DROPPED, "Events dropped for slow clients"},
    {NULL, "gaps", SSE_COUNTER_GAPS, "Gaps told to clients"},
    {NULL, "queue_bytes", SSE_COUNTER_QUEUE_BYTES, "Bytes in queues"},
    {NULL, "commands", SSE_COUNTER_COMMANDS, "Programs that run"},
    {NULL, "stalled", SSE_COUNTER_STALLED, "Publishers waiting for the store"},
    {NULL, "uptime", SSE_VALUE_UPTIME, "Seconds since the start"},
    {"authorize", "asked", SSE_COUNTER_ASKED, "Asked"},
    {"authorize", "allowed", SSE_VALUE_ALLOWED, "Allowed"},
    {"authorize", "denied", SSE_COUNTER_ASK_DENIED, "Denied"},
    {"authorize", "failed", SSE_COUNTER_ASK_FAILED, "No valid answer"},
    {"hooks", "waiting", SSE_COUNTER_HOOKS_WAITING, "Waiting"},
    {"hooks", "sent", SSE_COUNTER_HOOKS_SENT, "Sent"},
    {"hooks", "failed", SSE_COUNTER_HOOKS_FAILED, "Given up"},
    {"hooks", "dropped", SSE_COUNTER_HOOKS_DROPPED, "Dropped"},
    {"drives", "async", SSE_COUNTER_STREAMS_ASYNC, "Without a thread, HTTP/1"},
    {"drives", "async_http2", SSE_COUNTER_STREAMS_ASYNC_H2,
     "Without a thread, HTTP/2"},
    {"drives", "waiting_http1", SSE_COUNTER_STREAMS_WAITING_H1,
     "With a thread, HTTP/1"},
    {"drives", "waiting_http2", SSE_COUNTER_STREAMS_WAITING_H2,
     "With a thread, HTTP/2"},
    CLOSED(SSE_CLOSE_CLIENT, "client", "Client left"),
    CLOSED(SSE_CLOSE_RESET, "reset", "Connection reset"),
    CLOSED(SSE_CLOSE_WRITE_ERROR, "write-error", "Writing failed"),
    CLOSED(SSE_CLOSE_DEAD_PEER, "dead-peer", "Client vanished"),
    CLOSED(SSE_CLOSE_SLOW_CLIENT, "slow-client", "Client too slow"),
    CLOSED(SSE_CLOSE_MAX_AGE, "max-age", "Over its age"),
    CLOSED(SSE_CLOSE_SERVER, "server", "Application, or channel deleted"),
    CLOSED(SSE_CLOSE_COMPLETE, "complete", "Complete"),
    CLOSED(SSE_CLOSE_SHUTDOWN, "shutdown", "Graceful stop or restart"),
    CLOSED(SSE_CLOSE_STOP, "stop", "Stop at once"),
    CLOSED(SSE_CLOSE_CRASH, "crash", "Child died"),
    CLOSED(SSE_CLOSE_ERROR, "error", "Other error"),
    CLOSED(SSE_CLOSE_POLL, "poll", "Poll"),
    {"refused_by", "server", SSE_COUNTER_REFUSED_SERVER, "SSEMaxStreams"},
    {"refused_by", "host", SSE_COUNTER_REFUSED_HOST, "SSEMaxStreams of a host"},
    {"refused_by", "client", SSE_COUNTER_REFUSED_CLIENT,
     "SSEMaxStreamsPerClient"},
    {"refused_by", "threads", SSE_COUNTER_REFUSED_THREADS, "SSEMaxThreads"},
    {"refused_by", "callbacks", SSE_COUNTER_REFUSED_CALLBACKS,
     "No thread for callbacks"},
    {"refused_by", "commands", SSE_COUNTER_REFUSED_COMMANDS, "SSECommandMax"},
    {"refused_by", "http2", SSE_COUNTER_REFUSED_HTTP2, "SSEHTTP2 Off"},
    {"store", "bytes", SSE_VALUE_STORE_BYTES, "Bytes in use"},
    {"store", "limit", SSE_VALUE_STORE_LIMIT, "Bytes before events go"},
    {"store", "size", SSE_VALUE_STORE_SIZE, "Bytes in all"},
    {"store", "channels", SSE_VALUE_STORE_CHANNELS, "Channels"},
    {"store", "events", SSE_VALUE_STORE_EVENTS, "Events kept"},
    {NULL, NULL, 0, NULL}};

const char *const sse_status_histograms[SSE_HISTOGRAMS] = {
    [SSE_HISTOGRAM_DELIVERY] = "delivery",
    [SSE_HISTOGRAM_CLOSE] = "close",
    [SSE_HISTOGRAM_LAG] = "lag"};

const char *const sse_status_histogram_words[SSE_HISTOGRAMS] = {
    [SSE_HISTOGRAM_DELIVERY] = "Event stored to sent",
    [SSE_HISTOGRAM_CLOSE] = "End seen to told",
    [SSE_HISTOGRAM_LAG] = "Turn of the loop"};

static apr_uint64_t allowed(const apr_uint64_t *numbers)
{
    apr_uint64_t others =
        numbers[SSE_COUNTER_ASK_DENIED] + numbers[SSE_COUNTER_ASK_FAILED];

    /* A question that is open counts as one already. */
    return numbers[SSE_COUNTER_ASKED] > others
               ? numbers[SSE_COUNTER_ASKED] - others
               : 0;
}

apr_uint64_t sse_status_value(const sse_status_t *status, int value)
{
    switch (value) {
    case SSE_VALUE_LIMIT:
        return status->limit;
    case SSE_VALUE_CHILDREN:
        return (apr_uint64_t)status->children->nelts;
    case SSE_VALUE_UPTIME:
        return status->now > status->started
                   ? (apr_uint64_t)apr_time_sec(status->now - status->started)
                   : 0;
    case SSE_VALUE_ALLOWED:
        return allowed(status->board.numbers);
    case SSE_VALUE_STORE_BYTES:
        return status->store.bytes;
    case SSE_VALUE_STORE_LIMIT:
        return status->store.limit;
    case SSE_VALUE_STORE_SIZE:
        return status->store.size;
    case SSE_VALUE_STORE_CHANNELS:
        return status->store.channels;
    case SSE_VALUE_STORE_EVENTS:
        return status->store.events;
    default:
        return status->board.numbers[value];
    }
}

int sse_status_is_unknown(const sse_status_t *status, int value)
{
    return value >= SSE_VALUE_STORE_BYTES && !status->has_store;
}

/* -- Histograms ------------------------------------------------------------ */

apr_uint64_t sse_status_count(const sse_histogram_t *histogram)
{
    apr_uint64_t count = 0;
    int i;

    for (i = 0; i <= SSE_HISTOGRAM_BOUNDS; ++i) {
        count += histogram->counts[i];
    }
    return count;
}

/* As Prometheus' histogram_quantile() does: evenly within a bucket. */
double sse_status_quantile(const sse_histogram_t *histogram, double part)
{
    double rank = part * (double)sse_status_count(histogram), before = 0, low;
    int i;

    if (rank <= 0) {
        return -1;
    }
    for (i = 0; i < SSE_HISTOGRAM_BOUNDS; ++i) {
        double n = (double)histogram->counts[i];

        if (n > 0 && before + n >= rank) {
            low = i ? sse_histogram_bounds[i - 1] : 0;
            return (low +
                    (sse_histogram_bounds[i] - low) * (rank - before) / n) /
                   1e6;
        }
        before += n;
    }
    return sse_histogram_bounds[SSE_HISTOGRAM_BOUNDS - 1] / 1e6;
}
