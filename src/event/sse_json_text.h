/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_json_text.h
 * JSON (RFC 8259) as the text that it is: whether it is valid, where the
 * members of an object lie, how a value is written without the blanks, and a
 * text as a string.
 *
 * A tree of values takes up to a hundred times the memory of its text; here a
 * value is nothing but a slice of that.  What is accepted is what jansson
 * accepts with JSON_REJECT_DUPLICATES, JSON_DECODE_ANY, JSON_ALLOW_NUL and
 * JSON_DECODE_INT_AS_REAL.
 *
 * Threads: any; no shared state.
 */

#ifndef SSE_JSON_TEXT_H
#define SSE_JSON_TEXT_H

#include "event/sse_event.h"

/** Values within values, the outermost counting as one. */
#define SSE_JSON_DEPTH_MAX 2048

/** What is wrong with a text, and where. */
typedef struct {
    const char *text;  /**< a static string */
    apr_size_t line;   /**< from 1 */
    apr_size_t column; /**< from 1, in characters */
} sse_json_error_t;

/** Whether this is one JSON value, with no more than blanks around it: also
 *  that its strings are UTF-8, that no object has two members of one name, that
 *  no number is beyond what a double can hold, and no name has a NUL.  Memory:
 *  8 bytes for each name in the objects that are open at one time, and 8 KB.
 *  @param error out, where it is not
 *  @return APR_SUCCESS, APR_EINVAL, or APR_ENOMEM with words as well */
apr_status_t sse_json_check(sse_slice_t text, sse_json_error_t *error);

/** Read the number (RFC 8259, section 6) that begins at *p, a digit or "-".
 *  @param p out, where it is one: past it
 *  @return NULL: it is one; else what is wrong, a static string */
const char *sse_json_number(const char **p, const char *end);

/** A place in a text: never past its end, whatever is in it. */
typedef struct {
    const char *p;
    const char *end;
} sse_json_walk_t;

sse_json_walk_t sse_json_walk(sse_slice_t text);

/** The byte there; -1 at the end. */
int sse_json_peek(const sse_json_walk_t *walk);

void sse_json_skip_space(sse_json_walk_t *walk);

/** Go to the comma, colon or bracket that ends the value which begins here; the
 *  text need not be valid. @return the value, without blanks before it */
sse_slice_t sse_json_skip_value(sse_json_walk_t *walk);

/** The next member of a valid object, with walk at the object's beginning, or
 *  where the last call left it.
 *  @param name out: as it is written, between its quotes
 *  @param value out: as it is written, with its own quotes
 *  @return 0: there is none */
int sse_json_next(sse_json_walk_t *walk, sse_slice_t *name, sse_slice_t *value);

/** Resolve the escapes of a valid string's inside, in place.
 *  @return the bytes that are left */
apr_size_t sse_json_unescape(char *text, apr_size_t len);

/** Remove the blanks between the tokens of a valid value, in place.
 *  @return the bytes that are left */
apr_size_t sse_json_compact(char *text, apr_size_t len);

/** The room for sse_json_quote(): just that much where the text is UTF-8. */
apr_size_t sse_json_quoted_size(sse_slice_t text);

/** Write any bytes as a JSON string, quotes included; what is no UTF-8 is
 *  replaced (U+FFFD).  @return the bytes written */
apr_size_t sse_json_quote(sse_slice_t text, char *out);

#endif /* SSE_JSON_TEXT_H */
