/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file soak_log.h
 * How the soak learns of which streams the hooks were told: by a file that both
 * have mapped.  It outlives children that are killed and the parent's
 * restarts.
 *
 * Threads: each of the server's callbacks takes an entry of its own by
 * incrementing "taken", and sets "kind" last; the soak only reads.
 */

#ifndef SSE_SOAK_LOG_H
#define SSE_SOAK_LOG_H

#include <stdint.h>

/* The file has holes where nothing was written. */
#define SOAK_ENTRIES_MAX 4000000

typedef enum {
    SOAK_NONE, /**< a child was killed while it wrote */
    SOAK_OPEN,
    SOAK_CLOSE,
    SOAK_CRASH
} soak_kind_e;

typedef struct {
    char stream[44]; /**< its id, as the log note sse-stream has it */
    uint32_t kind;   /**< soak_kind_e */
    uint32_t pid;    /**< of the child that was told */
} soak_entry_t;

typedef struct {
    uint64_t taken; /**< atomic; may pass SOAK_ENTRIES_MAX */
    soak_entry_t entries[SOAK_ENTRIES_MAX];
} soak_log_t;

#endif /* SSE_SOAK_LOG_H */
