/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_directives.h
 * What the files of directives share, and what the table finds in others than
 * its own (sse_directives.c).
 *
 * Threads: all while the configuration is read.
 */

#ifndef SSE_DIRECTIVES_H
#define SSE_DIRECTIVES_H

#include <httpd.h>
#include <http_config.h>

#define SSE_COUNT_MAX APR_INT64_C(1000000000)

/** The message for a value that is not allowed. */
const char *sse_conf_refuse(const cmd_parms *cmd, const char *value,
                            const char *allowed);

/* sse_directives_limits.c */
const char *sse_conf_set_max_streams(cmd_parms *cmd, void *dir_conf,
                                     const char *arg);
const char *sse_conf_set_max_threads(cmd_parms *cmd, void *dir_conf,
                                     const char *arg);
const char *sse_conf_set_max_per_client(cmd_parms *cmd, void *dir_conf,
                                        const char *arg);

#endif /* SSE_DIRECTIVES_H */
