/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_hook_segment.h
 * A file of the webhooks' queue: records that are added at its end and changed
 * in one byte each; what is read of it, in pieces of 64 KB.
 *
 * Its descriptor stays open, so that a file that is removed loses nothing, and
 * keeps its number when the file is written anew somewhere else.
 *
 * Threads: members are under the spool's lock, but for those that are const.  A
 * reader belongs to one thread, and reads without the lock: what it is told is
 * in the file does not change, but for the first two bytes of a record.
 */

#ifndef SSE_HOOK_SEGMENT_H
#define SSE_HOOK_SEGMENT_H

#include <sys/queue.h>

#include "notify/webhook/sse_hook_record.h"

/** What a file begins with. */
#define SSE_HOOK_FILE_HEAD 16

typedef struct sse_hook_segment_t sse_hook_segment_t;
struct sse_hook_segment_t {
    TAILQ_ENTRY(sse_hook_segment_t) link;
    struct sse_hook_queue_t *queue; /**< const */
    int fd;                         /**< const */
    apr_uint32_t file;              /**< const: its name, in its queue */
    apr_uint32_t number;  /**< const while the sender may see it: its place */
    apr_uint32_t size;    /**< of its whole records and its head */
    apr_uint32_t records; /**< in it */
    apr_uint32_t waiting, opens; /**< of these: calls that wait; opens without
                                       a close */
    apr_uint64_t waiting_bytes;  /**< the size of those that wait */
    int pins;                    /**< who needs it, though it may be empty */
};
typedef TAILQ_HEAD(sse_hook_segments_t, sse_hook_segment_t) sse_hook_segments_t;

/** errno, with one number for all ways of having no room. */
apr_status_t sse_hook_last_error(void);

/** Room for a file's name, with its NUL. */
#define SSE_HOOK_FILE_SIZE 12
const char *sse_hook_segment_name(char *name, apr_uint32_t file);

/** Make that file in a directory. */
apr_status_t sse_hook_segment_create(sse_hook_segment_t **segment, int dir,
                                     apr_uint32_t file);

/** Open one that was left: its size is the file's until the records have been
 *  read.  @return APR_EOF: it was not even begun; APR_EINVAL: it is of another
 *  kind; or the cause */
apr_status_t sse_hook_segment_open(sse_hook_segment_t **segment, int dir,
                                   apr_uint32_t file);

/** Close the file, and free this. */
void sse_hook_segment_close(sse_hook_segment_t *segment);

/** Write its content to another file, and use that one.
 *  @param fresh the other file's descriptor: closed if this succeeds */
apr_status_t sse_hook_segment_copy(const sse_hook_segment_t *segment,
                                   int fresh);

/** Add a record at the end.  @return APR_ENOSPC: no room; or the cause: then
 *  nothing was added */
apr_status_t sse_hook_segment_append(sse_hook_segment_t *segment,
                                     const sse_hook_head_t *head,
                                     const sse_call_t *call);

/** The head of the record there. */
apr_status_t sse_hook_segment_head(const sse_hook_segment_t *segment,
                                   apr_uint32_t offset, sse_hook_head_t *head);

/** Change one of a record's first two bytes. */
apr_status_t sse_hook_segment_mark(const sse_hook_segment_t *segment,
                                   apr_uint32_t offset, int at, char byte);

/** What was read last. */
typedef struct {
    sse_room_t room;               /**< the bytes */
    int fd;                        /**< of this file */
    apr_uint32_t number, from, to; /**< this part of that segment */
} sse_hook_reader_t;

/** @param end the size of the segment, as known
 *  @return APR_EOF: offset is the end; APR_EINVAL: there is no record; or the
 *          cause */
apr_status_t sse_hook_reader_head(sse_hook_reader_t *reader,
                                  const sse_hook_segment_t *segment,
                                  apr_uint32_t offset, apr_uint32_t end,
                                  sse_hook_head_t *head);

/** The record of that head.  @return as sse_hook_reader_head() */
apr_status_t sse_hook_reader_call(sse_hook_reader_t *reader,
                                  const sse_hook_segment_t *segment,
                                  apr_uint32_t offset,
                                  const sse_hook_head_t *head, sse_call_t *call,
                                  sse_room_t *room);

/** A byte there was changed. */
void sse_hook_reader_note(sse_hook_reader_t *reader,
                          const sse_hook_segment_t *segment,
                          apr_uint32_t offset, char byte);

/** Its segment is gone. */
void sse_hook_reader_forget(sse_hook_reader_t *reader);
void sse_hook_reader_free(sse_hook_reader_t *reader);

#endif /* SSE_HOOK_SEGMENT_H */
