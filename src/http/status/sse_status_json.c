/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* The numbers as JSON. */

#include "http/status/sse_status_numbers.h"

#include <string.h>

#include "sse_version.h"

static int is_same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void add_group(const sse_status_t *status, sse_text_t *text,
                      const sse_status_row_t **at)
{
    const sse_status_row_t *row = *at, *first = row;
    int unknown = sse_status_is_unknown(status, row->value);

    if (row->group) {
        sse_text_add(text, "\"%s\":%s", row->group, unknown ? "null" : "{");
    }
    for (; row->key && is_same(row->group, first->group); ++row) {
        if (!unknown) {
            sse_text_add(text, "%s\"%s\":%" APR_UINT64_T_FMT,
                         row == first ? "" : ",", row->key,
                         sse_status_value(status, row->value));
        }
    }
    if (first->group && !unknown) {
        sse_text_add(text, "}");
    }
    *at = row;
}

static void add_quantile(sse_text_t *text, const sse_histogram_t *histogram,
                         const char *key, double part)
{
    double seconds = sse_status_quantile(histogram, part);

    if (seconds < 0) {
        sse_text_add(text, ",\"%s\":null", key);
    }
    else {
        sse_text_add(text, ",\"%s\":%.6f", key, seconds);
    }
}

/* Buckets: bound in seconds, or null, and how many did not exceed it. */
static void add_histogram(sse_text_t *text, const sse_histogram_t *histogram)
{
    apr_uint64_t sum = 0;
    int i;

    sse_text_add(text, "{\"count\":%" APR_UINT64_T_FMT ",\"sum\":%.9f",
                 sse_status_count(histogram), (double)histogram->sum / 1e9);
    add_quantile(text, histogram, "p50", 0.5);
    add_quantile(text, histogram, "p99", 0.99);
    sse_text_add(text, ",\"buckets\":[");
    for (i = 0; i < SSE_HISTOGRAM_BOUNDS; ++i) {
        sum += histogram->counts[i];
        sse_text_add(text, "[%.6f,%" APR_UINT64_T_FMT "],",
                     sse_histogram_bounds[i] / 1e6, sum);
    }
    sse_text_add(text, "[null,%" APR_UINT64_T_FMT "]]}",
                 sum + histogram->counts[i]);
}

static void add_children(const sse_status_t *status, sse_text_t *text)
{
    const sse_status_child_t *child;
    int i;

    sse_text_add(text, ",\"children\":[");
    for (i = 0; i < status->children->nelts; ++i) {
        child = &APR_ARRAY_IDX(status->children, i, sse_status_child_t);
        sse_text_add(text,
                     "%s{\"pid\":%" APR_PID_T_FMT
                     ",\"streams\":%" APR_UINT64_T_FMT "}",
                     i ? "," : "", child->pid, child->streams);
    }
    sse_text_add(text, "]");
}

void sse_status_json(const sse_status_t *status, sse_text_t *text)
{
    const sse_status_row_t *row = sse_status_rows;
    int i;

    sse_text_add(text, "{");
    while (row->key) {
        add_group(status, text, &row);
        sse_text_add(text, ",");
    }
    sse_text_add(text, "\"histograms\":{");
    for (i = 0; i < SSE_HISTOGRAMS; ++i) {
        sse_text_add(text, "%s\"%s\":", i ? "," : "", sse_status_histograms[i]);
        add_histogram(text, &status->board.histograms[i]);
    }
    sse_text_add(text, "}");
    add_children(status, text);
    sse_text_add(text, ",\"version\":\"%s\"}", SSE_VERSION);
}
