/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_seal.h
 * Once its head is out, nothing but the stream gets into a response: no error
 * page of a handler that returned an error after sse_start(), no ErrorDocument.
 * Later changes of its headers have no effect; a warning in the log names them.
 *
 * An output filter that passes data only while the stream's writer has opened
 * it.  It is a protocol filter, as httpd keeps these when it makes an error
 * page or redirects internally.
 *
 * Threads: the stream's writer; sse_seal_add() the request's; sse_seal_warn()
 * the one that owns the request at its end.
 */

#ifndef SSE_SEAL_H
#define SSE_SEAL_H

#include <httpd.h>

/** In the request's pool.  Names and values are the table's own strings, which
 *  live as long. */
typedef struct {
    int is_open;       /**< what comes is the stream's own */
    int has_ended;     /**< the stream's EOS has passed */
    int is_error_page; /**< another response follows, with its own headers */
    int n;             /**< of the headers, as they were sent */
    struct {
        const char *name, *value;
    } headers[];
} sse_seal_t;

/** register_hooks. */
void sse_seal_register(void);

/** Add the filter to the response, closed, and remember the headers. */
sse_seal_t *sse_seal_add(request_rec *r);

/** Log one warning that names the headers which were set, changed or removed
 *  since. */
void sse_seal_warn(request_rec *r, const sse_seal_t *seal);

#endif /* SSE_SEAL_H */
