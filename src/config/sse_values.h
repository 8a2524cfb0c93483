/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_values.h
 * The values directives take: counts, times, sizes, words, names, origins.
 * What httpd's own readers let pass (a sign, blanks, "15sec", an overflow) is
 * refused.
 *
 * Threads: any; no shared state.
 */

#ifndef SSE_VALUES_H
#define SSE_VALUES_H

#include <apr_pools.h>
#include <apr_tables.h>

/** How a time and a size are spelt, for messages. */
#define SSE_VALUES_TIME                                                        \
    "a whole number with ms, s, mi (minutes) or h, or alone for seconds"
#define SSE_VALUES_SIZE "a whole number of bytes, or with k, m or g"

/** Digits alone. @return whether it is one, and fits */
int sse_values_count(const char *text, apr_int64_t *count);

/** Digits, and a % behind them or not. @return whether it is that, and fits */
int sse_values_share(const char *text, apr_int64_t *n, int *is_percent);

/** Digits and one of httpd's units ("15s", "500ms", "5mi", "1h"), or digits
 *  alone: seconds. @return whether it is one, and fits */
int sse_values_time(const char *text, apr_int64_t *microseconds);

/** Digits alone, or with k, m or g in either case. @return whether it is one,
 *  and fits */
int sse_values_size(const char *text, apr_int64_t *bytes);

/** What SSEQueue says. */
typedef struct {
    apr_int64_t bytes;
    int drop;
    apr_int64_t time; /**< microseconds; as it was where none is given */
} sse_values_queue_t;

/** bytes [close|drop] [time]. @return NULL, or what is allowed instead of the
 *  wrong one of these n words */
const char *sse_values_queue(const char *const *words, int n,
                             sse_values_queue_t *queue, const char **wrong);

/** One of two words, in either case. @return 0 or 1; -1: it is neither */
int sse_values_either(const char *text, const char *zero, const char *one);

/** Whether a list of strings has this one. */
int sse_values_has_word(const apr_array_header_t *words, const char *word);

/** Whether this expression string may be a channel's name: one without
 *  variables must be one, of max bytes at most. */
int sse_values_may_be_channel(const char *text, apr_size_t max);

/**
 * "*" or scheme://host[:port].
 * @param origin out: as browsers send it (HTML, "serialization of an origin"):
 *        lower case, no port where it is the scheme's own
 * @return NULL, or what is wrong with it
 */
const char *sse_values_origin(apr_pool_t *pool, const char *text,
                              const char **origin);

#endif /* SSE_VALUES_H */
