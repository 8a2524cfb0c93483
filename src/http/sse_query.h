/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_query.h
 * What a request's query has: names with values, separated by "&".
 *
 * Threads: the request's.
 */

#ifndef SSE_QUERY_H
#define SSE_QUERY_H

#include <httpd.h>

/** Whether the query has that name, with or without a value. */
int sse_query_has(const request_rec *r, const char *name);

/** The first value that is not empty of any of these names.
 *  @param names the last one is followed by NULL
 *  @param is_bad NULL, or out: it cannot be decoded, and is returned as it is
 *  @return decoded, in r->pool; NULL: there is none */
const char *sse_query_value(const request_rec *r, const char *const *names,
                            int *is_bad);

#endif /* SSE_QUERY_H */
