/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_commands.h
 * Whether the programs that SSECommand names are there.
 *
 * Threads: the parent's one thread.
 */

#ifndef SSE_COMMANDS_H
#define SSE_COMMANDS_H

#include <httpd.h>

/** check_config, post_config: warn of those that are not, or are no program.
 *  It is no error: they may come later, with a disk that is mounted, or a
 *  package that is updated. */
void sse_commands_warn(const server_rec *main_server, apr_pool_t *ptemp);

#endif /* SSE_COMMANDS_H */
