/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_complain.h
 * A log line that may repeat: at most once a minute and child, and once when
 * the failure is over.  One sse_complaint_t for each kind of line, static or
 * part of what fails; all zero at first.
 *
 * Threads: any.
 */

#ifndef SSE_COMPLAIN_H
#define SSE_COMPLAIN_H

#include <apr_time.h>

#include "sse_atomic.h"

typedef struct {
    apr_time_t last; /* atomic */
    int is_failing;  /* atomic */
} sse_complaint_t;

/** It failed. @return whether to log it: once a minute at most */
static inline int sse_complain_is_due(sse_complaint_t *complaint)
{
    apr_time_t last = sse_atomic_load(&complaint->last), now = apr_time_now();
    int is_due = (now < last || now - last >= apr_time_from_sec(60)) &&
                 sse_atomic_cas(&complaint->last, last, now);

    if (is_due) {
        sse_atomic_store(&complaint->is_failing, 1);
    }
    return is_due;
}

/** It worked. @return whether to log that: once for each failure logged */
static inline int sse_complain_is_over(sse_complaint_t *complaint)
{
    return sse_atomic_load(&complaint->is_failing) &&
           sse_atomic_cas(&complaint->is_failing, 1, 0);
}

#endif /* SSE_COMPLAIN_H */
