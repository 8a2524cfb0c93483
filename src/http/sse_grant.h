/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_grant.h
 * What an application (SSEAuthorize) allows, in the headers of its answer:
 *
 *   SSE-Channel: news, user%2042     these channels instead of those asked for
 *   SSE-User: J%C3%BCrgen            who the client is
 *   SSE-Session: 5f3c                a word of the application's own
 *   SSE-Max-Age: 3600                seconds that the stream may last
 *
 * Names of channels stand on one line or several, with commas or blanks
 * between them; FastCGI and CGI join lines by commas.  Names and users are
 * percent-encoded where they are not visible ASCII, and for '%' and ','.
 *
 * Whatever cannot be read as that makes the whole answer invalid: half of a
 * permission is none.
 *
 * Threads: any.
 */

#ifndef SSE_GRANT_H
#define SSE_GRANT_H

#include <apr_tables.h>
#include <apr_time.h>

/** The most channels, and the longest user and word, in bytes. */
#define SSE_GRANT_CHANNELS 100
#define SSE_GRANT_USER     256
#define SSE_GRANT_SESSION  512

typedef struct {
    apr_array_header_t *channels; /**< of const char *; NULL: as asked for */
    const char *user, *session;   /**< UTF-8 without control characters; NULL:
                                       not given */
    apr_interval_time_t max_age;  /**< 0: not given */
} sse_grant_t;

/** Read the headers of an answer.
 *  @param grant out: in the pool
 *  @return NULL, or what is wrong, in words; it may quote the answer, and so
 *          is to be escaped for a log */
const char *sse_grant_read(sse_grant_t *grant, const apr_table_t *headers,
                           apr_pool_t *pool);

/** The text with all but visible ASCII, '%' and ',' percent-encoded, as it is
 *  read by sse_grant_read(). */
const char *sse_grant_encode(const char *text, apr_pool_t *pool);

#endif /* SSE_GRANT_H */
