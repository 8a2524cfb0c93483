/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_status_metrics.h
 * The numbers for Prometheus and others: OpenMetrics 1.0, or the text format
 * 0.0.4 that was before it.
 *
 * Threads: any.
 */

#ifndef SSE_STATUS_METRICS_H
#define SSE_STATUS_METRICS_H

#include "http/status/sse_status_numbers.h"

#define SSE_METRICS_OPEN                                                       \
    "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define SSE_METRICS_CLASSIC "text/plain; version=0.0.4; charset=utf-8"

/** @param is_classic format 0.0.4 */
void sse_status_metrics(const sse_status_t *status, int is_classic,
                        sse_text_t *text);

#endif /* SSE_STATUS_METRICS_H */
