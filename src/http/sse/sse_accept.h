/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_accept.h
 * Whether a request's Accept allows a media type (RFC 9110, 12.5.1).
 *
 * Threads: any.
 */

#ifndef SSE_ACCEPT_H
#define SSE_ACCEPT_H

/** The quality of a type, by the most specific range that matches it.
 *  Parameters other than q are ignored.
 *  @param accept the header's value; NULL: everything is accepted
 *  @param type,subtype in lower case
 *  @return thousandths: 0 (ruled out) to 1000 */
int sse_accept_quality(const char *accept, const char *type,
                       const char *subtype);

#endif /* SSE_ACCEPT_H */
