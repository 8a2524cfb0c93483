/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_exec_intake.h
 * The output of a shared program on its way into the store: bytes come in, are
 * read as events, and these are published to the program's channel.
 *
 * Bytes are kept until the event that they belong to is in the store.  So
 * nothing is lost while the store takes nothing, and whoever goes on reading
 * the output in this child's place begins with the bytes that are left.
 *
 * Threads: one at a time: the loop, which adds bytes, or the worker, which
 * publishes.
 */

#ifndef SSE_EXEC_INTAKE_H
#define SSE_EXEC_INTAKE_H

#include <httpd.h>

#include "exec/sse_exec_parser.h"
#include "store/sse_store.h"

/** Whose output it is, and how it is read; all outlive the intake. */
typedef struct {
    server_rec *server;
    const char *program; /**< for log lines */
    sse_slice_t channel; /**< the channel's key */
    const sse_history_t *history;
    sse_exec_format_e format;
    apr_size_t max_event;
} sse_exec_intake_conf_t;

typedef struct sse_exec_intake_t sse_exec_intake_t;

/** @param is_torn the output begins within a line, or event: leave that out
 *  @return never NULL */
sse_exec_intake_t *sse_exec_intake_create(const sse_exec_intake_conf_t *conf,
                                          int is_torn);
void sse_exec_intake_destroy(sse_exec_intake_t *intake);

/** The output goes on with these bytes, which are copied. */
void sse_exec_intake_add(sse_exec_intake_t *intake, const char *buf,
                         apr_size_t len);

/** The output is over: what is left of it is an event if it can be one. */
void sse_exec_intake_end(sse_exec_intake_t *intake);

/**
 * Publish all whole events.  Blocks as the store does.
 * @return APR_SUCCESS; else what the store says: some are left, and are
 *         published by the next call
 */
apr_status_t sse_exec_intake_publish(sse_exec_intake_t *intake);

/** The bytes of which nothing was published. */
sse_slice_t sse_exec_intake_rest(const sse_exec_intake_t *intake);

#endif /* SSE_EXEC_INTAKE_H */
