/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "http/status/sse_status_server.h"

#include <http_protocol.h>
#include <mod_status.h>

#include "http/status/sse_status_numbers.h"

/** What programs read, as "Name: number". */
static const struct {
    const char *name;
    int value; /* as of sse_status_row_t */
} lines[] = {{"SSEStreams", SSE_COUNTER_STREAMS},
             {"SSEOpened", SSE_COUNTER_OPENED},
             {"SSEPublished", SSE_COUNTER_EVENTS},
             {"SSERefused", SSE_COUNTER_REFUSED},
             {"SSEDelivered", SSE_COUNTER_DELIVERED},
             {"SSEDropped", SSE_COUNTER_DROPPED},
             {"SSEGaps", SSE_COUNTER_GAPS},
             {"SSEPolls", SSE_COUNTER_POLLS},
             {"SSEThreads", SSE_COUNTER_THREADS},
             {"SSEQueueBytes", SSE_COUNTER_QUEUE_BYTES},
             {"SSECommands", SSE_COUNTER_COMMANDS},
             {"SSEHooksWaiting", SSE_COUNTER_HOOKS_WAITING},
             {"SSEStoreBytes", SSE_VALUE_STORE_BYTES},
             {"SSEStoreSize", SSE_VALUE_STORE_SIZE},
             {"SSEStoreChannels", SSE_VALUE_STORE_CHANNELS}};

static apr_uint64_t value(const sse_status_t *status, int number)
{
    return sse_status_value(status, number);
}

/* httpd's scoreboard has an entry for each thread, and so none for a stream
 * that holds no thread: all streams are counted here, by child. */
static void print_children(request_rec *r, const sse_status_t *status,
                           const char *format)
{
    const sse_status_child_t *child;
    int i;

    for (i = 0; i < status->children->nelts; ++i) {
        child = &APR_ARRAY_IDX(status->children, i, sse_status_child_t);
        ap_rprintf(r, format, child->pid, child->streams);
    }
}

static void print_short(request_rec *r, const sse_status_t *status)
{
    apr_size_t i;

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); ++i) {
        if (!sse_status_is_unknown(status, lines[i].value)) {
            ap_rprintf(r, "%s: %" APR_UINT64_T_FMT "\n", lines[i].name,
                       value(status, lines[i].value));
        }
    }
    ap_rputs("SSEStreamsByPID:", r);
    print_children(r, status, " %" APR_PID_T_FMT "=%" APR_UINT64_T_FMT);
    ap_rputs("\n", r);
}

static void print_page(request_rec *r, const sse_status_t *status,
                       int has_tables)
{
    ap_rprintf(
        r,
        "<hr />\n<h2>Server-Sent Events</h2>\n"
        "<dl><dt>%" APR_UINT64_T_FMT " streams open (those that take no "
        "thread are not among the workers above)</dt>\n"
        "<dt>%" APR_UINT64_T_FMT " opened, %" APR_UINT64_T_FMT
        " refused, %" APR_UINT64_T_FMT
        " events published since the server was started</dt>\n"
        "<dt>%" APR_UINT64_T_FMT " events delivered, %" APR_UINT64_T_FMT
        " dropped for slow clients, %" APR_UINT64_T_FMT
        " long polls answered, %" APR_UINT64_T_FMT
        " calls of webhooks waiting</dt>\n",
        value(status, SSE_COUNTER_STREAMS), value(status, SSE_COUNTER_OPENED),
        value(status, SSE_COUNTER_REFUSED), value(status, SSE_COUNTER_EVENTS),
        value(status, SSE_COUNTER_DELIVERED),
        value(status, SSE_COUNTER_DROPPED), value(status, SSE_COUNTER_POLLS),
        value(status, SSE_COUNTER_HOOKS_WAITING));
    if (status->has_store) {
        ap_rprintf(r,
                   "<dt>%" APR_UINT64_T_FMT " channels, %" APR_UINT64_T_FMT
                   " events kept in %" APR_UINT64_T_FMT
                   " bytes of %" APR_UINT64_T_FMT "</dt>\n",
                   status->store.channels, status->store.events,
                   status->store.bytes, status->store.size);
    }
    ap_rputs("</dl>\n", r);
    if (has_tables) {
        ap_rputs("<table border=\"0\"><tr><th>PID</th><th>Streams</th></tr>\n",
                 r);
        print_children(r, status,
                       "<tr><td>%" APR_PID_T_FMT "</td><td>%" APR_UINT64_T_FMT
                       "</td></tr>\n");
        ap_rputs("</table>\n", r);
    }
}

int sse_status_server(request_rec *r, int flags)
{
    sse_status_t status;

    sse_status_read(&status, r->pool);
    if (flags & AP_STATUS_SHORT) {
        print_short(r, &status);
    }
    else {
        print_page(r, &status, !(flags & AP_STATUS_NOTABLE));
    }
    return OK;
}
