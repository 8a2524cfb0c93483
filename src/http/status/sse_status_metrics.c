/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status_metrics.h"

#include <apr_strings.h>
#include <string.h>

#include "notify/sse_notes.h"
#include "sse_version.h"

#define PREFIX      "modsse_"
#define SAMPLES_MAX 7

/** One line: labels without braces, or NULL, and what it shows. */
typedef struct {
    const char *labels;
    int value; /* as of sse_status_row_t */
} sample_t;

/** A metric.  A counter's name is without "_total". */
typedef struct {
    const char *name, *type, *unit, *help;
    sample_t samples[SAMPLES_MAX]; /* up to the first without a value */
    int n;
} family_t;

#define ONE(value) {{NULL, value}}, 1

static const family_t families[] = {
    {"streams",
     "gauge",
     NULL,
     "Open streams, by how they are written and by protocol.",
     {{"drive=\"async\",protocol=\"http1\"", SSE_COUNTER_STREAMS_ASYNC},
      {"drive=\"async\",protocol=\"http2\"", SSE_COUNTER_STREAMS_ASYNC_H2},
      {"drive=\"waiting\",protocol=\"http1\"", SSE_COUNTER_STREAMS_WAITING_H1},
      {"drive=\"waiting\",protocol=\"http2\"", SSE_COUNTER_STREAMS_WAITING_H2}},
     4},
    {"streams_limit", "gauge", NULL,
     "SSEMaxStreams of the main server; 0: no limit.", ONE(SSE_VALUE_LIMIT)},
    {"opened", "counter", NULL, "Streams opened.", ONE(SSE_COUNTER_OPENED)},
    {"published", "counter", NULL, "Events published.",
     ONE(SSE_COUNTER_EVENTS)},
    {"published_bytes", "counter", "bytes", "Bytes of data published.",
     ONE(SSE_COUNTER_PUBLISHED_BYTES)},
    {"delivered", "counter", NULL, "Events that clients' sockets have taken.",
     ONE(SSE_COUNTER_DELIVERED)},
    {"delivered_bytes", "counter", "bytes", "Bytes that streams have sent.",
     ONE(SSE_COUNTER_DELIVERED_BYTES)},
    {"dropped", "counter", NULL, "Events left out for clients too slow.",
     ONE(SSE_COUNTER_DROPPED)},
    {"gaps", "counter", NULL, "Gaps that clients were told of.",
     ONE(SSE_COUNTER_GAPS)},
    {"refused",
     "counter",
     NULL,
     "Streams refused, by the limit that did.",
     {{"limit=\"server\"", SSE_COUNTER_REFUSED_SERVER},
      {"limit=\"host\"", SSE_COUNTER_REFUSED_HOST},
      {"limit=\"client\"", SSE_COUNTER_REFUSED_CLIENT},
      {"limit=\"threads\"", SSE_COUNTER_REFUSED_THREADS},
      {"limit=\"callbacks\"", SSE_COUNTER_REFUSED_CALLBACKS},
      {"limit=\"commands\"", SSE_COUNTER_REFUSED_COMMANDS},
      {"limit=\"http2\"", SSE_COUNTER_REFUSED_HTTP2}},
     7},
    {"polls", "counter", NULL, "Long polls answered.", ONE(SSE_COUNTER_POLLS)},
    {"polled", "counter", NULL,
     "Streams that were sent what was due and ended, for want of threads.",
     ONE(SSE_COUNTER_POLLED)},
    {"auth",
     "counter",
     NULL,
     "Questions to applications, by their answers.",
     {{"result=\"allowed\"", SSE_VALUE_ALLOWED},
      {"result=\"denied\"", SSE_COUNTER_ASK_DENIED},
      {"result=\"failed\"", SSE_COUNTER_ASK_FAILED}},
     3},
    {"hook",
     "counter",
     NULL,
     "Calls of webhooks, by what became of them.",
     {{"result=\"sent\"", SSE_COUNTER_HOOKS_SENT},
      {"result=\"failed\"", SSE_COUNTER_HOOKS_FAILED},
      {"result=\"dropped\"", SSE_COUNTER_HOOKS_DROPPED}},
     3},
    {"hook_waiting", "gauge", NULL, "Calls of webhooks that wait.",
     ONE(SSE_COUNTER_HOOKS_WAITING)},
    {"commands", "gauge", NULL, "Programs that run.",
     ONE(SSE_COUNTER_COMMANDS)},
    {"queue_bytes", "gauge", "bytes", "Bytes that wait in streams' queues.",
     ONE(SSE_COUNTER_QUEUE_BYTES)},
    {"threads", "gauge", NULL, "Threads held by streams.",
     ONE(SSE_COUNTER_THREADS)},
    {"publishers_stalled", "gauge", NULL,
     "Publishers waiting for a store that does not respond.",
     ONE(SSE_COUNTER_STALLED)},
    {"children", "gauge", NULL, "Children of the server.",
     ONE(SSE_VALUE_CHILDREN)},
    {"store_bytes", "gauge", "bytes", "Bytes in use in the store.",
     ONE(SSE_VALUE_STORE_BYTES)},
    {"store_limit_bytes", "gauge", "bytes",
     "Bytes in use from which on the oldest events go.",
     ONE(SSE_VALUE_STORE_LIMIT)},
    {"store_size_bytes", "gauge", "bytes", "Bytes that the store may have.",
     ONE(SSE_VALUE_STORE_SIZE)},
    {"store_channels", "gauge", NULL, "Channels that the store knows.",
     ONE(SSE_VALUE_STORE_CHANNELS)},
    {"store_events", "gauge", NULL, "Events kept.",
     ONE(SSE_VALUE_STORE_EVENTS)}};

