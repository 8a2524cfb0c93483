/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_version.h
 * The version, as CHANGES has it, for those that the module talks to.
 */

#ifndef SSE_VERSION_H
#define SSE_VERSION_H

#define SSE_VERSION "0.2.0"

#endif /* SSE_VERSION_H */
