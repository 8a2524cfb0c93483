/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_log.h
 * Log lines of the loop, written by a worker: the log may be a pipe whose
 * program has stopped reading, which would stop every stream of the child.  A
 * few lines may wait for the worker; others are dropped and counted.
 *
 * Threads: any.
 */

#ifndef SSE_LOG_H
#define SSE_LOG_H

#include <httpd.h>
#include <http_log.h>

/** Like ap_log_error(APLOG_MARK, ...), soon. */
void sse_log_later(const char *file, int line, int module_index, int level,
                   apr_status_t status, const server_rec *s, const char *fmt,
                   ...) __attribute__((format(printf, 7, 8)));

/** Count a line as dropped. */
void sse_log_drop(void);

/** Whether all lines have been written. */
int sse_log_is_done(void);

#endif /* SSE_LOG_H */
