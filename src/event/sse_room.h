/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_room.h
 * Memory that grows, and goes back to the system when it is freed.
 *
 * What is small comes from malloc().  What is large is mapped: the C library
 * would keep much of what was freed for later (as its threshold for mapping
 * rises with each large piece that is freed), and would copy when it grows.
 * Pages that were never written to cost nothing.
 *
 * Threads: any; a piece belongs to one at a time.
 */

#ifndef SSE_ROOM_H
#define SSE_ROOM_H

#include <apr.h>

/** A piece of memory.  All zero is an empty one. */
typedef struct {
    char *ptr;
    apr_size_t size; /**< of it */
} sse_room_t;

/** Have room for size bytes, keeping what is there.  Never smaller than before.
 *  @return 0: there is no memory, and the room is as it was */
int sse_room_grow(sse_room_t *room, apr_size_t size);

/** The same, but at least doubled, for what grows again and again. */
int sse_room_double(sse_room_t *room, apr_size_t size);

/** Give it back; it is an empty one again. */
void sse_room_free(sse_room_t *room);

#endif /* SSE_ROOM_H */
