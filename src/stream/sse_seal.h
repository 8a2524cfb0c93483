/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_seal.h
 * Nothing but the stream gets into its response once the head is out: no error
 * page of a handler that returned an error after sse_start(), no ErrorDocument.
 *
 * An output filter that passes data only while the stream's writer has opened
 * it.  It is a protocol filter, as httpd keeps these when it makes an error
 * page or redirects internally.
 *
 * Threads: the stream's writer.
 */

#ifndef SSE_SEAL_H
#define SSE_SEAL_H

#include <httpd.h>

/** In the request's pool. */
typedef struct {
    int is_open;   /**< what comes is the stream's own */
    int has_ended; /**< the stream's EOS has passed */
} sse_seal_t;

/** register_hooks. */
void sse_seal_register(void);

/** Add the filter to the response; it is closed. */
sse_seal_t *sse_seal_add(request_rec *r);

#endif /* SSE_SEAL_H */
