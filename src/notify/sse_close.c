/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#include "notify/sse_close.h"

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
