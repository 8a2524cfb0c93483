/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_event.h
 * What an event is: write it as text/event-stream, and read it back.
 *
 * The one place that knows the wire format (WHATWG HTML, 9.2 "Server-sent
 * events").  A library of its own: APR only, no httpd, no I/O.
 *
 * Threads: every function is free of shared state and may run anywhere; one
 * sse_reader_t belongs to one thread at a time.
 */

#ifndef SSE_EVENT_H
#define SSE_EVENT_H

#include <apr.h>
#include <apr_errno.h>
#include <apr_pools.h>

/** Bytes that somebody else owns.  ptr NULL means "not there", which is not
 *  the same as there and empty. */
typedef struct {
    const char *ptr;
    apr_size_t len;
} sse_slice_t;

/** The slice over a NUL-terminated string; NULL gives an absent slice. */
sse_slice_t sse_slice(const char *str);

/** The fields of one event.  An absent slice is a field that is left out. */
typedef struct {
    sse_slice_t id;
    sse_slice_t event; /**< the type; absent, or "message": none written */
    sse_slice_t data;  /**< present and empty is one empty data line */
    sse_slice_t comment;
    apr_int64_t retry; /**< milliseconds; below 0: none */
} sse_fields_t;

/** All fields absent: what to begin with. */
#define SSE_FIELDS_NONE                                                        \
    {                                                                          \
        {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, -1                         \
    }

/** Whether the fields can be sent: id and event without CR, LF and NUL, no NUL
 *  and no broken UTF-8 anywhere.
 *  @return NULL when they can, else why not, in words for the publisher (a
 *          static string such as "event must not contain a line break") */
const char *sse_event_check(const sse_fields_t *fields);

/** Exactly how many bytes sse_event_write() writes for these fields. */
apr_size_t sse_event_size(const sse_fields_t *fields);

/** Write one block: comment, id, event, retry, data, then an empty line.  Data
 *  and comment are split at CRLF, CR and LF alike, and every line is written
 *  with exactly one space after the colon.  The fields must have passed
 *  sse_event_check().  Fields with nothing to write give 0 bytes.
 *  @param buf room for sse_event_size() bytes; not NUL-terminated
 *  @return the bytes written */
apr_size_t sse_event_write(const sse_fields_t *fields, char *buf);

/** Whether the bytes are UTF-8 as RFC 3629 has it. */
int sse_utf8_valid(const char *ptr, apr_size_t len);

/** Copy bytes, with U+FFFD for each that is no part of a character.
 *  @param out room for 3 * len bytes
 *  @return the bytes written */
apr_size_t sse_utf8_replace(const char *ptr, apr_size_t len, char *out);

/** An incremental reader of text/event-stream.  Lives in its pool. */
typedef struct sse_reader_t sse_reader_t;

/** Called for each event with data, as soon as its empty line is read.  The
 *  slices live until the call returns.  id is this block's own id field, if it
 *  had one without NUL; event is absent when the block had none.  A retry that
 *  is not only digits, or too large for an apr_interval_time_t, is ignored.
 *  @return APR_SUCCESS to go on; or what sse_reader_feed() is to return */
typedef apr_status_t sse_reader_fn(void *baton, const sse_fields_t *event);

/** @param max the most bytes that the values of one event may have together, an
 *          unfinished line's value included; at least 1.  Comments and unknown
 *          fields are never kept and do not count */
sse_reader_t *sse_reader_create(apr_pool_t *pool, apr_size_t max,
                                sse_reader_fn *fn, void *baton);

/** Read more bytes; may be cut anywhere.
 *  @return APR_SUCCESS; APR_ENOSPC: the current event has more than max bytes
 *          (the reader is then of no more use); APR_ENOMEM; or what the
 *          callback returned.  After a failure every later call returns it
 *          again and reads nothing */
apr_status_t sse_reader_feed(sse_reader_t *reader, const char *buf,
                             apr_size_t len);

/** Whether bytes of an unfinished event are held: such an event is dropped when
 *  the stream ends here (HTML, 9.2.6), and a publisher wants to be told. */
int sse_reader_is_partial(const sse_reader_t *reader);

#endif /* SSE_EVENT_H */
