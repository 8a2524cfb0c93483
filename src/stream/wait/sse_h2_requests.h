/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_h2_requests.h
 * Requests over HTTP/2 that mod_http2 leaves waiting although it has threads.
 *
 * A thread of mod_http2 goes to sleep when the connection that it looks at
 * first has nothing for it, whatever others have (get_next() in h2_workers.c).
 * So a request may wait, stranded, until another one of this child ends.  If
 * all others are streams, a stream that can poll ends then.
 *
 * No call of mod_http2 says what is waiting.  So an input filter on client
 * connections, above TLS, reads from the frames which requests have come, and
 * the hook pre_read_request tells which have begun.  A request is not stranded
 * if its client has reset it, or if its connection already has as many running
 * as mod_http2 allows (by sse_threads_at_a_time(), which is rather too low).
 * One that mod_http2 has refused looks stranded; so for each connection no more
 * streams end than mod_http2 has threads, until all its requests have begun.
 *
 * Threads: tagged.  Under the lock only that of sse_threads is taken.
 */

#ifndef SSE_H2_REQUESTS_H
#define SSE_H2_REQUESTS_H

#include <httpd.h>

/** The requests of one connection; lives in its pool. */
typedef struct sse_h2_conn_t sse_h2_conn_t;

/** register_hooks: the input filter, and the hooks. */
void sse_h2_register(void);

/** Whether a stream should end by sse_stream_poll(), so that a stranded request
 *  begins.  Called now and then by the threads of streams over HTTP/2; costs
 *  nothing while no request waits. */
int sse_h2_must_yield(void);

#endif /* SSE_H2_REQUESTS_H */
