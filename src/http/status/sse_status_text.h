/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_status_text.h
 * A text that grows in a pool: the answers of sse-status are made in one piece.
 *
 * Threads: any; a text belongs to one at a time.
 */

#ifndef SSE_STATUS_TEXT_H
#define SSE_STATUS_TEXT_H

#include <apr_pools.h>

#include "event/sse_event.h"

/** ptr is NULL, or ends in a NUL that len does not count. */
typedef struct {
    apr_pool_t *pool;
    char *ptr;
    apr_size_t len, size;
} sse_text_t;

/** Add what printf() of APR makes of it. */
void sse_text_add(sse_text_t *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Add these bytes. */
void sse_text_put(sse_text_t *text, const char *bytes, apr_size_t len);

/** Add it as a JSON string, with quotes; what is no UTF-8 is replaced. */
void sse_text_json(sse_text_t *text, sse_slice_t value);

/** Add it so that a browser shows it, in text and in attributes. */
void sse_text_html(sse_text_t *text, sse_slice_t value);

/** Add it as a value in a query. */
void sse_text_query(sse_text_t *text, sse_slice_t value);

#endif /* SSE_STATUS_TEXT_H */
