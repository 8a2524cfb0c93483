/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_json_number.h
 * Whether a number is one, and one that a double can hold: by its digits alone,
 * as strtod() would go by the process's locale and need a copy.
 *
 * Threads: any; no shared state.
 */

#ifndef SSE_JSON_NUMBER_H
#define SSE_JSON_NUMBER_H

/**
 * Read the number (RFC 8259, section 6) that begins at *p, with a digit or "-".
 * @param p out, where it is one: past it
 * @return NULL: it is one; else what is wrong, a static string
 */
const char *sse_json_number(const char **p, const char *end);

#endif /* SSE_JSON_NUMBER_H */