static const struct {
    const char *name, *help;
} histograms[SSE_HISTOGRAMS] = {
    [SSE_HISTOGRAM_DELIVERY] = {"delivery_seconds",
                                "From an event's append to the store to when "
                                "a client's socket has taken it."},
    [SSE_HISTOGRAM_CLOSE] = {"close_seconds",
                             "From when a stream's end is known to when its "
                             "listeners are told."},
    [SSE_HISTOGRAM_LAG] = {"loop_lag_seconds",
                           "How long a turn of a child's loop takes."}};

/** What is being written. */
typedef struct {
    const sse_status_t *status;
    int is_classic;
    sse_text_t *text;
} out_t;

/* Of a counter the older format gives the whole name. */
static void head(const out_t *out, const char *name, const char *type,
                 const char *unit, const char *help)
{
    const char *end =
        out->is_classic && !strcmp(type, "counter") ? "_total" : "";

    sse_text_add(out->text, "# TYPE " PREFIX "%s%s %s\n", name, end, type);
    if (unit && !out->is_classic) {
        sse_text_add(out->text, "# UNIT " PREFIX "%s %s\n", name, unit);
    }
    sse_text_add(out->text, "# HELP " PREFIX "%s%s %s\n", name, end, help);
}

static void add_sample(const out_t *out, const family_t *family,
                       const char *labels, int value)
{
    int is_counter = !strcmp(family->type, "counter");

    sse_text_add(out->text, PREFIX "%s%s%s%s%s %" APR_UINT64_T_FMT "\n",
                 family->name, is_counter ? "_total" : "", labels ? "{" : "",
                 labels ? labels : "", labels ? "}" : "",
                 sse_status_value(out->status, value));
}

static void add_family(const out_t *out, const family_t *family)
{
    int i;

    if (sse_status_is_unknown(out->status, family->samples[0].value)) {
        return;
    }
    head(out, family->name, family->type, family->unit, family->help);
    for (i = 0; i < family->n; ++i) {
        add_sample(out, family, family->samples[i].labels,
                   family->samples[i].value);
    }
}

static void add_closed(const out_t *out)
{
    static const family_t family = {"closed", "counter", NULL,
                                    "Streams closed, by reason.", ONE(0)};
    char labels[64];
    int reason;

    head(out, family.name, family.type, family.unit, family.help);
    for (reason = SSE_CLOSE_CLIENT; reason < SSE_COUNTER_REASONS; ++reason) {
        apr_snprintf(labels, sizeof(labels), "reason=\"%s\"",
                     sse_close_name((sse_close_reason_e)reason));
        add_sample(out, &family, labels, (int)SSE_COUNTER_CLOSED + reason);
    }
}

/* Seconds, as both formats want a bound: with a point, without an exponent. */
static void add_bound(const out_t *out, apr_uint32_t usec)
{
    char digits[16];
    int len = apr_snprintf(digits, sizeof(digits), "%u.%06u", usec / 1000000,
                           usec % 1000000);

    while (digits[len - 1] == '0' && digits[len - 2] != '.') {
        --len;
    }
    sse_text_put(out->text, digits, (apr_size_t)len);
}

static void add_histogram(const out_t *out, sse_histogram_e which)
{
    const sse_histogram_t *from = &out->status->board.histograms[which];
    const char *name = histograms[which].name;
    apr_uint64_t sum = 0;
    int i;

    head(out, name, "histogram", "seconds", histograms[which].help);
    for (i = 0; i <= SSE_HISTOGRAM_BOUNDS; ++i) {
        sum += from->counts[i];
        sse_text_add(out->text, PREFIX "%s_bucket{le=\"", name);
        if (i < SSE_HISTOGRAM_BOUNDS) {
            add_bound(out, sse_histogram_bounds[i]);
        }
        else {
            sse_text_add(out->text, "+Inf");
        }
        sse_text_add(out->text, "\"} %" APR_UINT64_T_FMT "\n", sum);
    }
    sse_text_add(out->text,
                 PREFIX "%s_sum %" APR_UINT64_T_FMT ".%09u\n" PREFIX
                        "%s_count %" APR_UINT64_T_FMT "\n",
                 name, from->sum / 1000000000,
                 (unsigned int)(from->sum % 1000000000), name, sum);
}

/* The older format has no type "info". */
static void add_about(const out_t *out)
{
    apr_time_t started = out->status->started;

    head(out, out->is_classic ? "build_info" : "build",
         out->is_classic ? "gauge" : "info", NULL, "The module's version.");
    sse_text_add(out->text,
                 PREFIX "build_info{version=\"" SSE_VERSION "\"} 1\n");
    head(out, "start_time_seconds", "gauge", "seconds",
         "When the server was started, since 1970.");
    sse_text_add(out->text,
                 PREFIX "start_time_seconds %" APR_TIME_T_FMT ".%06d\n",
                 apr_time_sec(started), (int)apr_time_usec(started));
}

void sse_status_metrics(const sse_status_t *status, int is_classic,
                        sse_text_t *text)
{
    const out_t out = {status, is_classic, text};
    apr_size_t i;

    for (i = 0; i < sizeof(families) / sizeof(families[0]); ++i) {
        add_family(&out, &families[i]);
    }
    add_closed(&out);
    for (i = 0; i < SSE_HISTOGRAMS; ++i) {
        add_histogram(&out, (sse_histogram_e)i);
    }
    add_about(&out);
    if (!is_classic) {
        sse_text_add(text, "# EOF\n");
    }
}
