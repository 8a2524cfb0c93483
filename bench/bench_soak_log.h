/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file bench_soak_log.h
 * How the soak learns which streams httpd's code was told of: a file that both
 * have mapped.  It outlives children that are killed and the parent's
 * restarts.
 *
 * Threads: the server's callbacks each take an entry of their own by counting
 * up "taken", and set "kind" last; the generator only reads.
 */

#ifndef BENCH_SOAK_LOG_H
#define BENCH_SOAK_LOG_H

#include <stdint.h>

/* The file has holes where nothing was written. */
#define BENCH_SOAK_MAX 4000000

typedef enum {
    BENCH_SOAK_NONE, /**< a child was killed while it wrote */
    BENCH_SOAK_OPEN,
    BENCH_SOAK_CLOSE,
    BENCH_SOAK_CRASH
} bench_soak_kind_e;

typedef struct {
    char stream[44]; /**< its id, as the log note sse-stream has it */
    uint32_t kind;   /**< bench_soak_kind_e */
    uint32_t pid;    /**< who was told */
} bench_soak_t;

typedef struct {
    uint64_t taken; /**< atomic; may pass BENCH_SOAK_MAX */
    bench_soak_t entries[BENCH_SOAK_MAX];
} bench_soak_log_t;

#endif /* BENCH_SOAK_LOG_H */
