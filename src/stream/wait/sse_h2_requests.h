/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_h2_requests.h
 * Requests over HTTP/2 that mod_http2 lets lie.
 *
 * A thread of mod_http2 goes to sleep when the connection that it looks at
 * first has nothing for it, whatever others have (get_next() in h2_workers.c).
 * So a request may lie although there are threads, until another request of
 * this child ends.  Where all that are running are streams, that is never; so a
 * stream that can be polled ends then, and its thread takes what lies.
 *
 * mod_http2 tells nobody what lies.  So an input filter on the connections of
 * clients, above TLS, reads off the frames which requests have come, and the
 * hook pre_read_request tells which of them have begun.  What a client has
 * reset does not lie, nor what mod_http2 does not let begin beside the
 * connection's others (by sse_threads' reckoning, which is rather too low: a
 * request that lies then is not noticed).  What mod_http2 has refused by itself
 * seems to lie; so for each connection no more streams end than mod_http2 has
 * threads, until all it has sent has begun.
 *
 * Threads: tagged.  The lock is held with none but that of sse_threads in it.
 */

#ifndef SSE_H2_REQUESTS_H
#define SSE_H2_REQUESTS_H

#include <httpd.h>

/** The requests of one connection; lives in its pool. */
typedef struct sse_h2_conn_t sse_h2_conn_t;

/** register_hooks: the input filter, and the hooks. */
void sse_h2_register(void);

/**
 * Whether a stream had better end by sse_stream_poll(), so that what lies
 * begins.  Called by the threads of streams over HTTP/2, now and then; costs
 * nothing as long as no request waits.
 */
int sse_h2_must_yield(void);

#endif /* SSE_H2_REQUESTS_H */
