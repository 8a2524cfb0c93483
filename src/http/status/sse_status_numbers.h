/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_status_numbers.h
 * The numbers of all children at one moment, and what each is called: in JSON,
 * on the page, and for mod_status.
 *
 * Threads: sse_status_use_store() child_init's; the rest any.  Nothing blocks,
 * but as the store's readers do: the loop may read the numbers.
 */

#ifndef SSE_STATUS_NUMBERS_H
#define SSE_STATUS_NUMBERS_H

#include <apr_tables.h>

#include "http/status/sse_status_text.h"
#include "shared/sse_counters.h"
#include "store/sse_store.h"

/** A child that runs. */
typedef struct {
    pid_t pid;
    apr_uint64_t streams;
} sse_status_child_t;

/** What there is; in a pool. */
typedef struct {
    sse_board_t board;
    sse_store_sizes_t store;
    int has_store;                /**< its sizes are known */
    apr_array_header_t *children; /**< of sse_status_child_t */
    apr_uint64_t limit;           /**< SSEMaxStreams of the server; 0: none */
    apr_time_t started;           /**< the server */
    apr_time_t now;
} sse_status_t;

/** What a row shows: a counter, or one of these. */
enum {
    SSE_VALUE_LIMIT = SSE_COUNTERS,
    SSE_VALUE_CHILDREN,
    SSE_VALUE_UPTIME,  /**< seconds */
    SSE_VALUE_ALLOWED, /**< questions to applications that were answered so */
    SSE_VALUE_STORE_BYTES,
    SSE_VALUE_STORE_LIMIT,
    SSE_VALUE_STORE_SIZE,
    SSE_VALUE_STORE_CHANNELS,
    SSE_VALUE_STORE_EVENTS
};

/** A number. */
typedef struct {
    const char *group; /**< NULL; or the object that it is in */
    const char *key;   /**< in JSON */
    int value;         /**< sse_counter_e, or as above */
    const char *words; /**< on the page */
} sse_status_row_t;

/** Those of one group follow each other; ends with a row without a key. */
extern const sse_status_row_t sse_status_rows[];

/** What JSON calls the histograms, by sse_histogram_e, and the page. */
extern const char *const sse_status_histograms[SSE_HISTOGRAMS];
extern const char *const sse_status_histogram_words[SSE_HISTOGRAMS];

/** child_init: the store that is told of. */
void sse_status_use_store(sse_store_t *store);

/** That store; NULL: it is not open. */
sse_store_t *sse_status_store(void);

/** Read everything. */
void sse_status_read(sse_status_t *status, apr_pool_t *pool);

/** A row's number. */
apr_uint64_t sse_status_value(const sse_status_t *status, int value);

/** Whether a row's number is not known, as the store is not. */
int sse_status_is_unknown(const sse_status_t *status, int value);

/** How many times a histogram has. */
apr_uint64_t sse_status_count(const sse_histogram_t *histogram);

/** The time, in seconds, that this part (0.5, 0.99) of them did not exceed,
 *  about; at most the last bound.  @return below 0: there are none */
double sse_status_quantile(const sse_histogram_t *histogram, double part);

/** All of it, as JSON. */
void sse_status_json(const sse_status_t *status, sse_text_t *text);

#endif /* SSE_STATUS_NUMBERS_H */
