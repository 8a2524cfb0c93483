/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_format.h
 * How a stream looks on the wire: one table, chosen by the front end
 * (sse_stream_plan_t.format).  It has nothing to do with the drive, which is
 * about threads.
 *
 * Buffers are shared by all streams of a format, so a format keeps no state
 * between them.  For a list (JSON's array) "first" opens it, and "goodbye"
 * closes it.  Each element begins with the separator, which the stream leaves
 * out in front of its first one.  A response that the client or its network has
 * cut off has no goodbye.
 *
 * Threads: tables are const and their functions have no state: any thread.
 */

#ifndef SSE_FORMAT_H
#define SSE_FORMAT_H

#include "stream/format/sse_buf.h"

/** Something is missing at this point of the stream. */
typedef struct {
    const char *after; /**< the last id that the client has, as it gave it: any
                            text */
    sse_id_t oldest;   /**< the first id kept, of those that follow if there are
                            any; 0: none is kept */
    sse_id_t id;       /**< a client that comes back with this one is not told
                            of the same gap again; 0: its id stays */
} sse_gap_t;

/** The end of a response. */
typedef struct {
    apr_int64_t retry; /**< after how long to come back; 0: do not say */
    sse_id_t upto;     /**< the id to come back with; 0: the last one sent */
    sse_id_t sent;     /**< that one; 0: none */
    const char *given; /**< where there is neither: the id that the client
                            gave, any text; NULL: none */
    int is_whole;      /**< it is the whole body: neither "first" nor an event
                            has been sent */
} sse_goodbye_t;

/** Functions return a reference for the caller.  Times are milliseconds. */
typedef struct {
    const char *content_type;
    /** Response headers: name, value, ..., NULL. */
    const char *const *headers;
    /** A list: how many bytes of a buffer that has events are the separator
     *  from what is in front of it; 0: no list. */
    apr_size_t separator;
    /** What is sent with the head, so that something leaves at once.
     *  @param retry after how long to come back; 0: the client's own choice */
    sse_buf_t *(*first)(apr_int64_t retry);
    /** An event of the store, whose record has no id field; or, with
     *  record->id 0, what an application sends, which may have an id of its
     *  own and no data. */
    sse_buf_t *(*event)(const sse_record_t *record);
    /** Keeps an idle connection alive; shared by all streams. */
    sse_buf_t *heartbeat;
    sse_buf_t *(*gap)(const sse_gap_t *gap);
    /** The last bytes of a response that the server ends.
     *  @return NULL, where is_whole is 0: there is nothing to say */
    sse_buf_t *(*goodbye)(const sse_goodbye_t *goodbye);
} sse_format_t;

/** text/event-stream (WHATWG HTML, 9.2).  A gap is that of
 *  sse_format_gap(). */
extern const sse_format_t sse_format_sse;

/** application/json, one object for a long poll:
 *  {"events":[{"id","channel","event","data"},...],"last":"...","retry":ms}.
 *  "id" and "channel" are null where there is none, "retry" is left out where
 *  nothing is said.  "last" is the id to come back with, always there; empty:
 *  none.  A gap is an element, too; a heartbeat is white space. */
extern const sse_format_t sse_format_json;

/** For a format's own "gap": the event "sse-gap", whose data is
 *  {"after":"...","oldest":"..."}, or null for oldest.  What may be markup is
 *  escaped.
 *  @param event the format's */
sse_buf_t *sse_format_gap(const sse_gap_t *gap,
                          sse_buf_t *(*event)(const sse_record_t *record));

#endif /* SSE_FORMAT_H */
