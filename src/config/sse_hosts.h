/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hosts.h
 * Hosts that have the same hub but different channels.
 *
 * A hub in the main server's configuration belongs to every virtual host, but
 * each host has channels of its own namespace, by default its ServerName, so
 * that no subscriber of one host sees what is published to another (localhost,
 * say).  As nothing else shows why, this is logged at each start.
 *
 * Threads: the parent's, in post_config.
 */

#ifndef SSE_HOSTS_H
#define SSE_HOSTS_H

#include <httpd.h>
#include <util_cfgtree.h>

/** Whether the locations of this handler have channels and streams. */
typedef int sse_hosts_is_hub_fn(const char *handler);

/** The handler that is the first of a directive's arguments, in lower case. */
const char *sse_hosts_handler(const char *args, apr_pool_t *ptemp);

/** Whether this is the section of a virtual host. */
int sse_hosts_is_section(const ap_directive_t *line);

/** The first line of the host's configuration, or NULL; of the main server, all
 *  of httpd's. */
const ap_directive_t *sse_hosts_lines(const server_rec *s);

/** post_config: log which hosts share the location of a hub but not a
 *  namespace, unless SSENamespace is set for all of them. */
void sse_hosts_tell(server_rec *main_server, sse_hosts_is_hub_fn *is_hub,
                    apr_pool_t *ptemp);

#endif /* SSE_HOSTS_H */
