/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap() */
#endif

#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include "event/sse_room.h"

/* From here on it is mapped.  AddressSanitizer watches malloc() alone;
 * ThreadSanitizer does not see what mremap() moves. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MAPPED ((apr_size_t)-1)
#else
#define MAPPED ((apr_size_t)128 * 1024)
#endif

#define PAGE ((apr_size_t)4096)

static void *map(apr_size_t size)
{
    void *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return ptr == MAP_FAILED ? NULL : ptr;
}

static void *remap(const sse_room_t *room, apr_size_t size)
{
    void *ptr;

    if (room->size >= MAPPED) {
        ptr = mremap(room->ptr, room->size, size, MREMAP_MAYMOVE);
        return ptr == MAP_FAILED ? NULL : ptr;
    }
    ptr = map(size);
    if (ptr && room->ptr) {
        memcpy(ptr, room->ptr, room->size);
        free(room->ptr);
    }
    return ptr;
}

int sse_room_grow(sse_room_t *room, apr_size_t size)
{
    char *ptr;

    if (size <= room->size) {
        return 1;
    }
    if (size >= MAPPED) {
        size = (size + PAGE - 1) & ~(PAGE - 1);
        ptr = remap(room, size);
    }
    else {
        ptr = realloc(room->ptr, size);
    }
    if (!ptr) {
        return 0;
    }
    room->ptr = ptr;
    room->size = size;
    return 1;
}

int sse_room_double(sse_room_t *room, apr_size_t size)
{
    apr_size_t twice = room->size * 2;

    return size <= room->size ||
           sse_room_grow(room, twice > size ? twice : size);
}

void sse_room_free(sse_room_t *room)
{
    if (room->size >= MAPPED) {
        munmap(room->ptr, room->size);
    }
    else {
        free(room->ptr);
    }
    room->ptr = NULL;
    room->size = 0;
}
