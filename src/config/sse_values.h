/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_values.h
 * Parsing of the values of directives: counts, times, sizes, words, names,
 * origins.  Unlike httpd's own functions these refuse a sign, blanks, "15sec"
 * and an overflow.
 *
 * Threads: any; no shared state.
 */

#ifndef SSE_VALUES_H
#define SSE_VALUES_H

#include <apr_pools.h>
#include <apr_tables.h>

/** The syntax of a time and a size, for messages. */
#define SSE_VALUES_TIME                                                        \
    "a whole number with ms, s, mi (minutes) or h, or alone for seconds"
#define SSE_VALUES_SIZE "a whole number of bytes, or with k, m or g"

/** Digits only. @return whether the text is valid and fits */
int sse_values_count(const char *text, apr_int64_t *count);

/** Digits with or without a %. @return whether the text is valid and fits */
int sse_values_share(const char *text, apr_int64_t *n, int *is_percent);

/** Digits and one of httpd's units ("15s", "500ms", "5mi", "1h"), by default
 *  seconds. @return whether the text is valid and fits */
int sse_values_time(const char *text, apr_int64_t *microseconds);

/** Digits with or without k, m or g, in either case.
 *  @return whether the text is valid and fits */
int sse_values_size(const char *text, apr_int64_t *bytes);

/** What SSEQueue says. */
typedef struct {
    apr_int64_t bytes;
    int drop;
    apr_int64_t time; /**< microseconds; unchanged if not given */
} sse_values_queue_t;

/** bytes [close|drop] [time], n words.
 *  @return NULL, or what is allowed instead of *wrong */
const char *sse_values_queue(const char *const *words, int n,
                             sse_values_queue_t *queue, const char **wrong);

/** One of two words, in either case. @return 0 or 1; -1: neither */
int sse_values_either(const char *text, const char *zero, const char *one);

/** Whether the list of strings has this word. */
int sse_values_has_word(const apr_array_header_t *words, const char *word);

/** Whether this expression may give a channel's name: an expression without
 *  variables must be one, of at most max bytes. */
int sse_values_may_be_channel(const char *text, apr_size_t max);

/** "*" or scheme://host[:port].
 *  @param origin out: as browsers send it (HTML, "serialization of an origin"),
 *         in lower case and without the scheme's default port
 *  @return NULL, or what is wrong with the text */
const char *sse_values_origin(apr_pool_t *pool, const char *text,
                              const char **origin);

#endif /* SSE_VALUES_H */
