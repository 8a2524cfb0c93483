/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hosts.h
 * Hosts that have the same hub, and yet other channels.
 *
 * A hub that stands in the main server's configuration is every virtual host's,
 * but each host has the channels of its own namespace, which is its ServerName
 * where nobody says otherwise.  Then what is published to one host (localhost,
 * say) is seen by no subscriber of another, and nobody is told.  So the start
 * tells.
 *
 * Threads: the parent's, in post_config.
 */

#ifndef SSE_HOSTS_H
#define SSE_HOSTS_H

#include <httpd.h>

/** post_config: log which hosts have a hub's location in common and not their
 *  namespace, unless SSENamespace is set for all of them. */
void sse_hosts_tell(server_rec *main_server, apr_pool_t *ptemp);

#endif /* SSE_HOSTS_H */
