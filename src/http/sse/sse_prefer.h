/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_prefer.h
 * The one preference that a long poll may have: how long it waits (Prefer, RFC
 * 7240).
 *
 * Threads: any; no shared state.
 */

#ifndef SSE_PREFER_H
#define SSE_PREFER_H

/** More seconds than this are read as this. */
#define SSE_PREFER_MAX 1000000

/** The seconds of "wait", of which only the first one counts.
 *  @param prefer the header's value, or NULL
 *  @return -1: there is none, or none that can be read, which is to be ignored
 */
int sse_prefer_wait(const char *prefer);

/** Whole seconds, digits only.  @return -1: it is no such number */
int sse_prefer_seconds(const char *text);

#endif /* SSE_PREFER_H */
