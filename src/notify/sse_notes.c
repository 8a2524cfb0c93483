/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_notes.h"

#include <apr_strings.h>
#include <string.h>
#include <unistd.h>

#include "notify/sse_callbacks.h"
#include "sse_atomic.h"

static apr_uint32_t count; /* atomic: of this child's, for their ids */

const char *sse_close_name(sse_close_reason_e reason)
{
    static const char *const names[] = {
        "none",        "client",  "reset",  "write-error", "dead-peer",
        "slow-client", "max-age", "server", "complete",    "shutdown",
        "stop",        "crash",   "error",  "poll"};

    return (unsigned)reason < sizeof(names) / sizeof(names[0]) ? names[reason]
                                                               : "unknown";
}

int sse_close_by_client(sse_close_reason_e reason)
{
    return reason >= SSE_CLOSE_CLIENT && reason <= SSE_CLOSE_DEAD_PEER;
}

sse_notes_t *sse_notes_create(request_rec *r, const char *channels)
{
    sse_notes_t *notes = apr_pcalloc(r->pool, sizeof(*notes));
    const char *id = apr_table_get(sse_callbacks_first(r)->notes, "sse-stream");

    if (id) {
        apr_cpystrn(notes->id, id, sizeof(notes->id));
    }
    else {
        apr_snprintf(notes->id, sizeof(notes->id),
                     "%" APR_UINT64_T_HEX_FMT ".%x.%x",
                     (apr_uint64_t)apr_time_now(), (unsigned)getpid(),
                     (unsigned)sse_atomic_add(&count, 1));
    }
    strcpy(notes->events, "0");
    strcpy(notes->reason, "-");
    apr_table_setn(r->notes, "sse-stream", notes->id);
    apr_table_setn(r->notes, "sse-close", notes->reason);
    apr_table_setn(r->notes, "sse-events", notes->events);
    apr_table_setn(r->notes, "sse-channel", channels);
    if (r->user && !apr_table_get(r->notes, "sse-user")) {
        apr_table_setn(r->notes, "sse-user", r->user);
    }
    return notes;
}

void sse_notes_end(sse_notes_t *notes, sse_close_reason_e reason,
                   apr_uint64_t events)
{
    apr_snprintf(notes->events, sizeof(notes->events), "%" APR_UINT64_T_FMT,
                 events);
    apr_cpystrn(notes->reason, sse_close_name(reason), sizeof(notes->reason));
}
