/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file bench_close_log.h
 * How the load generator learns when the server was told of a close: by a file
 * that both have mapped.  An access log's line is written later, and its time
 * is that of the request's beginning.
 *
 * Threads: each of the server's callbacks takes an entry of its own by
 * incrementing "taken", and sets "when" last; the generator only reads.
 */

#ifndef BENCH_CLOSE_LOG_H
#define BENCH_CLOSE_LOG_H

#include <stdint.h>

#define BENCH_CLOSE_MAX 32768

typedef struct {
    uint64_t when;   /**< CLOCK_MONOTONIC, ns; 0: not written yet */
    uint32_t addr;   /**< the client's IPv4 address, network order */
    uint16_t port;   /**< and port, network order */
    uint16_t reason; /**< sse_close_reason_e */
    uint32_t number; /**< the request's Bench-Stream; 0: none */
} bench_close_t;

typedef struct bench_close_log_t {
    uint64_t taken; /**< atomic; may pass BENCH_CLOSE_MAX */
    bench_close_t entries[BENCH_CLOSE_MAX];
} bench_close_log_t;

#endif /* BENCH_CLOSE_LOG_H */
